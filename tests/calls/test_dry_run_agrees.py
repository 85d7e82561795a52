"""The worker and the dry run agree: over every scenario and several rules, what left for the portal is what the dry
run says."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from bx24app import create_app, settings
from bx24app.calls import drain, dry_run
from bx24app.calls.fold.portal_fold import fold_portal
from bx24app.domain import rules
from bx24app.domain.calls.command_json import from_json
from bx24app.domain.calls.ledger import USER_INACTIVE
from bx24app.domain.settings import Rule, Settings
from bx24app.models import Call, Delivery, Notification, Portal, PortalUser, db, utcnow
from bx24app.models import Pbx as PbxRow
from tests.calls.inbox.test_receiver import post, short, signed
from tests.conftest import config_for, make_portal
from tests.support.scenarios import Scenario, all_scenarios
from tests.support.transcript import Answers

EVERYTHING = (
    Rule(
        name="everything",
        do=(
            {
                "create": {
                    "entity": "deal",
                    "title": "Deal {{ client.number }} {{ call.outcome }}",
                    "responsible": "answered",
                }
            },
            {"todo": {"deadline_minutes": 15, "responsible": "line", "title": "Call {{ client.number }}"}},
            {"comment": {"text": "{{ client.name }} {{ call.talk_seconds | minutes }} {{ call.reason }}"}},
            {"notify": {"user": 12, "text": "{{ pbx.name }}: {{ call.direction }} on {{ line.name }}"}},
        ),
    ),
)
LAYERS: dict[str, tuple[Rule, ...] | None] = {
    "its own": None,
    "everything": EVERYTHING,
    "missed: lead": (
        Rule(name="missed", when={"outcome": "missed"}, do=({"create": {"entity": "lead", "title": "Missed"}},)),
    ),
    "answered: nothing": (
        Rule(name="answered", when={"outcome": "answered"}, do=({"nothing": {}},)),
        Rule(name="rang 101", when={"rang": "101"}, do=({"comment": {"text": "101 rang"}},)),
        Rule(name="known", when={"client": "known"}, do=({"todo": {"title": "known"}},)),
    ),
}


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, valkey_url: str) -> Iterator[Flask]:
    """One app for all of them; each has a portal of its own."""
    place: Path = tmp_path_factory.mktemp("agrees")
    app = create_app(config_for(place, valkey_url))
    (place / "var").mkdir(exist_ok=True)
    with app.app_context():
        app.extensions["bx24app"].redis.flushall()
        db.create_all()
        yield app
        db.session.remove()
        db.engine.dispose()


_members = itertools.count(1)


def told(
    scenario: Scenario, own_rules: tuple[Rule, ...] | None, prepare: Callable[[Portal], None] | None = None
) -> int:
    """A portal of its own that hears the scenario and answers every delivery, until nothing is left to say. Returns its
    id.

    `prepare` writes what the portal's journal holds before the call.
    """
    document: Settings = scenario.settings
    if own_rules is not None:
        document = document.model_copy(update={"rules": own_rules})
    portal = make_portal(f"{next(_members):032d}", document=document)
    portal.crm_mode = scenario.config.get("crm_mode", 1)
    portal.scopes = "timeman" if scenario.config.get("timeman") else ""
    portal.lang = "en"
    number = portal.id
    if prepare is not None:
        prepare(portal)
    hook = db.session.query(PbxRow).filter_by(portal_id=number, key=scenario.config.get("pbx", "moscow")).one().hook_key
    db.session.commit()
    answers = scenario.answers()
    for notice in scenario.notices:
        said = (
            post(hook, notice.name, signed(notice.raw))
            if notice.dialect == "vpbx"
            else short(hook, notice.name, notice.content)
        )
        assert said == 200
        rest(number, answers)
    hour = timedelta(hours=1)  # all that waits for a while has waited
    for row in db.session.query(Notification).filter_by(portal_id=number):
        row.received_at -= hour
    for call in db.session.query(Call).filter_by(portal_id=number):
        call.heard_at, call.due_at = call.heard_at - hour, utcnow()
    db.session.commit()
    rest(number, answers)
    return number


def rest(portal_id: int, answers: Answers) -> None:
    """Decide and answer by turns."""
    touched: set[int] = set()
    for _ in range(20):
        with drain.portal_lock(portal_id) as (session, portal):
            assert portal is not None
            fold_portal(session, portal, touched)
        waiting = db.session.query(Delivery).filter_by(portal_id=portal_id, state="waiting").order_by(Delivery.id).all()
        if not waiting:
            return
        touched = {row.call_id for row in waiting}
        for row in waiting:
            if answer(row, answers) is not None:
                break
        db.session.commit()
    raise AssertionError("never comes to rest")


def answer(row: Delivery, answers: Answers) -> str | None:
    """The toy portal's word on one delivery. Returns the code of a refusal."""
    command = from_json(row.kind, row.command)
    code = answers.refusal(command)
    row.state, row.code, row.done_at, row.attempts = "dead" if code else "done", code, utcnow(), 1
    row.answer = {} if code else answers.answer(command)
    if code == USER_INACTIVE:
        db.session.add(PortalUser(portal_id=row.portal_id, user_id=row.command["responsible"], active=False))
    return code


def left(call: Call) -> list[dict[str, Any]]:
    """What left for the portal because of a rule or of `calls.*`, in the words of the dry run."""
    rows = db.session.query(Delivery).filter_by(call_id=call.id, state="done").order_by(Delivery.id).all()
    found: list[dict[str, Any]] = []
    for row in rows:
        said = row.command
        match row.kind:
            case "Register":
                found += [
                    {"action": "create", "entity": one["entity"], "id": one["id"]}
                    for one in row.answer.get("created", ())
                ]
            case "CreateRecord":
                found.append(
                    {
                        "action": "create",
                        "entity": said["entity"],
                        "text": said["title"],
                        "user": said["responsible"],
                        "id": row.answer["id"],
                    }
                )
            case "AddTodo":
                at = datetime.fromtimestamp(said["deadline_at"], UTC).isoformat()
                found.append({"action": "todo", "text": said["title"], "user": said["responsible"], "deadline_at": at})
            case "AddComment":
                found.append({"action": "comment", "text": said["text"]})
            case "Notify":
                found.append({"action": "notify", "text": said["text"], "user": said["user_id"]})
            case "Reassign":
                for one in found:
                    if one.get("id") == number_of(rows, said["record"]["id"]):
                        one["user"] = said["user_id"]
    return found


def number_of(rows: list[Delivery], given: Any) -> Any:
    """The id of a record that a command names by the command that made it."""
    if not isinstance(given, dict):
        return given
    key = given["$ref"][0]
    return next((row.answer.get("id") for row in rows if row.key.partition("~")[0] == key), None)


def is_told(made: dict[str, Any], planned: list[dict[str, Any]]) -> bool:
    """Did the dry run announce it? A contact that a deal, to-do or comment of a new client needs goes without
    saying."""
    for one in planned:
        if one["action"] == made["action"] and all(
            one[name] == made[name]
            for name in ("entity", "text", "user", "deadline_at")
            if name in one and name in made and one[name]
        ):
            return True
    needs = any(one["action"] in ("create", "todo", "comment") for one in planned)
    simple = made.get("entity") in ("contact", "deal") and any(one.get("entity") == "lead" for one in planned)
    return bool(made["action"] == "create" and needs and (made["entity"] == "contact" or simple))


def is_made(one: dict[str, Any], made: list[dict[str, Any]], call: Call, scenario: Scenario) -> bool:
    """Did it leave? Else there is a reason: nobody's number, a record in use, everything refused."""
    if one["action"] == "nothing" or any(is_told(other, [one]) and other["action"] == one["action"] for other in made):
        return True
    if one["action"] == "create":
        own = scenario.config.get("refuses") or scenario.config.get("open") or scenario.config.get("known")
        return bool(call.client_number is None or own or scenario.config.get("client") or scenario.config.get("inner"))
    return call.client_number is None and one["action"] != "notify"


SCENARIOS = all_scenarios()
CASES = [
    pytest.param(scenario, layer, id=f"{scenario.folder.name}-{layer}")
    for scenario in SCENARIOS
    for layer in LAYERS
    if layer == "its own"
    or "payloads" not in scenario.config  # the same call again under other settings says nothing new
]


@pytest.mark.parametrize(("scenario", "layer"), CASES)
def test_what_left_is_what_the_dry_run_says(house: Flask, scenario: Scenario, layer: str) -> None:
    number = told(scenario, LAYERS[layer])
    portal = db.session.get_one(Portal, number)
    calls = db.session.query(Call).filter_by(portal_id=number).all()
    assert calls
    for call in calls:
        rows = dry_run.compare_rules(db.session(), portal, settings.current(portal), [call])
        made = left(call)
        if not rows:
            assert made == []
            continue
        [row] = rows
        assert row.draft.rule == call.rule, row.rule_trace
        assert not row.differs, (row.actual, row.draft)
        planned = list(row.draft.actions)
        assert [one for one in made if not is_told(one, planned)] == [], planned
        assert [one for one in planned if not is_made(one, made, call, scenario)] == [], made


# --- conditions ------------------------------------------------------------------------------------------------------

CLIENT, BEGAN = "+79160000001", datetime(2026, 4, 13, 6, 0, tzinfo=UTC)
"""Of the scenario that the conditions are tried on: Monday, 9:00 in Moscow."""
FITS_AND_NOT: dict[str, tuple[Any, Any]] = {
    "direction": ("in", "out"),
    "outcome": ("answered", "missed"),
    "pbx": ("moscow", "north"),
    "line": ("74950000001", "74950000002"),
    "hours": ("working", "off"),
    "weekday": ("mon", "tue"),
    "day_of_month": (13, "last"),
    "client": ("known", "new"),
    "number": ("+7916", "+7495"),
    "client_has_open": ("deal", "lead"),
    "repeat_within_minutes": (11, 9),
    "rang": ("300", "999"),
    "min_seconds": (84, 85),
    "moment": ("end", None),
}
"""Condition -> a value that the call fulfils, and one that it does not."""


def add_previous_call(portal: Portal) -> None:
    """The same client called ten minutes before."""
    pbx = db.session.query(PbxRow).filter_by(portal_id=portal.id).first()
    assert pbx is not None
    began = BEGAN - timedelta(minutes=10)
    db.session.add(
        Call(
            portal_id=portal.id, pbx_id=pbx.id, pbx_key=pbx.key, entry_id="previous", direction="in",
            client_number=CLIENT, outcome="missed", state="finished", started_at=began, ended_at=began,
            updated_at=began, heard_at=began,
        )
    )  # fmt: skip


@pytest.mark.parametrize("key", rules.CONDITIONS)
def test_a_rule_of_one_condition_fires_in_the_worker_and_in_the_dry_run(house: Flask, key: str) -> None:
    """A condition whose fact is not computed in one of the two would never fire there. A new row needs values here."""
    scenario = next(one for one in SCENARIOS if one.folder.name == "rule_client_has_open")
    for value, fires in zip(FITS_AND_NOT[key], (True, False), strict=True):
        if value is None:
            continue
        rule = Rule(name="tried", when={key: value}, do=({"notify": {"user": 12, "text": "fired"}},))
        portal = db.session.get_one(Portal, told(scenario, (rule,), add_previous_call))
        call = db.session.query(Call).filter_by(portal_id=portal.id, entry_id=scenario.entry_id).one()
        assert (call.rule == "tried") is fires
        draft = settings.current(portal)
        [row] = dry_run.compare_rules(db.session(), portal, draft, [call])
        assert (row.draft.rule == "tried") is fires, row.rule_trace
        assert getattr(row.choice.facts, rules.CONDITIONS[key].fact) is not None
        own = draft.model_copy(update={"rules": ()})
        # As if the call was made under settings without rules, which asked for nothing.
        call.settings_version_id = settings.save_version(portal, own).id
        [row] = dry_run.compare_rules(db.session(), portal, draft, [call])
        assert (row.draft.rule == "tried") is fires, row.rule_trace
        db.session.commit()
