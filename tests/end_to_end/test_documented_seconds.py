"""Every scenario while each command takes the seconds of its documentation and a request is cut after 60: the same
states at the end, nothing twice. Each wrong request counts for Mango's lock.

Eight portals side by side, fifty times faster than real ones. Each has a PBX of its own and a budget that is short from
the beginning, so that calls share requests.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from bx24app.domain.settings import Settings
from bx24app.infra.runtime import runtime
from bx24app.models import Call, Delivery, Notification, Portal, Recording, db
from bx24app.portals import clients, lifecycle
from bx24app.sandbox.bitrix.control import documented_seconds
from bx24app.sandbox.bitrix.state import COMPANY, CONTACT, LEAD, User
from tests.conftest import config_for
from tests.end_to_end.test_events_dialect import add_shelf, anew
from tests.end_to_end.test_scenarios import check_landed
from tests.support.replayed_scenario import ReplayedCall, absorb, as_json, as_new_call, in_portal, post
from tests.support.scenarios import Scenario, all_scenarios
from tests.support.stack import World, until, world

Told = list[tuple[Scenario, ReplayedCall]]
PORTALS, SCALE = 8, 0.02
FAIR, SLOW, ROBOTS = 0, 1, 2
"""Portals that get the same calls: without seconds, with them, and with robots that make a finish last 14 s."""
SALT = "salt"


def groups() -> list[list[Scenario]]:
    """The scenarios by their settings, the largest group first."""
    found: dict[tuple[str, int], list[Scenario]] = defaultdict(list)
    for scenario in all_scenarios():
        settings = scenario.settings.model_dump_json(by_alias=True)
        found[settings, scenario.config.get("crm_mode", 1)].append(scenario)
    return sorted(found.values(), key=len, reverse=True)


@pytest.fixture(scope="module")
def earth(tmp_path_factory: pytest.TempPathFactory, valkey_url: str) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("seconds")
    with world(folder, valkey_url, config_for, portals=PORTALS, quiet_seconds=2) as made:
        for number, portal in enumerate(made.sandbox.portals):
            portal.license, portal.limits.rate = "ru_ent250", 5.0
            made.sandbox.call(made.mango.add_pbx, api_key=pbx_key(number), api_salt=SALT, name="Moscow")
            for user in {9, 11, 12, 13, 21, 22} - portal.users.keys():
                portal.users[user] = User(id=user, name="Worker", last_name=str(user), email=f"u{user}@portal.test")
        made.mango.limits.every_3xxx_counts = True
        add_shelf(made)
        made.work(calls=PORTALS, recordings=4)
        for number in range(PORTALS):
            made.install(number=number)
        for portal in made.sandbox.portals[SLOW:]:
            made.sandbox.call(documented_seconds, portal, {"scale": SCALE, "whole": True})
        made.sandbox.portals[ROBOTS].durations.slower["telephony.externalcall.finish"] = 14.0
        yield made
        for portal in made.sandbox.portals:
            assert not portal.violations, portal.violations


def pbx_key(number: int) -> str:
    return f"key-{number}"


def spend_budget(earth: World, number: int) -> None:
    """No request is left in store: calls share from here on."""
    with earth.app.app_context():
        redis = runtime().redis
        seconds, microseconds = redis.time()  # type: ignore[misc]
        name = f"budget:{earth.sandbox.portals[number].member_id}"
        redis.hset(name, mapping={"filled": 242.5, "at": seconds + microseconds / 1e6})
        clients.portal_budget(earth.portal_row(number)["id"])._estimate = 0.0, 0.0


def as_call(earth: World, scenario: Scenario) -> ReplayedCall:
    """The scenario's call once more; recordings of the short dialect are links."""
    is_short = scenario.notices[0].dialect == "events"
    return anew(scenario, earth.sandbox.sites["short-files"]) if is_short else as_new_call(scenario)


def tell(earth: World, number: int, scenarios: list[Scenario]) -> Told:
    """Their calls at the same time, in one portal; returns when it has nothing left to do. Of many calls, deliveries
    begin when all of them wait.
    """
    portal, key = earth.sandbox.portals[number], pbx_key(number)
    calls = [(one, as_call(earth, one)) for one in scenarios]
    settings = Settings.model_validate(scenarios[0].settings.model_dump(by_alias=True))
    portal.crm_mode = scenarios[0].config.get("crm_mode", 1)
    earth.set_crm_mode(portal.crm_mode, number)
    hook = earth.connect(settings, {"moscow": (key, SALT)}, number)["moscow"]
    for scenario, call in calls:
        for entity, _ in scenario.config.get("known", {}).values():
            earth.sandbox.call(know_client, earth, number, entity, call.client)
        if "inner" in scenario.config:
            portal.users[13].uf_phone_inner = call.client
        earth.sandbox.call(absorb, earth.mango, call.notices, key)
    pause(earth, number, len(scenarios) > 10)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda call: send(hook, key, call), [call for _, call in calls]))
    until(lambda: "Notification" not in pending(earth, number), "notifications were not folded")
    spend_budget(earth, number)
    pause(earth, number, False)
    until(lambda: not pending(earth, number), lambda: f"portal {number}: {pending(earth, number)}", 180)
    return calls


def pause(earth: World, number: int, paused: bool) -> None:
    portal_id = earth.portal_row(number)["id"]
    with earth.app.app_context():
        lifecycle.pause(portal_id, None, paused)


def send(hook: str, key: str, call: ReplayedCall) -> None:
    """As Mango does: a notification that was not taken is sent again."""
    for notice in call.notices:
        until(lambda notice=notice: post(hook, notice, key, SALT) == 200, f"{notice.name} was never taken")  # type: ignore[misc]


def tell_and_read(earth: World, number: int, several: list[list[Scenario]]) -> list[tuple[Scenario, dict[str, Any]]]:
    """These groups one after the other; what the portal has of each call."""
    told = [call for scenarios in several for call in tell(earth, number, scenarios)]
    return [(scenario, in_portal(earth, call, number)) for scenario, call in told]


def know_client(earth: World, number: int, entity: str, phone: str) -> None:
    type_id = {"lead": LEAD, "contact": CONTACT, "company": COMPANY}[entity]
    fields = {"title": "Known", "name": "Known", "assignedById": 1, "stageId": "NEW"}
    earth.sandbox.portals[number].crm.add_record(type_id, fields, [{"typeId": "PHONE", "value": phone}])


def pending(earth: World, number: int) -> dict[str, int]:
    """What this portal has still to do."""
    member = earth.sandbox.portals[number].member_id
    with earth.app.app_context():
        portal_id = db.session.query(Portal.id).filter_by(member_id=member).scalar()
        counts = {
            table.__name__: db.session.query(table).filter(table.portal_id == portal_id, is_open).count()
            for table, is_open in (
                (Notification, Notification.state == "new"),
                (Delivery, Delivery.state.in_(("waiting", "sent"))),
                (Recording, Recording.due_at.is_not(None)),
                (Call, Call.state == "open"),
            )
        }
        db.session.rollback()
    return {name: count for name, count in counts.items() if count}


def test_every_scenario_ends_as_without_the_seconds(earth: World) -> None:
    """The largest group at once in three portals, then the others, a few in each."""
    largest, *others = groups()
    with ThreadPoolExecutor(PORTALS) as pool:
        fair, slow, robots = pool.map(lambda at: tell_and_read(earth, at, [largest]), (FAIR, SLOW, ROBOTS))
        shares = [others[first :: PORTALS - SLOW] for first in range(PORTALS - SLOW)]
        rest = list(pool.map(lambda at: tell_and_read(earth, at, shares[at - SLOW]), range(SLOW, PORTALS)))
    for scenario, state in (pair for found in (fair, slow, robots, *rest) for pair in found):
        check_landed(scenario, state)
    for (scenario, plain), (_, with_seconds), (_, with_robots) in zip(fair, slow, robots, strict=True):
        assert with_seconds == plain, f"{scenario.folder.name}\n{as_json(plain)}\n{as_json(with_seconds)}"
        assert with_robots == plain, f"{scenario.folder.name}\n{as_json(plain)}\n{as_json(with_robots)}"
    durations = [portal.durations for portal in earth.sandbox.portals]
    assert durations[ROBOTS].cut_requests, "a test that proves nothing must not pass"
    assert [each.cut_requests for number, each in enumerate(durations) if number != ROBOTS] == [0] * (PORTALS - 1)
    assert max(each.longest_request for each in durations) <= 60
