"""Puts the batches of calls together where the portal's request budget is short: cards in one request, the rest in
another.

`batches.claim` asks here. How much a request holds is decided in `domain.calls.batch_sizes`, by the seconds that this
process has learnt about the portal's methods.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from bx24app.bitrix24.commands import COMMAND_METHODS
from bx24app.calls.outbox.batch import Batch
from bx24app.domain.calls.batch_sizes import MAX_COMMANDS, BatchRoom, fills_batch
from bx24app.domain.calls.commands import MANGO_KINDS
from bx24app.models import Delivery, Portal, utcnow
from bx24app.models.calls import OPEN_DELIVERY
from bx24app.portals import clients

WORK_WAIT = timedelta(seconds=1.5)
"""While cards leave, the other commands gather for so long, unless they fill a batch: with both at each turn,
recordings would find no request left."""
ExpectedSeconds = Callable[[str], float]
"""Kind of a command -> the seconds that it will probably take."""


def expected_seconds(portal_id: int) -> ExpectedSeconds:
    """By what this process knows of the portal."""
    seconds = clients.method_load(portal_id).seconds
    return lambda kind: seconds.expect(COMMAND_METHODS[kind])


@dataclass(slots=True)
class PreparedCall:
    """What of one call would leave."""

    batch: Batch
    client_number: str | None
    """Whose client is looked up or created: calls of one client share a request or wait for each other."""
    is_card: bool
    waits_since: datetime


@dataclass(slots=True)
class _SharedBatch:
    batch: Batch = field(default_factory=lambda: Batch([], is_shared=True))
    room: BatchRoom = field(default_factory=BatchRoom)
    oldest: datetime | None = None
    is_full: bool = False


def share(
    calls: Iterable[PreparedCall], expect: ExpectedSeconds, may_work: bool, now: datetime
) -> tuple[list[Batch], bool]:
    """One request of cards, and one of everything else or one exclusive batch; and whether more could leave.

    Args:
        calls: the most urgent one first.
        may_work: there is a place for a request that holds more than cards.
    """
    calls = list(calls)
    elsewhere: set[str] = set()
    cards = _fill([call for call in calls if call.is_card], expect, elsewhere)
    others = [call for call in calls if not call.is_card]
    work = _fill([call for call in others if not call.batch.is_exclusive], expect, elsewhere)
    chosen = [cards.batch] if cards.batch.items else []
    exclusive = [call.batch for call in others if call.batch.is_exclusive]
    is_ripe = work.oldest is None or work.is_full or work.oldest <= now - WORK_WAIT
    if may_work and (is_ripe or not chosen):
        chosen += [work.batch] if work.batch.items else exclusive[:1]
    count = sum(len(batch.items) for batch in chosen)
    return chosen, cards.is_full or (may_work and count < sum(len(call.batch.items) for call in calls))


def _fill(calls: list[PreparedCall], expect: ExpectedSeconds, elsewhere: set[str]) -> _SharedBatch:
    """As many of these calls as one request takes. Adds to `elsewhere` the clients with a call here or left out."""
    shared, mine = _SharedBatch(), set[str]()
    for call in calls:
        number, items = call.client_number, call.batch.items
        if number in elsewhere:
            continue
        if shared.room.take([expect(type(item.command).__name__) for item in items]):
            shared.batch.items += items
            shared.batch.known_values.update(call.batch.known_values)
            shared.oldest = min(shared.oldest or call.waits_since, call.waits_since)
            mine |= {number} if number else set()
        else:
            shared.is_full = True
            elsewhere |= {number} if number else set()
    elsewhere |= mine
    return shared


def is_batch_due(session: Session, portal: Portal) -> bool:
    """Do enough commands wait for a whole batch?"""
    query = select(Delivery.kind).where(
        Delivery.portal_id == portal.id, OPEN_DELIVERY, Delivery.state == "waiting", Delivery.kind.not_in(MANGO_KINDS),
        or_(Delivery.due_at.is_(None), Delivery.due_at <= utcnow()),
    )  # fmt: skip
    kinds = session.scalars(query.limit(MAX_COMMANDS)).all()
    return fills_batch(map(expected_seconds(portal.id), kinds))
