"""The clock jumped: nothing waits for the wrong time to come again; nothing that is being done is given up and done
twice.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import redis

from bx24app.calls import clock_jumps, sweep
from bx24app.calls.fold import call_fold
from bx24app.calls.outbox import sender
from bx24app.infra.runtime import runtime
from bx24app.models import Call, Delivery, Portal, Recording, db, utcnow

AHEAD = timedelta(hours=2)


@pytest.fixture
def planned(portal: Portal) -> tuple[int, int, int]:
    """Ids of a recording, a waiting delivery and one that was sent, all by a clock two hours ahead."""
    then = utcnow() + AHEAD
    call = Call(
        portal_id=portal.id, pbx_id=1, pbx_key="moscow", entry_id="e", started_at=then, heard_at=then,
        due_at=then,
    )  # fmt: skip
    db.session.add(call)
    db.session.flush()
    of = {"portal_id": portal.id, "call_id": call.id}
    tape = Recording(**of, recording_id="r", bitrix_call_id="x", due_at=then, claimed_at=then)
    waits = Delivery(**of, key="a", kind="finish", command={}, due_at=then)
    sent = Delivery(**of, key="b", kind="finish", command={}, state="sent", sent_at=then)
    db.session.add_all([tape, waits, sent])
    db.session.commit()
    return tape.id, waits.id, sent.id


def test_what_was_planned_by_the_wrong_time_is_due(planned: tuple[int, int, int]) -> None:
    runtime().redis.set(clock_jumps.REDIS_KEY, (utcnow() + AHEAD).timestamp())
    sweep.sweep()
    db.session.expire_all()
    tape, waits, sent = (
        db.session.get_one(Recording, planned[0]),
        *(db.session.get_one(Delivery, one) for one in planned[1:]),
    )
    now = utcnow()
    assert tape.due_at is not None
    assert waits.due_at is not None
    assert max(tape.due_at, waits.due_at) <= now
    assert db.session.query(Call).one().due_at <= now  # type: ignore[operator]
    assert (sent.state, tape.claimed_at is None) == ("sent", False), (
        "their workers may be alive: they have their time from now on"
    )
    assert max(sent.sent_at, tape.claimed_at) <= now  # type: ignore[type-var]


@pytest.mark.parametrize("seconds", [None, -60, 0, clock_jumps.TOLERANCE_SECONDS / 2])
def test_nothing_moves_while_time_goes_on(planned: tuple[int, int, int], seconds: float | None) -> None:
    if seconds is not None:
        runtime().redis.set(clock_jumps.REDIS_KEY, utcnow().timestamp() + seconds)
    clock_jumps.detect_jumps()
    assert db.session.get_one(Recording, planned[0]).due_at > utcnow() + AHEAD / 2  # type: ignore[operator]


def test_without_redis_nothing_is_compared(planned: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise redis.ConnectionError

    monkeypatch.setattr(runtime().redis, "get", refuse)
    clock_jumps.detect_jumps()
    assert db.session.get_one(Recording, planned[0]).due_at > utcnow() + AHEAD / 2  # type: ignore[operator]


def test_what_is_planned_for_no_plans_time_is_due_though_no_sweep_saw_the_jump(planned: tuple[int, int, int]) -> None:
    db.session.get_one(Recording, planned[0]).due_at = utcnow() + timedelta(
        seconds=clock_jumps.MAX_PLAN_SECONDS + max(runtime().config.recording_retry) + 60
    )
    db.session.commit()
    clock_jumps.detect_jumps()
    db.session.expire_all()
    assert db.session.get_one(Recording, planned[0]).due_at <= utcnow()  # type: ignore[operator]
    assert db.session.get_one(Delivery, planned[1]).due_at > utcnow() + AHEAD / 2, "within what a plan may say"  # type: ignore[operator]


@pytest.mark.parametrize(("jumped", "state"), [(True, "sent"), (False, "waiting")])
def test_a_jump_forward_gives_nobody_up(
    planned: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch, jumped: bool, state: str
) -> None:
    clock_jumps.detect_jumps()
    sent = db.session.get_one(Delivery, planned[2])
    sent.sent_at = utcnow() - timedelta(seconds=1)
    db.session.commit()
    if jumped:
        real = utcnow()
        monkeypatch.setattr(clock_jumps, "utcnow", lambda: real + AHEAD)
        monkeypatch.setattr(sender, "utcnow", lambda: real + AHEAD)
    else:  # the same distance, gone by honestly
        sent.sent_at = utcnow() - AHEAD
        db.session.commit()
    sweep.sweep()
    db.session.expire_all()
    assert db.session.get_one(Delivery, planned[2]).state == state


@pytest.mark.usefixtures("app")
def test_a_leap_is_taken_off_for_as_long_as_a_call_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the new time every wait for the late rest of a call would be over at once."""
    wall, counted = 1_000_000.0, 50.0

    def pass_by(seconds: float, leaps: float = 0.0) -> float:
        nonlocal wall, counted
        wall, counted = wall + seconds + leaps, counted + seconds
        return clock_jumps.recent_jump_seconds()

    monkeypatch.setattr(clock_jumps, "utcnow", lambda: datetime.fromtimestamp(wall, UTC))
    monkeypatch.setattr(clock_jumps.time, "monotonic", lambda: counted)
    assert pass_by(1) == 0.0
    assert pass_by(10, leaps=clock_jumps.TOLERANCE_SECONDS / 2) == 0.0, "a correction"
    assert pass_by(1, leaps=7200) == pytest.approx(7200 + clock_jumps.TOLERANCE_SECONDS / 2)
    assert pass_by(clock_jumps.JUMP_HOLD_SECONDS / 2) == pytest.approx(7200 + clock_jumps.TOLERANCE_SECONDS / 2)
    assert pass_by(1, leaps=-7800) == 0.0, "it was set back, and further"
    assert pass_by(1, leaps=3600) == pytest.approx(3600)
    assert pass_by(clock_jumps.JUMP_HOLD_SECONDS + 1) == 0.0, (
        "nothing is taken off for ever: the new time may be the right one"
    )


def test_a_call_that_waits_for_its_rest_goes_on_waiting_when_the_clock_leaps(
    portal: Portal, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = Call(portal_id=portal.id, pbx_id=1, pbx_key="moscow", entry_id="e", started_at=utcnow(), heard_at=utcnow())
    assert call_fold.read_clock(call.heard_at, []).now - call.heard_at.timestamp() < 5
    monkeypatch.setattr(call_fold, "utcnow", lambda: utcnow() + AHEAD)
    monkeypatch.setattr(clock_jumps, "utcnow", lambda: utcnow() + AHEAD)
    assert call_fold.read_clock(call.heard_at, []).now - call.heard_at.timestamp() < 5
