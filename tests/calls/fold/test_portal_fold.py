"""Deciding: notifications become calls, journal columns, deliveries and recordings; nothing leaves while the portal is
paused.
"""

from __future__ import annotations

from datetime import timedelta

from flask import Flask

from bx24app.calls import drain, sweep
from bx24app.domain.calls.outcome import MAX_SILENCE_SECONDS
from bx24app.models import Call, Delivery, LineCounter, Notification, Portal, Recording, db, utcnow
from tests.calls.inbox.test_receiver import post, signed
from tests.support.scenarios import FIXTURES, Scenario


def tell(hook: str, scenario: str) -> None:
    for notice in Scenario(FIXTURES / scenario).notices:
        assert post(hook, notice.name, signed(notice.raw)) == 200


def test_a_call_is_folded_and_written_down(app: Flask, portal_id: int, hook: str) -> None:
    tell(hook, "incoming_answered_by_group")
    drain.drain(portal_id)
    call = db.session.query(Call).one()
    assert (call.direction, call.outcome, call.user_id, call.talk_seconds) == ("in", "answered", 11, 84)
    assert (call.client_number, call.line_number, call.state) == ("+79160000001", "74950000001", "open")
    keys = [row.key for row in db.session.query(Delivery).order_by(Delivery.id)]
    assert keys == ["register", "finish"]
    assert {row.state for row in db.session.query(Notification)} == {"handled"}
    recording = db.session.query(Recording).one()
    assert (recording.part, recording.state, recording.user_id, recording.due_at) == (1, "waiting", 11, None)
    assert recording.noticed_at is not None


def test_draining_again_changes_nothing(app: Flask, portal_id: int, hook: str) -> None:
    tell(hook, "transfer_blind_by_api")
    drain.drain(portal_id)
    before = [(row.key, row.command) for row in db.session.query(Delivery)]
    tell(hook, "transfer_blind_by_api")
    drain.drain(portal_id)
    assert [(row.key, row.command) for row in db.session.query(Delivery)] == before
    assert db.session.query(Call).count() == 1


def test_an_internal_call_is_not_in_the_journal(app: Flask, portal_id: int, hook: str) -> None:
    tell(hook, "internal")
    drain.drain(portal_id)
    call = db.session.query(Call).one()
    assert (call.visible, call.state) == (False, "finished")
    assert db.session.query(Delivery).count() == 0


def test_extensions_that_are_nobodys_are_written_down(app: Flask, portal_id: int, hook: str) -> None:
    from bx24app import settings
    from tests.conftest import DOCUMENT

    [pbx] = DOCUMENT.pbxs
    portal, left = db.session.get_one(Portal, portal_id), tuple(pbx.employees)[1:]
    settings.save_version(portal, DOCUMENT.model_copy(update={"pbxs": (pbx.model_copy(update={"employees": left}),)}))
    db.session.commit()
    tell(hook, "incoming_answered_by_group")
    drain.drain(portal_id)
    call = db.session.query(Call).one()
    gone = pbx.employees[0].extension
    assert gone in (call.unmapped or "").split(",")
    assert call.facts["unmapped"] == (call.unmapped or "").split(",")
    assert not {one.extension for one in left} & set(call.facts["unmapped"])


def test_the_turn_of_a_line_is_drawn_once_a_call(app: Flask, portal_id: int, hook: str) -> None:
    from bx24app import settings
    from bx24app.domain.settings import LineResponsible
    from tests.conftest import DOCUMENT

    [pbx] = DOCUMENT.pbxs
    line = pbx.lines[0].model_copy(update={"responsible": LineResponsible(users=(21, 22))})
    settings.save_version(
        db.session.get_one(Portal, portal_id),
        DOCUMENT.model_copy(update={"pbxs": (pbx.model_copy(update={"lines": (line,)}),)}),
    )
    db.session.commit()
    tell(hook, "incoming_lost_in_ivr")
    drain.drain(portal_id)
    drain.drain(portal_id)
    tell(hook, "incoming_missed_by_group")
    drain.drain(portal_id)
    assert [call.user_id for call in db.session.query(Call).order_by(Call.id)] == [21, 22]
    assert db.session.query(LineCounter).one().picks == 2


def test_a_call_whose_end_never_came_is_over_after_hours(app: Flask, portal_id: int, hook: str) -> None:
    answered = [
        notice for notice in Scenario(FIXTURES / "incoming_answered_by_group").notices if "summary" not in notice.name
    ]
    for notice in answered[: len(answered) // 2]:
        assert post(hook, notice.name, signed(notice.raw)) == 200
    drain.drain(portal_id)
    sweep.close_silent_calls()
    drain.drain(portal_id)
    call = db.session.query(Call).one()
    assert (call.outcome, call.due_at, "finish" in keys()) == (None, None, False), "a long talk is no lost end"
    call.heard_at = utcnow() - timedelta(seconds=MAX_SILENCE_SECONDS + 60)
    db.session.commit()
    sweep.close_silent_calls()
    drain.drain(portal_id)
    assert (db.session.query(Call).one().outcome, keys()[-1]) == ("answered", "finish")


def keys() -> list[str]:
    return [row.key for row in db.session.query(Delivery).order_by(Delivery.id)]
