"""USE CASE: the clock was ahead and has been put right: what was planned by the wrong time must not wait until the right one gets there."""

from __future__ import annotations

from datetime import datetime, timedelta

import redis
from sqlalchemy import update

from bx24app.logs import log
from bx24app.models import Call, Delivery, Recording, db, utcnow
from bx24app.runtime import runtime

_log = log(__name__)

MARK = "clock"
"""In Redis: the newest moment at which a sweep looked, seconds since 1970."""
SLACK = 30.0
"""Seconds by which machines may differ, and a clock be corrected, without anybody noticing."""


def look() -> bool:
    """Part of every sweep. True where time ran backwards since the last one: then everything that waits is due, and no claim lies ahead.

    A look too early does nothing but ask again; without Redis nothing is compared, and what waits is only late.
    """
    now = utcnow()
    try:
        client = runtime().redis
        held = client.get(MARK)
        client.set(MARK, now.timestamp())
    except redis.RedisError as error:
        _log.warning("the clock is not compared", error=type(error).__name__)
        return False
    if held is None or now.timestamp() >= float(held) - SLACK:
        return False
    _log.warning("the clock went back", seconds=round(float(held) - now.timestamp()))
    _bring_near(now)
    return True


def _bring_near(now: datetime) -> None:
    """Claims are moved to now, not taken away: their worker may be alive, and two would do the same."""
    ahead = now + timedelta(seconds=SLACK)
    for due in (
        update(Call).where(Call.due_at > ahead),
        update(Delivery).where(Delivery.state == "waiting", Delivery.due_at > ahead),
        update(Recording).where(Recording.state == "waiting", Recording.due_at > ahead),
    ):
        db.session.execute(due.values(due_at=now))
    db.session.execute(update(Delivery).where(Delivery.state == "sent", Delivery.sent_at > ahead).values(sent_at=now))
    claimed = update(Recording).where(Recording.state == "waiting", Recording.claimed_at > ahead)
    db.session.execute(claimed.values(claimed_at=now))
    db.session.commit()
