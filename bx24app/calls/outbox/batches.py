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
from bx24app.calls.outbox.client_order import in_turn
from bx24app.calls.outbox.ledger import Folded, ledger_of
from bx24app.calls.outbox.verification import LookUp, look_ups
from bx24app.domain.calls.commands import (
    TO_MANGO,
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
    from_json,
)
from bx24app.domain.calls.ledger import Ledger
from bx24app.models import Call, Delivery, Portal, utcnow

CLOCKS_APART = timedelta(minutes=5)
"""How far a portal's clock may go behind ours."""
PATIENT = timedelta(seconds=2)
"""After so long what is told afterwards is looked at again, where the budget has no room for it."""
LEAVE_SECONDS = 20.0
"""How long a claimed parcel may wait for a thread, a token or its budget. With the time that a portal takes to carry a request out (60 s)
it stays below `sweeps.SENT_FOR`: what has been given up must not leave any more."""
BATCH = 50
"""Commands in one batch (Bitrix24's limit)."""

_OPEN = select(Delivery).where(
    Delivery.portal_id == bindparam("portal"), Delivery.state.in_(("waiting", "sent")), Delivery.kind.not_in(TO_MANGO)
)
_OPEN = _OPEN.order_by(Delivery.call_id, Delivery.id)


@dataclass(slots=True)
class Item:
    """One command in a parcel. `call` and `delivery` are row ids."""

    delivery: int
    call: int
    command: AnyCommand
    created: Any = None

    @property
    def slot(self) -> str:
        """Its key in a batch: letters and digits only."""
        return f"d{self.delivery}"


@dataclass(slots=True)
class Parcel:
    """One REST request: a single command, a chain of one call (`shared` False), commands of several calls, or a look-up."""

    items: list[Item]
    values: dict[int, dict[tuple[str, str], Any]] = field(default_factory=dict)
    """call id -> facts already known, (key, fact) -> value."""
    shared: bool = False
    lookup: LookUp | None = None
    alone: bool = False
    """Never in company: a look-up, or a command whose batch was refused as a whole."""
    background: bool = False
    """Of calls that are told afterwards: leaves only what the rest of the portal's budget does not need."""
    entries: list[str] = field(default_factory=list)
    """Entry ids of its calls, where traces are kept."""
    claimed: datetime | None = None
    """`Delivery.sent_at` of its rows: rows that say otherwise by now are not its own any more."""
    leave_by: float | None = None
    """Moment of the monotonic clock after which it must not leave: another worker may have taken its rows over."""

    @property
    def priority(self) -> Priority:
        if self.background:
            return Priority.BACKGROUND
        kinds = {type(item.command) for item in self.items}
        if kinds & {Register, ShowCard, HideCard}:
            return Priority.CARD
        # What is asked before a record is made delays its finish, so it is as urgent.
        before = {Finish, CreateRecord, ReadClient, ReadOpen, ReadDay}
        return Priority.FINISH if kinds & before else Priority.RECORD


def claim(
    session: Session, portal: Portal, shared: bool, background: bool = True, most: int | None = None, folded: Folded | None = None
) -> tuple[list[Parcel], datetime | None]:
    """Take what may leave now (marked `sent`), as one parcel a call, or as one for all where the budget is short.

    What is told afterwards (back-fill) leaves as one parcel for all, and only where `background` says that the budget has room.
    `most`: so many parcels; `folded`: what need not be read again. Returns the parcels and when to look again for what is not due yet.
    """
    now = utcnow()
    folded = folded or {}
    open_rows = session.scalars(_OPEN, {"portal": portal.id}).all()
    due, again = _due(open_rows, now)
    free = in_turn(due, open_rows, now, shared=shared)
    if len(free) < len(due):
        again, due = min(again or now + PATIENT, now + PATIENT), free
    if not due:
        return [], again
    patient = _told_afterwards(session, [rows[0].call_id for rows in due], folded)
    live = [rows for rows in due if rows[0].call_id not in patient]
    parcels, left = _parcels(session, live, shared, folded)
    if patient:
        later = [rows for rows in due if rows[0].call_id in patient]
        more, rest = _parcels(session, later, True, folded) if background else ([], True)
        for parcel in more:
            parcel.background = True
        parcels += more
        again = min(again or now + PATIENT, now + PATIENT) if rest else again
    again = now if left else again
    parcels = parcels[:most]
    for parcel in parcels:
        parcel.claimed, parcel.leave_by = now, time.monotonic() + LEAVE_SECONDS
    taken = {item.delivery for parcel in parcels for item in parcel.items}
    for row in open_rows:
        if row.id in taken:
            row.state, row.sent_at, row.attempts = "sent", now, row.attempts + 1
    return parcels, again


def _parcels(session: Session, due: list[list[Delivery]], shared: bool, folded: Folded) -> tuple[list[Parcel], bool]:
    """One a call, or one for all; and whether others are left."""
    ledgers = _ledgers(session, [rows[0].call_id for rows in due], folded)
    parcels = [_parcel(rows, ledgers[rows[0].call_id], shared) for rows in due]
    return _together(parcels) if shared and parcels else (parcels, False)


def _told_afterwards(session: Session, calls: list[int], folded: Folded) -> set[int]:
    found = {number: folded[number][0].facts for number in calls if number in folded}
    if len(found) < len(calls):
        left = [number for number in calls if number not in found]
        found |= {row.id: row.facts for row in session.execute(select(Call.id, Call.facts).where(Call.id.in_(left)))}
    return {number for number, facts in found.items() if facts.get("background")}


def _due(open_rows: Iterable[Delivery], now: datetime) -> tuple[list[list[Delivery]], datetime | None]:
    """The open rows of each call whose head may leave, most urgent first; and when the next one becomes due."""
    due: list[list[Delivery]] = []
    again: datetime | None = None
    for rows in _by_call(open_rows):
        head = rows[0]
        if any(row.state == "sent" for row in rows):
            continue
        if head.due_at is not None and head.due_at > now:
            again = min(again or head.due_at, head.due_at)
            continue
        due.append(rows)
    return sorted(due, key=_urgency), again


def _together(parcels: list[Parcel]) -> tuple[list[Parcel], bool]:
    """One request for as many calls as a batch takes; what must not have company goes alone. Returns it, and whether others are left."""
    apart = [parcel for parcel in parcels if parcel.alone]
    batch = Parcel([], shared=True)
    for parcel in parcels:
        if not parcel.alone and len(batch.items) + len(parcel.items) <= BATCH:
            batch.items += parcel.items
            batch.values.update(parcel.values)
    chosen = [batch] if batch.items else apart[:1]
    return chosen, sum(len(p.items) for p in chosen) < sum(len(p.items) for p in parcels)


def anything_due(session: Session, portal: Portal, count: int = 1) -> bool:
    """Could something leave now, if the budget allowed it? `count`: so many commands."""
    query = select(Delivery.id).where(
        Delivery.portal_id == portal.id, Delivery.state == "waiting", Delivery.kind.not_in(TO_MANGO)
    )
    due = query.where(or_(Delivery.due_at.is_(None), Delivery.due_at <= utcnow()))
    return len(session.scalars(due.limit(count)).all()) == count


def _urgency(rows: list[Delivery]) -> tuple[bool, datetime]:
    return rows[0].kind not in ("Register", "ShowCard", "HideCard"), rows[0].created_at


def _by_call(rows: Iterable[Delivery]) -> Iterator[list[Delivery]]:
    groups: dict[int, list[Delivery]] = defaultdict(list)
    for row in rows:
        groups[row.call_id].append(row)
    yield from groups.values()


def _ledgers(session: Session, calls: list[int], folded: Folded) -> dict[int, Ledger]:
    groups: dict[int, list[Delivery]] = defaultdict(list, {call: folded[call][1] for call in calls if call in folded})
    left = [call for call in calls if call not in groups]
    if left:
        for row in session.scalars(select(Delivery).where(Delivery.call_id.in_(left)).order_by(Delivery.id)):
            groups[row.call_id].append(row)
    return {call: ledger_of(rows) for call, rows in groups.items()}


def _parcel(rows: list[Delivery], ledger: Ledger, shared: bool) -> Parcel:
    items = [_item(row) for row in rows]
    uncertain = [item for item, row in zip(items, rows, strict=True) if row.uncertain]
    since = min(row.created_at for row in rows) - CLOCKS_APART
    lookup = look_ups([item.command for item in uncertain], ledger, since.timestamp()) if uncertain else None
    if lookup is not None:
        return Parcel([item for item in uncertain if item.command.key in lookup.keys], lookup=lookup, alone=True)
    values = {rows[0].call_id: _values(ledger)}
    if rows[0].code == Refused.__name__:  # its batch was refused: one by one, only what deserves it dies
        return Parcel(items[:1], values, alone=True)
    chain: list[Item] = []
    for item in items[:BATCH]:
        if chain and shared and not _may_follow(item.command, chain):
            break
        if isinstance(item.command, Finish) and any(_makes_records(one.command) for one in chain):
            break
        chain.append(item)
    return Parcel(chain, values, shared)


def _makes_records(command: AnyCommand) -> bool:
    """Does the portal make the client's record by itself, and say so in this answer alone? Lost together with its finish, nobody would know
    afterwards which record that was, and it would stay with whoever finished."""
    return isinstance(command, Register) and command.create


def _item(row: Delivery) -> Item:
    """A notice gets a tag: the portal lets a repeat after a lost answer replace the first one of the same tag."""
    command = from_json(row.kind, row.command)
    if isinstance(command, Notify) and not command.tag:
        command = dataclasses.replace(command, tag=f"bx24app:{row.id}")
    return Item(row.id, row.call_id, command)


_RIDERS = (
    ShowCard, HideCard, Finish, Reassign, Bind, SetActivityUser, RetitleTodo, CloseTodo, ReadClient, ReadDeals, ReadOpen, ReadDay, ReadTodo,
)  # fmt: skip


def _may_follow(command: AnyCommand, chain: list[Item]) -> bool:
    """In a shared batch nothing stops at an error: only what fails harmlessly behind a failed one may ride along."""
    if any(isinstance(item.command, CreateRecord | AddTodo | AddComment) for item in chain):
        return False
    return isinstance(command, _RIDERS)


def _values(ledger: Ledger) -> dict[tuple[str, str], Any]:
    return {
        (entry.command.key, fact): value
        for entry in ledger
        if entry.state == "done"
        for fact, value in entry.answer.items()
    }
