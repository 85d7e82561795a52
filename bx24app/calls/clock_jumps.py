"""USE CASE: the clock jumped. What was planned by a wrong time must neither wait until it comes again, nor be given up too early."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import redis
from sqlalchemy import update

from bx24app.domain.calls.commands import MANGO_KINDS
from bx24app.infra.logs import get_logger
from bx24app.infra.runtime import runtime
from bx24app.models import Call, Delivery, Notification, Recording, db, utcnow

_log = get_logger(__name__)

REDIS_KEY = "clock"
"""In Redis: the newest moment at which a sweep looked, seconds since 1970; behind ``:`` and a machine's start, that minus the seconds since
that start, which only a clock that is set changes."""
TOLERANCE_SECONDS = 30.0
"""Seconds by which machines may differ, and a clock be corrected, without anybody noticing."""
MAX_PLAN_SECONDS = 2 * 3600.0
"""Nothing but the plan for recordings looks further ahead than this (an hour at the most): who planned it lived by a wrong clock, even where that was
right again before a sweep could see it."""
KEY_TTL_SECONDS = 7 * 86400
JUMP_HOLD_SECONDS = 180.0
"""Seconds for which a leap is taken off again: longer than a call waits for what is late."""
_BOOT_ID_PATH = Path("/proc/sys/kernel/random/boot_id")


def detect_jumps() -> None:
    """Part of every sweep, before it gives anything up.

    Where time ran backwards since the last one, everything that waits is due, and no claim lies ahead; where it jumped forward, nobody's
    time to answer is over for that. A look too early does nothing but ask again; without Redis nothing is compared.
    """
    now = utcnow()
    _clamp_due_times(now, MAX_PLAN_SECONDS + max(runtime().config.recording_retry))
    base = now.timestamp() - time.monotonic()
    try:
        client, mine = runtime().redis, f"{REDIS_KEY}:{_boot_id()}"
        newest, before = client.get(REDIS_KEY), client.get(mine)
        client.set(REDIS_KEY, now.timestamp())
        client.set(mine, base, ex=KEY_TTL_SECONDS)
    except redis.RedisError as error:
        _log.warning("the clock is not compared", error=type(error).__name__)
        return
    if newest is not None and now.timestamp() < float(newest) - TOLERANCE_SECONDS:
        _log.warning("the clock went back", seconds=round(float(newest) - now.timestamp()))
        _clamp_due_times(now, TOLERANCE_SECONDS)
        _clamp_heard_times(now)
        _renew_claims(now, only_ahead=True)
    elif before is not None and base > float(before) + TOLERANCE_SECONDS:
        _log.warning("the clock went forward", seconds=round(base - float(before)))
        _renew_claims(now)


@dataclass(slots=True)
class _ClockState:
    """What a process knows of its clock: that minus the seconds that the machine counts by itself, and its last leap."""

    base: float | None = None
    jump_seconds: float = 0.0
    jumped_at: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock)


def recent_jump_seconds() -> float:
    """Seconds by which this machine's clock has gone forward just now; 0.0: it goes on as it should.

    Who waits for the late rest of a call takes them off: by the new time the wait would be over, and the call be told half.
    """
    counted = time.monotonic()
    base = utcnow().timestamp() - counted
    state = runtime().get(_ClockState)
    with state.lock:
        moved = 0.0 if state.base is None else base - state.base
        if abs(moved) > TOLERANCE_SECONDS:
            state.jump_seconds, state.jumped_at = max(0.0, state.jump_seconds + moved), counted
        elif counted - state.jumped_at > JUMP_HOLD_SECONDS:
            state.jump_seconds = 0.0
        if state.base is None or abs(moved) > TOLERANCE_SECONDS:
            state.base = base
        return state.jump_seconds


def _boot_id() -> str:
    """This start of this machine: the monotonic clock counts from it. All processes of the machine share it."""
    try:
        return _BOOT_ID_PATH.read_text().strip()
    except OSError:  # no Linux: a process of its own compares only with itself
        return f"process-{id(runtime())}"


def _clamp_due_times(now: datetime, seconds: float) -> None:
    """What is planned for later than so many seconds from now is due."""
    ahead = now + timedelta(seconds=seconds)
    for due in (
        update(Call).where(Call.due_at > ahead),
        update(Delivery).where(Delivery.state == "waiting", Delivery.due_at > ahead),
        update(Recording).where(Recording.state == "waiting", Recording.due_at > ahead),
    ):
        db.session.execute(due.values(due_at=now))
    db.session.commit()


def _clamp_heard_times(now: datetime) -> None:
    """What is counted from the moment at which something was heard must not be counted from one that has yet to come."""
    ahead = now + timedelta(seconds=TOLERANCE_SECONDS)
    db.session.execute(update(Call).where(Call.state == "open", Call.heard_at > ahead).values(heard_at=now))
    db.session.execute(update(Notification).where(Notification.received_at > ahead).values(received_at=now))
    db.session.commit()


def _renew_claims(now: datetime, only_ahead: bool = False) -> None:
    """Claims are moved to now, not taken away: their worker may be alive, and two would do the same.

    A dial to Mango keeps its time: it is never repeated, and somebody waits for what is said of it.
    """
    ahead = now + timedelta(seconds=TOLERANCE_SECONDS)
    sent = update(Delivery).where(Delivery.state == "sent")
    claimed = update(Recording).where(Recording.state == "waiting", Recording.claimed_at.is_not(None))
    if only_ahead:
        sent, claimed = sent.where(Delivery.sent_at > ahead), claimed.where(Recording.claimed_at > ahead)
    else:
        sent = sent.where(Delivery.kind.not_in(MANGO_KINDS))
    db.session.execute(sent.values(sent_at=now))
    db.session.execute(claimed.values(claimed_at=now))
    db.session.commit()
