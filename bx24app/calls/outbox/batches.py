"""Which deliveries may leave now, and in which parcels: each call's own, or those of several calls in one batch. No HTTP.

Order holds within a call: only the head of a call's waiting commands may leave, with as many behind it as one batch carries.
"""

from __future__ import annotations

import dataclasses
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import bindparam, or_, select
from sqlalchemy.orm import Session

from bx24app.bitrix24.budget import Priority
from bx24app.bitrix24.errors import Refused
from bx24app.calls.outbox.client_order import select_sendable
from bx24app.calls.outbox.ledger import FoldedCalls, build_ledger
from bx24app.calls.outbox.verification import Verification, build_verification
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
from bx24app.models import Call, Delivery, Portal, utcnow
from bx24app.models.call_facts import CallFacts

MAX_CLOCK_SKEW = timedelta(minutes=5)
"""How far a portal's clock may go behind ours."""
BACKGROUND_RETRY = timedelta(seconds=2)
"""After so long what is told afterwards is looked at again, where the budget has no room for it."""
SEND_WITHIN_SECONDS = 20.0
"""How long a claimed parcel may wait for a thread, a token or its budget. With the time that a portal takes to carry a request out (60 s)
it stays below `sweeps.SENT_FOR`: what has been given up must not leave any more."""
MAX_BATCH_COMMANDS = 50
"""Commands in one batch (Bitrix24's limit)."""

_OPEN_DELIVERIES = select(Delivery).where(
    Delivery.portal_id == bindparam("portal"), Delivery.state.in_(("waiting", "sent")), Delivery.kind.not_in(MANGO_KINDS)
)
_OPEN_DELIVERIES = _OPEN_DELIVERIES.order_by(Delivery.call_id, Delivery.id)


@dataclass(slots=True)
class BatchItem:
    """One command in a parcel. `call` and `delivery` are row ids."""

    delivery_id: int
    call_id: int
    command: AnyCommand
    created: Any = None

    @property
    def batch_key(self) -> str:
        """Its key in a batch: letters and digits only."""
        return f"d{self.delivery_id}"


@dataclass(slots=True)
class Batch:
    """One REST request: a single command, a chain of one call (`shared` False), commands of several calls, or a look-up."""

    items: list[BatchItem]
    known_values: dict[int, dict[tuple[str, str], Any]] = field(default_factory=dict)
    """call id -> facts already known, (key, fact) -> value."""
    is_shared: bool = False
    verification: Verification | None = None
    is_exclusive: bool = False
    """Never in company: a look-up, or a command whose batch was refused as a whole."""
    is_background: bool = False
    """Of calls that are told afterwards: leaves only what the rest of the portal's budget does not need."""
    entry_ids: list[str] = field(default_factory=list)
    """Entry ids of its calls, where traces are kept."""
    claimed_at: datetime | None = None
    """`Delivery.sent_at` of its rows: rows that say otherwise by now are not its own any more."""
    leave_by: float | None = None
    """Moment of the monotonic clock after which it must not leave: another worker may have taken its rows over."""

    @property
    def priority(self) -> Priority:
        if self.is_background:
            return Priority.BACKGROUND
        kinds = {type(item.command) for item in self.items}
        if kinds & {Register, ShowCard, HideCard}:
            return Priority.CARD
        # What is asked before a record is made delays its finish, so it is as urgent.
        before = {Finish, CreateRecord, ReadClient, ReadOpen, ReadDay}
        return Priority.FINISH if kinds & before else Priority.RECORD


def claim(
    session: Session, portal: Portal, shared: bool, background: bool = True, most: int | None = None, folded: FoldedCalls | None = None
) -> tuple[list[Batch], datetime | None]:
    """Take what may leave now (marked `sent`), as one parcel a call, or as one for all where the budget is short.

    What is told afterwards (back-fill) leaves as one parcel for all, and only where `background` says that the budget has room.
    `most`: so many parcels; `folded`: what need not be read again. Returns the parcels and when to look again for what is not due yet.
    """
    now = utcnow()
    folded = folded or {}
    open_rows = session.scalars(_OPEN_DELIVERIES, {"portal": portal.id}).all()
    due, again = _due_by_call(open_rows, now)
    free = select_sendable(due, open_rows, now, shared=shared)
    if len(free) < len(due):
        again, due = min(again or now + BACKGROUND_RETRY, now + BACKGROUND_RETRY), free
    if not due:
        return [], again
    patient = _background_calls(session, [rows[0].call_id for rows in due], folded)
    live = [rows for rows in due if rows[0].call_id not in patient]
    parcels, left = _prepare_batches(session, live, shared, folded)
    if patient:
        later = [rows for rows in due if rows[0].call_id in patient]
        more, rest = _prepare_batches(session, later, True, folded) if background else ([], True)
        for parcel in more:
            parcel.is_background = True
        parcels += more
        again = min(again or now + BACKGROUND_RETRY, now + BACKGROUND_RETRY) if rest else again
    again = now if left else again
    parcels = parcels[:most]
    for parcel in parcels:
        parcel.claimed_at, parcel.leave_by = now, time.monotonic() + SEND_WITHIN_SECONDS
    taken = {item.delivery_id for parcel in parcels for item in parcel.items}
    for row in open_rows:
        if row.id in taken:
            row.state, row.sent_at, row.attempts = "sent", now, row.attempts + 1
    return parcels, again


def _prepare_batches(session: Session, due: list[list[Delivery]], shared: bool, folded: FoldedCalls) -> tuple[list[Batch], bool]:
    """One a call, or one for all; and whether others are left."""
    ledgers = _load_ledgers(session, [rows[0].call_id for rows in due], folded)
    parcels = [_build_batch(rows, ledgers[rows[0].call_id], shared) for rows in due]
    return _merge_batches(parcels) if shared and parcels else (parcels, False)


def _background_calls(session: Session, calls: list[int], folded: FoldedCalls) -> set[int]:
    found = {number: folded[number][0].facts for number in calls if number in folded}
    if len(found) < len(calls):
        left = [number for number in calls if number not in found]
        found |= {row.id: row.facts for row in session.execute(select(Call.id, Call.facts).where(Call.id.in_(left)))}
    return {number for number, facts in found.items() if CallFacts.from_json(facts).is_background}


def _due_by_call(open_rows: Iterable[Delivery], now: datetime) -> tuple[list[list[Delivery]], datetime | None]:
    """The open rows of each call whose head may leave, most urgent first; and when the next one becomes due."""
    due: list[list[Delivery]] = []
    again: datetime | None = None
    for rows in _group_by_call(open_rows):
        head = rows[0]
        if any(row.state == "sent" for row in rows):
            continue
        if head.due_at is not None and head.due_at > now:
            again = min(again or head.due_at, head.due_at)
            continue
        due.append(rows)
    return sorted(due, key=_urgency_key), again


def _merge_batches(parcels: list[Batch]) -> tuple[list[Batch], bool]:
    """One request for as many calls as a batch takes; what must not have company goes alone. Returns it, and whether others are left."""
    apart = [parcel for parcel in parcels if parcel.is_exclusive]
    batch = Batch([], is_shared=True)
    for parcel in parcels:
        if not parcel.is_exclusive and len(batch.items) + len(parcel.items) <= MAX_BATCH_COMMANDS:
            batch.items += parcel.items
            batch.known_values.update(parcel.known_values)
    chosen = [batch] if batch.items else apart[:1]
    return chosen, sum(len(p.items) for p in chosen) < sum(len(p.items) for p in parcels)


def has_due(session: Session, portal: Portal, count: int = 1) -> bool:
    """Could something leave now, if the budget allowed it? `count`: so many commands."""
    query = select(Delivery.id).where(
        Delivery.portal_id == portal.id, Delivery.state == "waiting", Delivery.kind.not_in(MANGO_KINDS)
    )
    due = query.where(or_(Delivery.due_at.is_(None), Delivery.due_at <= utcnow()))
    return len(session.scalars(due.limit(count)).all()) == count


def _urgency_key(rows: list[Delivery]) -> tuple[bool, datetime]:
    return rows[0].kind not in ("Register", "ShowCard", "HideCard"), rows[0].created_at


def _group_by_call(rows: Iterable[Delivery]) -> Iterator[list[Delivery]]:
    groups: dict[int, list[Delivery]] = defaultdict(list)
    for row in rows:
        groups[row.call_id].append(row)
    yield from groups.values()


def _load_ledgers(session: Session, calls: list[int], folded: FoldedCalls) -> dict[int, Ledger]:
    groups: dict[int, list[Delivery]] = defaultdict(list, {call: folded[call][1] for call in calls if call in folded})
    left = [call for call in calls if call not in groups]
    if left:
        for row in session.scalars(select(Delivery).where(Delivery.call_id.in_(left)).order_by(Delivery.id)):
            groups[row.call_id].append(row)
    return {call: build_ledger(rows) for call, rows in groups.items()}


def _build_batch(rows: list[Delivery], ledger: Ledger, shared: bool) -> Batch:
    items = [_build_item(row) for row in rows]
    uncertain = [item for item, row in zip(items, rows, strict=True) if row.uncertain]
    since = min(row.created_at for row in rows) - MAX_CLOCK_SKEW
    lookup = build_verification([item.command for item in uncertain], ledger, since.timestamp()) if uncertain else None
    if lookup is not None:
        return Batch([item for item in uncertain if item.command.key in lookup.keys], verification=lookup, is_exclusive=True)
    values = {rows[0].call_id: _ledger_values(ledger)}
    if rows[0].code == Refused.__name__:  # its batch was refused: one by one, only what deserves it dies
        return Batch(items[:1], values, is_exclusive=True)
    chain: list[BatchItem] = []
    for item in items[:MAX_BATCH_COMMANDS]:
        if chain and shared and not _can_join_chain(item.command, chain):
            break
        if isinstance(item.command, Finish) and any(_may_create_record(one.command) for one in chain):
            break
        chain.append(item)
    return Batch(chain, values, shared)


def _may_create_record(command: AnyCommand) -> bool:
    """Does the portal make the client's record by itself, and say so in this answer alone? Lost together with its finish, nobody would know
    afterwards which record that was, and it would stay with whoever finished."""
    return isinstance(command, Register) and command.create


def _build_item(row: Delivery) -> BatchItem:
    """A notice gets a tag: the portal lets a repeat after a lost answer replace the first one of the same tag."""
    command = from_json(row.kind, row.command)
    if isinstance(command, Notify) and not command.tag:
        command = dataclasses.replace(command, tag=f"bx24app:{row.id}")
    return BatchItem(row.id, row.call_id, command)


_MAY_FOLLOW = (
    ShowCard, HideCard, Finish, Reassign, Bind, SetActivityUser, RetitleTodo, CloseTodo, ReadClient, ReadDeals, ReadOpen, ReadDay, ReadTodo,
)  # fmt: skip


def _can_join_chain(command: AnyCommand, chain: list[BatchItem]) -> bool:
    """In a shared batch nothing stops at an error: only what fails harmlessly behind a failed one may ride along."""
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
