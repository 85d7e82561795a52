"""Chooses which deliveries may leave now and groups them into batches, one for each call or one for several. No HTTP.

`calls.drain` claims here, `sender` sends. Order holds within a call: its first waiting command may leave, with those
behind it that a batch takes; nothing overtakes a command that is on its way.
"""

from __future__ import annotations

import dataclasses
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import bindparam, func, or_, select
from sqlalchemy.orm import Session

from bx24app.bitrix24.errors import Refused
from bx24app.calls.outbox.batch import Batch, BatchItem
from bx24app.calls.outbox.client_order import select_sendable
from bx24app.calls.outbox.ledger import FoldedCalls, build_ledger
from bx24app.calls.outbox.verification import build_verification
from bx24app.domain.calls.command_json import from_json
from bx24app.domain.calls.commands import (
    MANGO_KINDS,
    AddComment,
    AddTodo,
    AnyCommand,
    Bind,
    CloseTodo,
    CreateRecord,
    Finish,
    HideCard,
    Notify,
    ReadClient,
    ReadDay,
    ReadDeals,
    ReadOpen,
    ReadTodo,
    Reassign,
    Register,
    RetitleTodo,
    SetActivityUser,
    ShowCard,
)
from bx24app.domain.calls.ledger import Ledger
from bx24app.infra.leases import worker_name
from bx24app.models import Call, Delivery, Portal, utcnow
from bx24app.models.call_facts import CallFacts

MAX_CLOCK_SKEW = timedelta(minutes=5)
"""How far a portal's clock may be behind ours."""
BACKGROUND_RETRY = timedelta(seconds=2)
"""When background calls are claimed again after the budget had no room for them."""
SEND_WITHIN_SECONDS = 20.0
"""How long a claimed batch may wait for a thread, a token or its budget. Together with the time that a portal takes to
carry a request out (60 s) it stays below `sweep.ANSWER_TIMEOUT`: a request that the sweep has given up must not leave
any more."""
MAX_BATCH_COMMANDS = 50
"""Commands in one batch (Bitrix24's limit)."""

_CALLS_PER_READ = 50

_OPEN_DELIVERIES = (
    select(Delivery)
    .where(
        Delivery.portal_id == bindparam("portal"),
        Delivery.state.in_(("waiting", "sent")),
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
) -> tuple[list[Batch], datetime | None]:
    """Claim what may leave now: its rows become `sent`. The caller commits.

    Args:
        shared: the budget is short, so calls share one batch; else each call has one of its own.
        background: the budget has room for backfilled calls, which always share one batch.
        most: the largest number of batches; None: no limit.
        folded: calls that the transaction has read already.

    Returns the batches, and when to claim again for what is not due yet.
    """
    now = utcnow()
    folded = folded or {}
    open_rows = session.scalars(_OPEN_DELIVERIES, {"portal": portal.id}).all()
    due, next_at = _due_by_call(open_rows, now)
    sendable = select_sendable(due, open_rows, now, shared=shared)
    if len(sendable) < len(due):
        next_at = min(next_at or now + BACKGROUND_RETRY, now + BACKGROUND_RETRY)
    if not sendable:
        return [], next_at
    live, patient = _split_background(session, sendable, folded, None if shared else most)
    claimed, has_more = _prepare_batches(session, live, shared, folded)
    if patient:
        more, has_more_background = _prepare_batches(session, patient, True, folded) if background else ([], True)
        for batch in more:
            batch.is_background = True
        claimed += more
        next_at = min(next_at or now + BACKGROUND_RETRY, now + BACKGROUND_RETRY) if has_more_background else next_at
    next_at = now if has_more else next_at
    claimed = claimed[:most]
    _mark_sent(claimed, open_rows, now)
    return claimed, next_at


def _mark_sent(claimed: list[Batch], open_rows: Iterable[Delivery], now: datetime) -> None:
    for batch in claimed:
        batch.claimed_at, batch.leave_by = now, time.monotonic() + SEND_WITHIN_SECONDS
    ids, owner = {item.delivery_id for batch in claimed for item in batch.items}, worker_name()
    for row in open_rows:
        if row.id in ids:
            row.state, row.sent_at, row.attempts, row.owner = "sent", now, row.attempts + 1, owner


def _prepare_batches(
    session: Session, due: list[list[Delivery]], shared: bool, folded: FoldedCalls
) -> tuple[list[Batch], bool]:
    """One for each call, or one for all; and whether calls are left."""
    ledgers = _load_ledgers(session, [rows[0].call_id for rows in due], folded)
    prepared = [_build_batch(rows, ledgers[rows[0].call_id], shared) for rows in due]
    return _merge_batches(prepared) if shared and prepared else (prepared, False)


def read_call(session: Session, rows: list[Delivery]) -> None:
    """Build the batch of these rows of one call and drop it. Raises whatever a claim would raise."""
    call_id = rows[0].call_id
    _build_batch(rows, _load_ledgers(session, [call_id], {})[call_id], shared=False)


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


def _merge_batches(batches: list[Batch]) -> tuple[list[Batch], bool]:
    """One request for as many calls as a batch takes, or one exclusive batch alone; and whether others are left."""
    exclusive = [batch for batch in batches if batch.is_exclusive]
    merged = Batch([], is_shared=True)
    for batch in batches:
        if not batch.is_exclusive and len(merged.items) + len(batch.items) <= MAX_BATCH_COMMANDS:
            merged.items += batch.items
            merged.known_values.update(batch.known_values)
    chosen = [merged] if merged.items else exclusive[:1]
    return chosen, sum(len(batch.items) for batch in chosen) < sum(len(batch.items) for batch in batches)


def has_due(session: Session, portal: Portal, count: int = 1) -> bool:
    """Could at least `count` commands leave now, if the budget allowed it?"""
    query = select(Delivery.id).where(
        Delivery.portal_id == portal.id, Delivery.state == "waiting", Delivery.kind.not_in(MANGO_KINDS)
    )
    due = query.where(or_(Delivery.due_at.is_(None), Delivery.due_at <= utcnow()))
    return len(session.scalars(due.limit(count)).all()) == count


def find_next_due(session: Session, portal: Portal) -> datetime | None:
    """When the next command that waits for its time may leave; None: none waits for a time."""
    query = select(func.min(Delivery.due_at)).where(
        Delivery.portal_id == portal.id, Delivery.state == "waiting", Delivery.kind.not_in(MANGO_KINDS)
    )
    return session.scalar(query)


def _urgency_key(rows: list[Delivery]) -> tuple[bool, datetime]:
    return rows[0].kind not in ("Register", "ShowCard", "HideCard"), rows[0].created_at


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


def _build_batch(rows: list[Delivery], ledger: Ledger, shared: bool) -> Batch:
    items = [_build_item(row) for row in rows]
    uncertain = [item for item, row in zip(items, rows, strict=True) if row.uncertain]
    since = (min(row.created_at for row in rows) - MAX_CLOCK_SKEW).timestamp()
    verification = build_verification([item.command for item in uncertain], ledger, since)
    if verification is not None:
        questioned = [item for item in uncertain if item.command.key in verification.keys]
        return Batch(questioned, verification=verification, is_exclusive=True)
    values = {rows[0].call_id: _ledger_values(ledger)}
    if rows[0].code == Refused.__name__:
        # Its batch was refused as a whole: sent alone, only the command that deserves it dies.
        return Batch(items[:1], values, is_exclusive=True)
    chain: list[BatchItem] = []
    for item in items[:MAX_BATCH_COMMANDS]:
        if chain and shared and not _can_join_chain(item.command, chain):
            break
        if isinstance(item.command, Finish) and any(_may_create_record(earlier.command) for earlier in chain):
            break
        chain.append(item)
    return Batch(chain, values, shared)


def _may_create_record(command: AnyCommand) -> bool:
    """May the portal create the client's record by itself, and name it only in this answer?

    If the answer were lost together with the finish, nobody would know afterwards which record that was, and the record
    would stay with the user who finished the call.
    """
    return isinstance(command, Register) and command.create


def _build_item(row: Delivery) -> BatchItem:
    """A notice gets a tag: after a lost answer, a repeat replaces the first notice of the same tag in the portal."""
    command = from_json(row.kind, row.command)
    if isinstance(command, Notify) and not command.tag:
        command = dataclasses.replace(command, tag=f"bx24app:{row.id}")
    return BatchItem(row.id, row.call_id, command)


_MAY_FOLLOW = (
    ShowCard, HideCard, Finish, Reassign, Bind, SetActivityUser, RetitleTodo, CloseTodo,
    ReadClient, ReadDeals, ReadOpen, ReadDay, ReadTodo,
)  # fmt: skip


def _can_join_chain(command: AnyCommand, chain: list[BatchItem]) -> bool:
    """A shared batch does not stop at an error: only a command that fails harmlessly behind a failed one may join."""
    if any(isinstance(item.command, CreateRecord | AddTodo | AddComment) for item in chain):
        return False
    return isinstance(command, _MAY_FOLLOW)


def _ledger_values(ledger: Ledger) -> dict[tuple[str, str], Any]:
    return {
        (entry.command.key, fact): value
        for entry in ledger
        if entry.state == "done"
        for fact, value in entry.answer.items()
    }
