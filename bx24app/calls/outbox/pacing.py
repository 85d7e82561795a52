"""How a drain spreads its batches over the portal's request budget: whether calls leave alone or share a batch, and who
waits for the budget.

`calls.drain` asks here before it claims and after it found nothing to send. Without Redis nothing is spread: batches
are smaller then.
"""

from __future__ import annotations

from contextlib import suppress

import redis
from sqlalchemy.orm import Session

from bx24app.bitrix24.budget import RequestBudget
from bx24app.calls.outbox import shared_batches
from bx24app.infra.runtime import runtime
from bx24app.models import Portal

AMPLE_BUDGET = 12
"""While the portal's budget holds more requests than this, every call's commands leave alone and at once."""
BATCH_SPACING = 1.5
"""Below that, batches leave so many requests' time apart: calls share them, and a third of the budget is left for
recordings."""
CARD_PLACES = 1
"""Of the requests that may be under way to a portal, so many are kept for cards while calls share batches: the others
may be busy for most of a minute."""
MAX_WAIT_SECONDS = 0.5
"""How long a drain waits for the budget before it looks at the database again."""


def seconds_until_send(
    session: Session, portal: Portal, budget: RequestBudget, level: float, may_work: bool
) -> float:
    """Seconds until something may leave.

    Where the budget (`level` requests) is short, calls wait to share a batch, unless one is full already and has a
    place to leave (`may_work`).
    """
    if level < 1:
        return max(0.05, (1 - level) / budget.rate)
    if level > AMPLE_BUDGET or (may_work and shared_batches.is_batch_due(session, portal)):
        return 0.0
    try:
        return max(0, runtime().redis.pttl(f"gather:{portal.id}")) / 1e3
    except redis.RedisError:
        return 0.0


def delay_next_batch(portal_id: int, rate: float, count: int) -> None:
    """So many batches are claimed: the next one of this portal gathers calls for a while.

    `rate`: requests a second of the portal's budget.
    """
    with suppress(redis.RedisError):
        runtime().redis.set(f"gather:{portal_id}", b"1", px=int(count * BATCH_SPACING / rate * 1e3))


def wait_for_budget(portal_id: int, seconds: float) -> bool:
    """Wait for the next request that the budget allows.

    False: another drain of the portal waits already, or the process stops.
    """
    seconds, stop_event = min(seconds, MAX_WAIT_SECONDS), runtime().stop_event
    try:
        if not runtime().redis.set(f"pace:{portal_id}", b"1", nx=True, px=int(seconds * 1e3) + 200):
            return False
        stop_event.wait(seconds)
        runtime().redis.delete(f"pace:{portal_id}")
    except redis.RedisError:
        stop_event.wait(seconds)
    return not stop_event.is_set()
