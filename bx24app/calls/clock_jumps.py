"""USE CASE: the machine's clock jumped. What was planned by a wrong time must neither wait until that time, nor be
given up too early.

The sweep calls `detect_jumps` in every round; the fold asks `recent_jump_seconds` where it waits for late
notifications.
"""

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
"""In Redis: the newest moment at which a sweep ran, in seconds since 1970. Under this key with ``:`` and the id of a
machine's start: that moment minus the seconds since the start, which changes only when the clock is set."""
TOLERANCE_SECONDS = 30.0
"""Clocks of two machines may differ by this, and a clock may be corrected by this, without being treated as a jump."""
MAX_PLAN_SECONDS = 2 * 3600.0
"""Nothing but the plan for recordings is planned further ahead than an hour. A row beyond this limit was planned by a
wrong clock, even if the clock was right again before a sweep ran."""
KEY_TTL_SECONDS = 7 * 86400
JUMP_HOLD_SECONDS = 180.0
"""How long a jump is subtracted from waiting times: longer than a call waits for late notifications."""
_BOOT_ID_PATH = Path("/proc/sys/kernel/random/boot_id")


def detect_jumps() -> None:
    """Part of every sweep, before it gives anything up.

    If the clock went back since the last sweep, everything that waits becomes due and claims from the future are moved
    to now. If it went forward, nobody's time to answer has passed because of that. To run something too early does no
    harm. Without Redis nothing is compared.
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
        _log.warning("clock not compared", error=type(error).__name__)
        return
    if newest is not None and now.timestamp() < float(newest) - TOLERANCE_SECONDS:
        _log.warning("clock went back", seconds=round(float(newest) - now.timestamp()))
        _clamp_due_times(now, TOLERANCE_SECONDS)
        _clamp_notification_times(now)
        _renew_claims(now, only_ahead=True)
    elif before is not None and base > float(before) + TOLERANCE_SECONDS:
        _log.warning("clock went forward", seconds=round(base - float(before)))
        _renew_claims(now)


@dataclass(slots=True)
class _ClockState:
    """What a process knows of its clock. `base`: the clock minus the machine's monotonic seconds; and the last jump."""

    base: float | None = None
    jump_seconds: float = 0.0
    jumped_at: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock)


def recent_jump_seconds() -> float:
    """Seconds by which this machine's clock went forward just now; 0.0: it did not jump.

    A wait for the late notifications of a call subtracts them: by the new time the wait would be over, and half a call
    would reach the portal.
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
    """Identifies this start of this machine, from which the monotonic clock counts.

    All processes of the machine share it.
    """
    try:
        return _BOOT_ID_PATH.read_text().strip()
    except OSError:  # not Linux: a process compares only with itself
        return f"process-{id(runtime())}"


def _clamp_due_times(now: datetime, seconds: float) -> None:
    """Make due what is planned for later than this many seconds from now."""
    ahead = now + timedelta(seconds=seconds)
    for due in (
        update(Call).where(Call.due_at > ahead),
        update(Delivery).where(Delivery.state == "waiting", Delivery.due_at > ahead),
        update(Recording).where(Recording.state == "waiting", Recording.due_at > ahead),
    ):
        db.session.execute(due.values(due_at=now))
    db.session.commit()


def _clamp_notification_times(now: datetime) -> None:
    """Move moments of receipt from the future to now, because waits are counted from them."""
    ahead = now + timedelta(seconds=TOLERANCE_SECONDS)
    db.session.execute(update(Call).where(Call.state == "open", Call.heard_at > ahead).values(heard_at=now))
    db.session.execute(update(Notification).where(Notification.received_at > ahead).values(received_at=now))
    db.session.commit()


def _renew_claims(now: datetime, only_ahead: bool = False) -> None:
    """Move claims to now. They are not removed: their worker may be alive, and then two would do the same work.

    A dial to Mango keeps its time: it is never repeated, and a person waits for the news that it failed.
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
