"""Chooses which deliveries may leave now and groups them into batches, one for each call or one for several. No HTTP.

`calls.drain` claims here, `sender` sends. Order holds within a call: its first waiting command may leave, with those
behind it that a batch takes; nothing overtakes a command that is on its way.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta

from sqlalchemy import bindparam, func, or_, select
from sqlalchemy.orm import Session

from bx24app.calls.outbox import shared_batches, stale_cards
from bx24app.calls.outbox.batch import Batch
from bx24app.calls.outbox.call_batch import build_call_batch, is_card
from bx24app.calls.outbox.client_order import requested_number, select_sendable
from bx24app.calls.outbox.ledger import FoldedCalls, build_ledger
from bx24app.calls.outbox.shared_batches import ExpectedSeconds, PreparedCall
from bx24app.domain.calls.batch_sizes import MAX_COMMANDS
from bx24app.domain.calls.commands import MANGO_KINDS
from bx24app.domain.calls.ledger import Ledger
from bx24app.infra.leases import worker_name
from bx24app.models import Call, Delivery, Portal, utcnow
from bx24app.models.call_facts import CallFacts
from bx24app.models.calls import OPEN_DELIVERY

BACKGROUND_RETRY = timedelta(seconds=2)
"""When background calls are claimed again after the budget had no room for them."""
SEND_WITHIN_SECONDS = 20.0
"""How long a claimed batch may wait for a thread, a token or its budget. Together with the time that a portal takes to
carry a request out (60 s) it stays below `sweep.ANSWER_TIMEOUT`: a request that the sweep has given up must not leave
any more."""

Claimed = tuple[list[Batch], datetime | None]
"""Batches, and when to claim again for what is not due yet."""

_CALLS_PER_READ = 50

_OPEN_DELIVERIES = (
    select(Delivery)
    .where(
        Delivery.portal_id == bindparam("portal"),
        OPEN_DELIVERY,
        Delivery.kind.not_in(MANGO_KINDS),
    )
    .order_by(Delivery.call_id, Delivery.id)
)


def claim(
    session: Session,
    portal: Portal,
    shared: bool,
    background: bool = True,
    most: int | None = None,
    folded: FoldedCalls | None = None,
    may_work: bool = True,
    open_rows: Sequence[Delivery] | None = None,
) -> Claimed:
    """Claim what may leave now: its rows become `sent`. The caller commits.

    Args:
        shared: the budget is short, so calls share batches, cards one and the rest another; else each call has one of
            its own.
        background: the budget has room for backfilled calls, which always share one batch.
        most: the largest number of batches; None: no limit.
        folded: calls that the transaction has read already.
        may_work: of shared ones, there is a place for a batch that holds more than cards.
        open_rows: the portal's open deliveries, call by call; None: they are read here.

    Returns the batches, and when to claim again for what is not due yet.
    """
    now = utcnow()
    folded = folded or {}
    if open_rows is None:
        open_rows = session.scalars(_OPEN_DELIVERIES, {"portal": portal.id}).all()
    open_rows = [row for row in open_rows if row.kind not in MANGO_KINDS]
    due, next_at = _due_by_call(stale_cards.withdraw_cards(session, open_rows), now)
    sendable = select_sendable(due, open_rows, now, shared=shared)
    if len(sendable) < len(due):
        next_at = min(next_at or now + BACKGROUND_RETRY, now + BACKGROUND_RETRY)
    if not sendable:
        return [], next_at
    expect = shared_batches.expected_seconds(portal.id)
    if shared and not may_work:
        sendable = [rows for rows in sendable if is_card(rows)]
    live, patient = _split_background(session, sendable, folded, None if shared else most)
    if shared:
        claimed, has_more = _prepare_shared(session, live, expect, folded, may_work)
    else:
        claimed, has_more = _prepare_batches(session, live, False, expect, folded), False
    if patient:
        more, has_more_background = _prepare_shared(session, patient, expect, folded) if background else ([], True)
        for batch in more:
            batch.is_background = True
        claimed += more
        next_at = min(next_at or now + BACKGROUND_RETRY, now + BACKGROUND_RETRY) if has_more_background else next_at
    next_at = now if has_more else next_at
    claimed = claimed[:most]
    _mark_sent(claimed, open_rows, expect, now)
    return claimed, next_at


def _mark_sent(
    claimed: list[Batch], open_rows: Iterable[Delivery], expect: ExpectedSeconds, now: datetime
) -> None:
    for batch in claimed:
        batch.expected_seconds = sum(expect(type(item.command).__name__) for item in batch.items)
        batch.claimed_at, batch.leave_by = now, time.monotonic() + SEND_WITHIN_SECONDS
    ids, owner = {item.delivery_id for batch in claimed for item in batch.items}, worker_name()
    for row in open_rows:
        if row.id in ids:
            row.state, row.sent_at, row.attempts, row.owner = "sent", now, row.attempts + 1, owner


def _prepare_batches(
    session: Session, due: list[list[Delivery]], shared: bool, expect: ExpectedSeconds, folded: FoldedCalls
) -> list[Batch]:
    """One for each call."""
    ledgers = _load_ledgers(session, [rows[0].call_id for rows in due], folded)
    return [build_call_batch(rows, ledgers[rows[0].call_id], expect, shared) for rows in due]


def _prepare_shared(
    session: Session, due: list[list[Delivery]], expect: ExpectedSeconds, folded: FoldedCalls, may_work: bool = True
) -> tuple[list[Batch], bool]:
    """One of cards and one of everything else; and whether more could leave. Reads no more calls than they take."""
    cards = [rows for rows in due if is_card(rows)]
    others = [rows for rows in due if not is_card(rows)]
    read = [*cards[:MAX_COMMANDS], *others[:MAX_COMMANDS]]
    prepared = _prepare_batches(session, read, True, expect, folded)
    calls = [
        PreparedCall(
            batch,
            next(filter(None, map(requested_number, rows)), None),
            is_card(rows) and not batch.is_exclusive,
            max(rows[0].created_at, rows[0].due_at or rows[0].created_at),
        )
        for rows, batch in zip(read, prepared, strict=True)
    ]
    chosen, has_more = shared_batches.share(calls, expect, may_work, utcnow())
    return chosen, has_more or len(read) < len(due)


def read_call(session: Session, rows: list[Delivery]) -> None:
    """Build the batch of these rows of one call and drop it. Raises whatever a claim would raise."""
    call_id = rows[0].call_id
    expect = shared_batches.expected_seconds(rows[0].portal_id)
    build_call_batch(rows, _load_ledgers(session, [call_id], {})[call_id], expect, shared=False)


def _split_background(
    session: Session, sendable: list[list[Delivery]], folded: FoldedCalls, most: int | None
) -> tuple[list[list[Delivery]], list[list[Delivery]]]:
    """The open rows of live calls, at most `most` of them, and those of background calls before them.

    Reads no more calls than that needs: a portal may have thousands that are due, and six that may leave.
    """
    live: list[list[Delivery]] = []
    patient: list[list[Delivery]] = []
    for first in range(0, len(sendable), _CALLS_PER_READ):
        part = sendable[first : first + _CALLS_PER_READ]
        background_calls = _background_calls(session, [rows[0].call_id for rows in part], folded)
        for rows in part:
            (patient if rows[0].call_id in background_calls else live).append(rows)
        if most is not None and len(live) >= most:
            break
    return live[:most], patient


def _background_calls(session: Session, call_ids: list[int], folded: FoldedCalls) -> set[int]:
    facts = {call_id: folded[call_id][0].facts for call_id in call_ids if call_id in folded}
    if len(facts) < len(call_ids):
        unread = [call_id for call_id in call_ids if call_id not in facts]
        facts |= {row.id: row.facts for row in session.execute(select(Call.id, Call.facts).where(Call.id.in_(unread)))}
    return {call_id for call_id, document in facts.items() if CallFacts.from_json(document).is_background}


def _due_by_call(open_rows: Iterable[Delivery], now: datetime) -> tuple[list[list[Delivery]], datetime | None]:
    """The open rows of each call whose first command may leave, most urgent first; and when the next is due."""
    due: list[list[Delivery]] = []
    next_at: datetime | None = None
    for rows in _group_by_call(open_rows):
        first = rows[0]
        if any(row.state == "sent" for row in rows):
            continue
        if first.due_at is not None and first.due_at > now:
            next_at = min(next_at or first.due_at, first.due_at)
            continue
        due.append(rows)
    return sorted(due, key=_urgency_key), next_at


def has_due(session: Session, portal: Portal) -> bool:
    """Could a command leave now, if the budget allowed it?"""
    query = select(Delivery.id).where(
        Delivery.portal_id == portal.id, OPEN_DELIVERY, Delivery.state == "waiting", Delivery.kind.not_in(MANGO_KINDS)
    )
    due = query.where(or_(Delivery.due_at.is_(None), Delivery.due_at <= utcnow()))
    return session.scalar(due.limit(1)) is not None


def find_next_due(session: Session, portal: Portal) -> datetime | None:
    """When the next command that waits for its time may leave; None: none waits for a time."""
    query = select(func.min(Delivery.due_at)).where(
        Delivery.portal_id == portal.id, OPEN_DELIVERY, Delivery.state == "waiting", Delivery.kind.not_in(MANGO_KINDS)
    )
    return session.scalar(query)


def _urgency_key(rows: list[Delivery]) -> tuple[bool, datetime]:
    return not is_card(rows), rows[0].created_at


def _group_by_call(rows: Iterable[Delivery]) -> Iterator[list[Delivery]]:
    groups: dict[int, list[Delivery]] = defaultdict(list)
    for row in rows:
        groups[row.call_id].append(row)
    yield from groups.values()


def _load_ledgers(session: Session, call_ids: list[int], folded: FoldedCalls) -> dict[int, Ledger]:
    groups: dict[int, list[Delivery]] = defaultdict(list)
    groups |= {call_id: folded[call_id][1] for call_id in call_ids if call_id in folded}
    unread = [call_id for call_id in call_ids if call_id not in groups]
    if unread:
        for row in session.scalars(select(Delivery).where(Delivery.call_id.in_(unread)).order_by(Delivery.id)):
            groups[row.call_id].append(row)
    return {call_id: build_ledger(rows) for call_id, rows in groups.items()}
