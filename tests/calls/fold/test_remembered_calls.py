"""A notification that changes nothing for the portal waits for the next step; every doubt means a step at once."""

from __future__ import annotations

from datetime import timedelta

import pytest
from flask import Flask

from bx24app.calls import drain
from bx24app.calls.fold import remembered_calls
from bx24app.calls.fold.remembered_calls import DEFER_SECONDS, defer_step
from bx24app.models import Call, Delivery, Notification, Portal, db, utcnow
from tests.calls.inbox.test_receiver import post, signed
from tests.support.scenarios import FIXTURES, Notice, Scenario

NOTICES = Scenario(FIXTURES / "incoming_answered_by_group").notices
"""The voice menu answers, leaves, the queue begins; the fourth one rings somebody's phone."""


def store(hook: str, *notices: Notice) -> None:
    for notice in notices:
        assert post(hook, notice.name, signed(notice.raw)) == 200


def new_notifications() -> int:
    count = db.session.query(Notification).filter_by(state="new").count()
    db.session.rollback()
    return count


@pytest.fixture
def known(app: Flask, portal: Portal, hook: str) -> int:
    """A portal to which requests may leave, with a call that has begun: nothing of it is sent yet. The portal's id."""
    portal.state = "active"
    db.session.commit()
    portal_id = portal.id
    store(hook, NOTICES[0])
    drain.drain(portal_id)
    assert new_notifications() == 0
    return portal_id


def test_what_changes_nothing_waits_and_what_rings_does_not(known: int, hook: str) -> None:
    for notice in NOTICES[1:3]:
        store(hook, notice)
        drain.drain(known)
    assert new_notifications() == 2
    store(hook, NOTICES[3])
    assert not defer_step(known)


def test_it_waits_two_seconds_at_most(known: int, hook: str) -> None:
    store(hook, NOTICES[1])
    assert defer_step(known)
    early = utcnow() - timedelta(seconds=DEFER_SECONDS)
    db.session.query(Notification).filter_by(state="new").update({"received_at": early})
    db.session.commit()
    drain.drain(known)
    assert new_notifications() == 0
    assert db.session.query(Call).one().due_at is not None, "all legs have ended"


def test_a_notification_from_the_future_is_folded_at_once(known: int, hook: str) -> None:
    """The clock of the machine that stored it is ahead: by it, the wait would be long."""
    store(hook, NOTICES[1])
    late = utcnow() + timedelta(seconds=30)
    db.session.query(Notification).filter_by(state="new").update({"received_at": late})
    db.session.commit()
    assert not defer_step(known)


def test_a_call_that_another_process_has_changed_is_read_again(known: int, hook: str) -> None:
    store(hook, NOTICES[1])
    db.session.query(Call).update({"updated_at": utcnow()})
    db.session.commit()
    assert not defer_step(known)


def test_a_call_that_is_due_is_not_kept_waiting(known: int, hook: str) -> None:
    store(hook, NOTICES[1])
    assert defer_step(known)
    other = Call(portal_id=known, pbx_id=1, pbx_key="moscow", entry_id="e", started_at=utcnow(), due_at=utcnow())
    db.session.add(other)
    db.session.commit()
    assert not defer_step(known)


def test_a_delivery_that_may_leave_is_not_kept_waiting(known: int, hook: str) -> None:
    store(hook, NOTICES[1])
    call = db.session.query(Call).one()
    row = Delivery(portal_id=known, call_id=call.id, key="hide", kind="HideCard", command={"key": "hide", "users": [1]})
    db.session.add(row)
    db.session.commit()
    assert not defer_step(known)


def test_a_call_that_nobody_remembers_is_folded_at_once(app: Flask, known: int, hook: str) -> None:
    app.extensions["bx24app"].get(remembered_calls.RememberedCalls)._calls.clear()
    store(hook, NOTICES[1])
    drain.drain(known)
    assert new_notifications() == 0


def test_a_new_call_is_folded_at_once(known: int, hook: str) -> None:
    store(hook, *Scenario(FIXTURES / "transfer_blind_by_api").notices[:1], NOTICES[1])
    assert not defer_step(known)


def test_without_news_a_wake_up_means_a_step(known: int) -> None:
    assert not defer_step(known)


def test_answers_and_a_step_that_has_folded_it_all_agree(known: int, hook: str) -> None:
    """The rows that waited are folded with the one that could not wait."""
    store(hook, *NOTICES[1:3])
    assert defer_step(known)
    db.session.query(Portal).update({"state": "paused"})
    db.session.commit()
    store(hook, *NOTICES[3:])
    drain.drain(known)
    call = db.session.query(Call).one()
    assert (call.outcome, call.user_id, call.talk_seconds) == ("answered", 11, 84)
    assert new_notifications() == 0
    assert [row.key for row in db.session.query(Delivery).order_by(Delivery.id)] == ["register", "finish"]
