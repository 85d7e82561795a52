"""Answers that are lost, workers that die, clicks that come twice: the client's telephone rings at most once, every
call ends.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from bx24app.calls import click_to_call, drain, sweep
from bx24app.calls.click_to_call import DialOrder, DialOutcome
from bx24app.calls.click_to_call.dial import ANSWER_WAIT_SECONDS
from bx24app.infra import queue
from bx24app.mango.client import MangoClient
from bx24app.models import Delivery, Notification, Portal, db
from bx24app.sandbox.mango import simulation
from tests.support.click_offices import ANNA, BORIS, MOSCOW, PICKS_UP_LATER, Offices, number, offices
from tests.support.stack import World, until


@pytest.fixture
def both(earth: World) -> Iterator[Offices]:
    made = offices(earth)
    made.plan()
    yield made
    made.earth.mango.rest_faults.clear()


def silence(*_: object, **__: object) -> None:
    """Mango accepts, and is never heard of again."""


def says(code: int) -> Callable[..., None]:
    """Mango accepts, and the outcome follows as a result only."""

    def callback(
        board: Any, _first: str, _plan: object, *, command_id: str, name: str = "callback", **_: object
    ) -> None:
        board.emit_notification(f"result/{name}", {"command_id": command_id, "result": code})

    return callback


def failed_after_twenty_seconds(both: Offices, client: str, call_id: str) -> None:
    both.later(client, 15)
    with both.earth.app.app_context():
        drain.drain(both.earth.portal_row()["id"])
    assert not both.rows(client)  # a leg may still come
    both.later(client, 6)
    (row,) = both.finished(client)
    assert (row.call_id, row.user_id, row.failed_code, row.duration) == (call_id, ANNA, "304", 0)
    assert both.notices_to(ANNA, client) == [row.failed_reason]
    call = both.call(client)
    assert (call["state"], call["outcome"]) == ("finished", "failed")


def goes_on(both: Offices, client: str, call_id: str) -> None:
    (row,) = both.finished(client)
    assert (row.call_id, row.user_id, row.failed_code, row.duration) == (call_id, ANNA, "200", 7)
    assert len(both.dialled(client)) == 1
    assert not both.notices_to(ANNA, client)


# --- the answer is lost ----------------------------------------------------------------------------------------------


def test_lost_answer_and_the_leg_shows(both: Offices) -> None:
    client = number()
    with both.broken("commands/callback", "close-after"):
        goes_on(both, client, both.click(ANNA, client))


@pytest.mark.parametrize(("kind", "dialled"), [("close-after", 1), ("close-before", 0), ("html", 0)])
def test_lost_answer_and_nothing_shows(both: Offices, monkeypatch: pytest.MonkeyPatch, kind: str, dialled: int) -> None:
    client = number()
    monkeypatch.setattr(simulation, "callback", silence)
    with both.broken("commands/callback", kind):
        call_id = both.click(ANNA, client)
        until(lambda: both.dial(client) == ("done", {"lost": True}), lambda: str(both.state(client)))
    failed_after_twenty_seconds(both, client, call_id)
    assert len(both.dialled(client)) == dialled


def test_lost_answer_and_a_refusal_as_result(both: Offices, monkeypatch: pytest.MonkeyPatch) -> None:
    client = number()
    monkeypatch.setattr(simulation, "callback", says(2110))
    with both.broken("commands/callback", "close-after"):
        call_id = both.click(ANNA, client)
        (row,) = both.finished(client)
    assert (row.call_id, row.failed_code) == (call_id, "402")
    assert both.notices_to(ANNA, client) == [row.failed_reason]


def test_a_result_of_success_gives_the_legs_more_time(both: Offices, monkeypatch: pytest.MonkeyPatch) -> None:
    client = number()
    monkeypatch.setattr(simulation, "callback", says(1000))
    with both.broken("commands/callback", "close-after"):
        both.click(ANNA, client)
        until(lambda: both.dial(client) == ("done", {"lost": True}), lambda: str(both.state(client)))
    both.wait_for_notifications()
    both.later(client, 60)
    with both.earth.app.app_context():
        drain.drain(both.earth.portal_row()["id"])
    assert not both.rows(client)
    both.later(client, 61)
    (row,) = both.finished(client)
    assert row.failed_code == "304"


def test_accepted_and_never_heard_of_again(both: Offices, monkeypatch: pytest.MonkeyPatch) -> None:
    client = number()
    monkeypatch.setattr(simulation, "callback", silence)
    both.click(ANNA, client)
    until(lambda: both.dial(client) == ("done", {"accepted": True}), lambda: str(both.state(client)))
    both.later(client, 121)
    (row,) = both.finished(client)
    assert row.failed_code == "304"
    assert both.notices_to(ANNA, client) == [row.failed_reason]


# --- the worker dies between intent and answer -----------------------------------------------------------------------


class Killed(BaseException):
    """What a kill looks like from inside: nothing after it is stored."""


def dies(before: bool) -> Callable[[DialOrder, MangoClient], DialOutcome]:
    real = click_to_call.send_dial_order

    def dial(order: DialOrder, client: MangoClient) -> DialOutcome:
        if not before:
            real(order, client)
        raise Killed

    return dial


def die_at(both: Offices, monkeypatch: pytest.MonkeyPatch, client: str, before: bool) -> str:
    """Click; the drain that takes the command to Mango dies with it. Nobody else drains meanwhile."""
    ours = drain.drain
    both.rest()
    with monkeypatch.context() as patched:
        patched.setattr(queue, "wake_portal", silence)
        patched.setattr(drain, "drain", silence)  # a wake-up of an earlier call may come just now
        # A drain that began before is finished first: on a loaded machine it would take the click from this one.
        until(lambda: not both.earth.is_working(), "a job goes on")
        call_id = both.click(ANNA, client)
        until(lambda: stored(both, call_id), "the click never came")
        patched.setattr(click_to_call, "send_dial_order", dies(before))
        with both.earth.app.app_context(), pytest.raises(Killed):
            ours(both.earth.portal_row()["id"])
    assert both.dial(client) == ("sent", None)
    return call_id


def stored(both: Offices, call_id: str) -> bool:
    with both.earth.app.app_context():
        found = db.session.query(Notification).filter(Notification.body.contains(call_id)).count()
        db.session.rollback()
        return bool(found)


def test_killed_before_it_left(both: Offices, monkeypatch: pytest.MonkeyPatch) -> None:
    client = number()
    call_id = die_at(both, monkeypatch, client, before=True)
    failed_after_twenty_seconds(both, client, call_id)
    with both.earth.app.app_context():
        sweep.sweep()
        drain.drain(both.earth.portal_row()["id"])
    assert both.dial(client) == ("done", {"lost": True})
    assert both.dialled(client) == []
    assert len(both.rows(client)) == 1


def test_killed_after_it_left_and_the_leg_shows(both: Offices, monkeypatch: pytest.MonkeyPatch) -> None:
    client = number()
    call_id = die_at(both, monkeypatch, client, before=False)
    both.earth.sandbox.call(both.earth.mango.wait_until_idle)
    with both.earth.app.app_context():
        queue.wake_portal(both.earth.portal_row()["id"])
    until(lambda: both.rows(client), lambda: str(both.state(client)))
    assert both.rows(client)[0].failed_code == "200"
    both.later(client, 25)
    with both.earth.app.app_context():
        sweep.sweep()
    goes_on(both, client, call_id)


def test_killed_after_it_left_and_nothing_shows(both: Offices, monkeypatch: pytest.MonkeyPatch) -> None:
    client = number()
    monkeypatch.setattr(simulation, "callback", silence)
    call_id = die_at(both, monkeypatch, client, before=False)
    failed_after_twenty_seconds(both, client, call_id)
    assert len(both.dialled(client)) == 1


def test_the_alarm_of_a_dead_worker_is_set_before_it_dies(both: Offices, monkeypatch: pytest.MonkeyPatch) -> None:
    client = number()
    rung: list[float] = []
    monkeypatch.setattr(queue, "wake_at", lambda _portal, when: rung.append(when.timestamp()))
    die_at(both, monkeypatch, client, before=True)
    with both.earth.app.app_context():
        sent = db.session.query(Delivery).order_by(Delivery.id.desc())
        row = sent.filter_by(kind="Dial").first()
        assert row is not None
        assert row.sent_at is not None
        wanted = (row.sent_at + timedelta(seconds=ANSWER_WAIT_SECONDS)).timestamp()
        db.session.rollback()
    assert [when for when in rung if abs(when - wanted) < 1]
    monkeypatch.undo()
    both.later(client, 25)
    both.finished(client)


# --- clicks that come twice, or too late -----------------------------------------------------------------------------


def test_a_second_click_while_the_first_is_dialling(both: Offices) -> None:
    client = number()
    both.plan(speed=50, parties={"101": PICKS_UP_LATER})
    first = both.click(ANNA, client)
    both.ringing(client)
    assert both.click(ANNA, client) == first  # the portal knows its own call
    second = both.click(ANNA, client, line=MOSCOW)  # and makes another one where the line is another
    assert second != first
    until(lambda: both.rows(client), lambda: str(both.state(client)))
    (refused,) = both.rows(client)
    assert (refused.call_id, refused.user_id, refused.failed_code) == (second, ANNA, "304")
    assert both.notices_to(ANNA, client) == [refused.failed_reason]
    again(both, first)
    both.pick_up(client, "101")
    rows = both.finished(client, 2)
    assert [(row.call_id, row.failed_code) for row in rows] == [(second, "304"), (first, "200")]
    assert len(both.dialled(client)) == 1
    both.plan()
    third = both.click(ANNA, client)  # and now the line is free again
    assert both.finished(client, 3)[2].call_id == third
    assert len(both.dialled(client)) == 2


def again(both: Offices, call_id: str) -> None:
    """The portal's event of this call once more, word for word."""
    portal = both.earth.portal
    with both.earth.app.app_context():
        row = db.session.query(Notification).filter(Notification.body.contains(call_id)).one()
        data = json.loads(row.body)
        db.session.rollback()
    (app,) = portal.apps.values()
    both.earth.sandbox.call(lambda: portal.event_sender.send_event("ONEXTERNALCALLSTART", data, ANNA, app))
    both.earth.sandbox.call(portal.wait_until_idle)


def test_a_colleague_may_call_the_same_client(both: Offices) -> None:
    client = number()
    both.plan(speed=50, parties={"101": PICKS_UP_LATER})
    first = both.click(ANNA, client)
    both.ringing(client)
    second = both.click(BORIS, client)
    until(lambda: both.rows(client), lambda: str(both.state(client)))
    assert both.rows(client)[0].call_id == second
    both.pick_up(client, "101")
    assert {(row.call_id, row.failed_code) for row in both.finished(client, 2)} == {(first, "200"), (second, "200")}
    assert len(both.dialled(client)) == 2


def test_the_event_of_a_finished_call_dials_nobody(both: Offices) -> None:
    client = number()
    call_id = both.click(ANNA, client)
    both.finished(client)
    again(both, call_id)
    both.rest()
    assert len(both.dialled(client)) == len(both.rows(client)) == 1


def test_a_click_that_waited_too_long_rings_nobody(both: Offices) -> None:
    client = number()
    state(both, "paused")
    call_id = both.click(ANNA, client)
    until(lambda: both.dial(client)[0] == "waiting", lambda: str(both.state(client)))
    both.later(client, 600)
    state(both, "active")
    both.later(client, 0)
    until(lambda: both.dial(client)[0] == "dead", lambda: str(both.state(client)))
    both.later(client, 0)
    (row,) = both.finished(client)
    assert (row.call_id, row.failed_code) == (call_id, "304")
    assert both.notices_to(ANNA, client) == [row.failed_reason]
    assert not both.dialled(client)


def state(both: Offices, name: str) -> None:
    with both.earth.app.app_context():
        db.session.get_one(Portal, both.earth.portal_row()["id"]).state = name
        db.session.commit()


@pytest.mark.parametrize(
    "spoilt",
    [
        {"USER_ID": "eleven"},
        {"CRM_CREATED_ENTITIES": "x"},
        {"CRM_ENTITY_TYPE": "LEAD", "CRM_ENTITY_ID": "?"},
        {"USER_ID": ""},
    ],
    ids=["user", "created", "entity", "nobody"],
)
def test_an_event_that_cannot_be_read_is_kept_with_its_reason(both: Offices, spoilt: dict[str, str]) -> None:
    client = number()
    data = {"CALL_ID": f"externalCall.spoilt{client}", "USER_ID": ANNA, "PHONE_NUMBER": client, "LINE_NUMBER": ""}
    (app,) = both.earth.portal.apps.values()
    both.earth.sandbox.call(
        lambda: both.earth.portal.event_sender.send_event("ONEXTERNALCALLSTART", data | spoilt, ANNA, app)
    )
    until(lambda: rejected(both, client), "never rejected")
    assert not both.calls(client)
    goes_on(both, client, both.click(ANNA, client))  # and what comes after it is not held up


def rejected(both: Offices, client: str) -> str | None:
    with both.earth.app.app_context():
        rows = db.session.query(Notification).filter(Notification.body.contains(client)).filter_by(state="rejected")
        found = rows.first()
        reason = found.reason if found else None
        db.session.rollback()
        return reason
