"""Every scenario through the whole program into the sandbox's portal; the sequences of the reference in bad weather
too.
"""

from __future__ import annotations

import time
from typing import Any

import pytest

from bx24app.domain.settings import Settings
from tests.conftest import KEY, SALT
from tests.support.replayed_scenario import ReplayedCall, absorb, as_json, as_new_call, in_portal, post
from tests.support.scenarios import Notice, Scenario, all_scenarios
from tests.support.stack import World, until

SCENARIOS = all_scenarios()
BASIC = [scenario for scenario in SCENARIOS if "source" in scenario.config]


def connect(earth: World, scenario: Scenario) -> str:
    known = {user.id for user in earth.portal.users.values()}
    missing = {9, 11, 12, 13, 21, 22} - known
    if missing:
        earth.sandbox.call(earth.add_users, sorted(missing))
    if KEY not in earth.mango.boards:
        earth.sandbox.call(lambda: earth.mango.add_pbx(api_key=KEY, api_salt=SALT, name="Moscow"))
    settings = Settings.model_validate(scenario.settings.model_dump(by_alias=True))
    earth.portal.crm_mode = scenario.config.get("crm_mode", 1)
    earth.set_crm_mode(earth.portal.crm_mode)
    return earth.connect(settings, {"moscow": (KEY, SALT)})["moscow"]


def known_clients(earth: World, scenario: Scenario, retold: ReplayedCall) -> None:
    for entity, _ in scenario.config.get("known", {}).values():
        earth.sandbox.call(earth.add_client, entity, retold.client)
    if "inner" in scenario.config:
        earth.portal.users[13].uf_phone_inner = retold.client


def told(earth: World, scenario: Scenario, order: str) -> tuple[ReplayedCall, dict[str, Any]]:
    hook = connect(earth, scenario)
    retold = as_new_call(scenario)
    known_clients(earth, scenario, retold)
    earth.sandbox.call(absorb, earth.mango, retold.notices)
    for notice in arranged(retold.notices, order):
        assert post(hook, notice) == 200
    earth.settle(90)  # generous: the machine may be busy, and back-off times are real
    return retold, in_portal(earth, retold)


def arranged(notices: list[Notice], order: str) -> list[Notice]:
    if order == "twice":
        return [notice for notice in notices for _ in range(2)]
    if order == "reversed":
        return notices[::-1]
    if order == "swapped":
        pairs = [notices[i : i + 2][::-1] for i in range(0, len(notices), 2)]
        return [notice for pair in pairs for notice in pair]
    if order == "swapped from the second":
        pairs = [notices[:1], *(notices[i : i + 2][::-1] for i in range(1, len(notices), 2))]
        return [notice for pair in pairs for notice in pair]
    return notices


def lands(world: World, scenario: Scenario) -> None:
    """The portal holds what the fold decided, card closed, recordings where they belong."""
    _, found = told(world, scenario, "as it is")
    check_landed(scenario, found)


def check_landed(scenario: Scenario, found: dict[str, Any]) -> None:
    play = scenario.play()
    assert play.decision is not None
    journal = play.decision.journal
    silent = not len(play.ledger)
    assert not found["open"], as_json(found)
    assert not found["cards"], as_json(found)
    if silent:
        assert not found["calls"]
        return
    finishes = {e.command.part: e.command for e in play.ledger if type(e.command).__name__ == "Finish"}
    assert len(found["calls"]) == len(finishes), as_json(found)
    seen = {1 if not row[0] else int(row[0][1:]): row for row in found["calls"]}
    assert {part: (row[1], row[3], row[4]) for part, row in seen.items()} == {
        part: (c.user_id, c.seconds, c.status) for part, c in finishes.items()
    }, as_json(found)
    carried = {tape.part for tape in play.decision.recordings if tape.part}
    assert {part for part, row in seen.items() if row[7]} == carried, as_json(found)
    assert seen[1][6] == (journal["outcome"] == "missed"), as_json(found)


@pytest.mark.parametrize(
    "scenario", [s for s in SCENARIOS if not s.folder.name.startswith("short_")], ids=lambda s: s.folder.name
)
def test_lands_in_the_portal(earth: World, scenario: Scenario) -> None:
    lands(earth, scenario)


@pytest.mark.parametrize("scenario", BASIC[:4], ids=lambda s: s.folder.name)
def test_notifications_that_come_one_by_one_end_the_same(earth: World, scenario: Scenario) -> None:
    """As in life, each has its own step, or waits for the next one where it changes nothing for the portal."""
    hook, retold = connect(earth, scenario), as_new_call(scenario)
    known_clients(earth, scenario, retold)
    earth.sandbox.call(absorb, earth.mango, retold.notices)
    for notice in retold.notices:
        assert post(hook, notice) == 200
        time.sleep(0.25)
    earth.settle(90)
    check_landed(scenario, in_portal(earth, retold))


@pytest.mark.parametrize("scenario", BASIC, ids=lambda s: s.folder.name)
def test_weather_ends_the_same(earth: World, scenario: Scenario) -> None:
    _, fair = told(earth, scenario, "as it is")
    for order in ("twice", "swapped", "swapped from the second", "reversed"):
        _, found = told(earth, scenario, order)
        assert found == fair, f"{order}\n{as_json(fair)}\n{as_json(found)}"


def test_the_recording_is_the_callers(earth: World) -> None:
    scenario = next(s for s in SCENARIOS if s.folder.name == "transfer_blind_by_api")
    retold, found = told(earth, scenario, "as it is")
    until(lambda: all(row[7] for row in in_portal(earth, retold)["calls"]), as_json(found))
