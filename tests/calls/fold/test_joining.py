"""Two calls of the journal that turn out to be one are joined, in whatever order their names come (t20)."""

from __future__ import annotations

import itertools
import json
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask

from bx24app.calls import drain
from bx24app.domain.settings import EmployeeSettings, LineSettings, PbxSettings, Settings
from bx24app.models import Call, Delivery, Notification, Portal, Recording, db, utcnow
from bx24app.models import Pbx as PbxRow
from tests.calls.inbox.test_receiver import post, short, signed
from tests.conftest import make_portal

DOCUMENT = Settings(
    pbxs=(
        PbxSettings(
            key="moscow",
            dialects=("vpbx", "events"),
            default_user_id=9,
            lines=(LineSettings(number="74950000001"),),
            employees=(
                EmployeeSettings(extension="101", user_id=11),
                EmployeeSettings(extension="102", user_id=12),
            ),
        ),
    )
)
START, NUMBER = 1776060000, "79160000001"
FIRST = ("call_start", {"uuid": "u1", "entry_id": "e1", "to": {"extension": "101"}})
SECOND = ("call_start", {"uuid": "u2", "to": {"extension": "102"}})
NAMED = ("call_answer", {"uuid": "u2", "entry_id": "e1", "to": {"extension": "102"}, "answer_time": START + 5})
AGAIN = ("call_start", {"uuid": "u1", "to": {"extension": "101"}, "time": START + 1})
END = (
    "call_end",
    {"uuid": "u2", "entry_id": "e1", "to": {"extension": "102"}, "call_state": "Answered", "duration": 60,
     "finish_time": START + 65},
)  # fmt: skip
OTHER_END = (
    "call_end",
    {"uuid": "u1", "entry_id": "e1", "to": {"extension": "101"}, "call_state": "NoAnswer", "finish_time": START + 5},
)


@pytest.fixture
def portal_id(app: Flask) -> int:
    return make_portal(document=DOCUMENT).id


@pytest.fixture
def hook(portal_id: int) -> str:
    return db.session.query(PbxRow).filter_by(portal_id=portal_id).one().hook_key


def send(portal_id: int, hook: str, *notifications: tuple[str, dict[str, Any]]) -> None:
    """Each is drained before the next comes."""
    for name, content in notifications:
        body = {"from": NUMBER, "direction": "in", "start_time": START, "line_number": "74950000001", **content}
        assert short(hook, name, body) == 200
        drain.drain(portal_id)


@pytest.mark.parametrize("order", list(itertools.permutations((FIRST, SECOND, NAMED, AGAIN))))
def test_any_order_of_names_makes_one_call(
    app: Flask, portal_id: int, hook: str, order: tuple[tuple[str, dict[str, Any]], ...]
) -> None:
    send(portal_id, hook, *order, END)
    call = db.session.query(Call).one()
    assert (call.entry_id, call.talk_seconds, call.user_id) == ("e1", 60, 12)
    assert {row.entry_id for row in db.session.query(Notification)} <= {"e1", "u1", "u2"}
    assert {row.state for row in db.session.query(Notification)} == {"handled"}
    assert [row.key for row in db.session.query(Delivery).filter_by(kind="Register")] == ["register"]


def _answer(entry_id: str, call_id: str) -> int:
    """The portal has registered the call and shown its card. Returns the call's row id."""
    call = db.session.query(Call).filter_by(entry_id=entry_id).one()
    for row in db.session.query(Delivery).filter_by(call_id=call.id):
        row.state, row.done_at, row.answer = "done", utcnow(), {}
        if row.kind == "Register":
            row.answer = {"call_id": call_id, "record": None, "created": []}
    number = call.id
    db.session.commit()
    return number


def _drain_due(portal_id: int, call_id: int) -> Call:
    db.session.get_one(Call, call_id).due_at = utcnow()
    db.session.commit()
    drain.drain(portal_id)
    return db.session.get_one(Call, call_id)


def test_the_call_that_the_portal_knows_survives(app: Flask, portal_id: int, hook: str) -> None:
    send(portal_id, hook, SECOND)
    known = _answer("u2", "portal-2")
    send(portal_id, hook, FIRST, NAMED, END)
    call = db.session.query(Call).one()
    assert (call.id, call.entry_id, call.bitrix_call_id, call.talk_seconds) == (known, "e1", "portal-2", 60)
    kinds = [(row.kind, row.state) for row in db.session.query(Delivery).filter_by(kind="Register")]
    assert kinds == [("Register", "done")], "it is not registered a second time"


def test_the_one_registered_second_is_closed_without_a_talk(app: Flask, portal_id: int, hook: str) -> None:
    send(portal_id, hook, FIRST)
    first = _answer("e1", "portal-1")
    send(portal_id, hook, SECOND)
    second = _answer("u2", "portal-2")
    db.session.add(
        Recording(portal_id=portal_id, call_id=second, recording_id="r", state="attached", bitrix_call_id="portal-2")
    )
    db.session.commit()
    send(portal_id, hook, NAMED)
    kept, hidden = db.session.get_one(Call, first), db.session.get_one(Call, second)
    assert (kept.entry_id, kept.visible, kept.state) == ("e1", True, "open")
    assert (hidden.visible, hidden.command_id, hidden.facts["joined"]) == (False, None, first)
    kinds = {row.kind for row in db.session.query(Delivery).filter_by(call_id=second)}
    assert kinds == {"Register", "HideCard"}, "its card goes at once, its end comes with the conversation's"
    assert db.session.query(Recording).one().call_id == first
    send(portal_id, hook, OTHER_END, END)
    db.session.query(Notification).update({"received_at": utcnow() - timedelta(hours=1)})  # nothing more came
    assert _drain_due(portal_id, first).outcome == "answered"
    _drain_due(portal_id, second)
    finish = db.session.query(Delivery).filter_by(call_id=second, kind="Finish").one()
    assert (finish.command["seconds"], finish.command["status"], finish.command["user_id"]) == (0, "200", 12)
    finish.state, finish.answer = "done", {"activity_id": 5}
    hidden = _drain_due(portal_id, second)
    assert (hidden.state, hidden.due_at) == ("finished", None)
    assert db.session.query(Delivery).filter_by(call_id=first, kind="Finish").one().command["seconds"] == 60


def test_a_click_whose_leg_came_before_its_command(app: Flask, portal_id: int, hook: str) -> None:
    pbx = db.session.query(PbxRow).filter_by(portal_id=portal_id).one()
    version = db.session.get_one(Portal, portal_id).settings_version_id
    click = Call(portal_id=portal_id, pbx_id=pbx.id, pbx_key="moscow", entry_id="click:bx24-1", command_id="bx24-1",
                 settings_version_id=version, direction="out", client_number=f"+{NUMBER}", started_at=utcnow(),
                 heard_at=utcnow(), users=[], crm=[], bitrix_call_id="clicked", facts={"click_user": 11})  # fmt: skip
    db.session.add(click)
    db.session.flush()
    register = {"key": "register", "user_id": 11, "number": f"+{NUMBER}", "type": 1, "started_at": START, "line": None,
                "external_id": "", "show": True}  # fmt: skip
    db.session.add(Delivery(portal_id=portal_id, call_id=click.id, key="register", kind="Register", command=register,
                            state="done", answer={"call_id": "clicked", "record": None, "created": []}))  # fmt: skip
    number = click.id
    db.session.commit()
    leg = {"entry_id": "e9", "call_id": "l1", "timestamp": START, "seq": 1, "call_state": "Appeared",
           "location": "abonent", "from": {"number": NUMBER}, "to": {"extension": "101"}}  # fmt: skip
    for content in (leg, {**leg, "seq": 2, "call_state": "Connected", "command_id": "bx24-1"}):
        assert post(hook, "events/call", signed(json.dumps(content))) == 200
        drain.drain(portal_id)
    call = db.session.query(Call).one()
    assert (call.id, call.entry_id, call.bitrix_call_id, call.command_id) == (number, "e9", "clicked", "bx24-1")
