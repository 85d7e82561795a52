"""The delivering half of a drain: due deliveries -> REST requests -> answers on the rows. HTTP happens without a database connection.

Order holds within a call: only the head of a call's waiting commands may leave, with as many behind it as one batch carries.
An intent is on disk before its request leaves (state `sent`), the answer right after. What was lost on the way is looked for
before it is repeated, since the portal is not idempotent.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import uniform
from typing import Any

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from bx24app.bitrix24 import speech
from bx24app.bitrix24.budget import Priority
from bx24app.bitrix24.client import Answer, Bitrix24
from bx24app.bitrix24.client import Ref as BatchRef
from bx24app.bitrix24.errors import AnswerLost, Gone, Later, NeedsAdmin, Refused
from bx24app.domain.commands import (
    AddTodo,
    AnyCommand,
    Bind,
    CreateRecord,
    Finish,
    HideCard,
    ReadClient,
    ReadDeals,
    Reassign,
    Ref,
    Register,
    SetActivityUser,
    ShowCard,
    from_json,
)
from bx24app.domain.ledger import USER_INACTIVE, Ledger
from bx24app.logs import log
from bx24app.lookups import LookUp, look_ups
from bx24app.models import Call, Delivery, Portal, PortalUser, utcnow

_log = log(__name__)

BATCH = 50
"""Commands in one batch (Bitrix24's limit)."""
BACKOFF = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 900)
"""Seconds before the next try; a tenth of jitter is added, the portal's own reset time obeyed where it gives one."""


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

    @property
    def priority(self) -> Priority:
        kinds = {type(item.command) for item in self.items}
        if kinds & {Register, ShowCard, HideCard}:
            return Priority.CARD
        return Priority.FINISH if kinds & {Finish, CreateRecord} else Priority.RECORD


@dataclass(slots=True)
class Outcome:
    """What became of a parcel: an answer or an error for each item that was reached, or one error for all."""

    parcel: Parcel
    answers: dict[int, Any] = field(default_factory=dict)
    """delivery id -> raw result, or the exception that it met."""
    error: Exception | None = None

    @property
    def stop(self) -> NeedsAdmin | Gone | None:
        """What ends this portal's deliveries for now: met by the whole request, or by one command of a batch."""
        met = (self.error, *self.answers.values())
        return next((one for one in met if isinstance(one, NeedsAdmin | Gone)), None)


def claim(session: Session, portal: Portal, shared: bool) -> tuple[list[Parcel], datetime | None]:
    """Take what may leave now (marked `sent`), as one parcel a call, or as one for all where the budget is short.

    Returns the parcels and when to look again for what is not due yet.
    """
    now = utcnow()
    query = select(Delivery).where(
        Delivery.portal_id == portal.id, Delivery.state.in_(("waiting", "sent")), Delivery.kind != "Dial"
    )
    open_rows = session.scalars(query.order_by(Delivery.call_id, Delivery.id)).all()
    due, again = _due(open_rows, now)
    if not due:
        return [], again
    ledgers = _ledgers(session, [rows[0].call_id for rows in due])
    parcels = [_parcel(rows, ledgers[rows[0].call_id], shared) for rows in due]
    if shared:
        parcels, left = _together(parcels)
        again = now if left else again
    taken = {item.delivery for parcel in parcels for item in parcel.items}
    for row in open_rows:
        if row.id in taken:
            row.state, row.sent_at, row.attempts = "sent", now, row.attempts + 1
    return parcels, again


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
    """One request for as many calls as a batch takes; look-ups go alone. Returns it, and whether others are left."""
    asking = [parcel for parcel in parcels if parcel.lookup is not None]
    batch = Parcel([], shared=True)
    for parcel in parcels:
        if parcel.lookup is None and len(batch.items) + len(parcel.items) <= BATCH:
            batch.items += parcel.items
            batch.values.update(parcel.values)
    chosen = [batch] if batch.items else asking[:1]
    return chosen, sum(len(p.items) for p in chosen) < sum(len(p.items) for p in parcels)


def anything_due(session: Session, portal: Portal) -> bool:
    """Could something leave now, if the budget allowed it?"""
    query = select(Delivery.id).where(
        Delivery.portal_id == portal.id, Delivery.state == "waiting", Delivery.kind != "Dial"
    )
    due = query.where(or_(Delivery.due_at.is_(None), Delivery.due_at <= utcnow()))
    return session.scalars(due.limit(1)).first() is not None


def _urgency(rows: list[Delivery]) -> tuple[bool, datetime]:
    return rows[0].kind not in ("Register", "ShowCard", "HideCard"), rows[0].created_at


def _by_call(rows: Iterable[Delivery]) -> Iterator[list[Delivery]]:
    groups: dict[int, list[Delivery]] = defaultdict(list)
    for row in rows:
        groups[row.call_id].append(row)
    yield from groups.values()


def _ledgers(session: Session, calls: list[int]) -> dict[int, Ledger]:
    from bx24app.decide import ledger_of

    groups: dict[int, list[Delivery]] = defaultdict(list)
    for row in session.scalars(select(Delivery).where(Delivery.call_id.in_(calls)).order_by(Delivery.id)):
        groups[row.call_id].append(row)
    return {call: ledger_of(rows) for call, rows in groups.items()}


def _parcel(rows: list[Delivery], ledger: Ledger, shared: bool) -> Parcel:
    items = [Item(row.id, row.call_id, from_json(row.kind, row.command)) for row in rows]
    uncertain = [item for item, row in zip(items, rows, strict=True) if row.uncertain]
    lookup = look_ups([item.command for item in uncertain], ledger) if uncertain else None
    if lookup is not None:
        return Parcel([item for item in uncertain if item.command.key in lookup.keys], lookup=lookup)
    chain: list[Item] = []
    for item in items[:BATCH]:
        if chain and shared and not _may_follow(item.command, chain):
            break
        chain.append(item)
    return Parcel(chain, {rows[0].call_id: _values(ledger)}, shared)


def _may_follow(command: AnyCommand, chain: list[Item]) -> bool:
    """In a shared batch nothing stops at an error: only what fails harmlessly behind a failed one may ride along."""
    if any(isinstance(item.command, CreateRecord | AddTodo) for item in chain):
        return False
    return isinstance(
        command, ShowCard | HideCard | Finish | Reassign | Bind | ReadClient | ReadDeals | SetActivityUser
    )


def _values(ledger: Ledger) -> dict[tuple[str, str], Any]:
    return {
        (entry.command.key, fact): value
        for entry in ledger
        if entry.state == "done"
        for fact, value in entry.answer.items()
    }


class _Unresolved(Exception):
    """A command names a fact that the portal did not give, such as the activity of a call that made none."""


def send(client: Bitrix24, parcel: Parcel) -> Outcome:
    """Carry one parcel over HTTP. Never touches the database; every failure is in the outcome."""
    outcome = Outcome(parcel)
    try:
        if parcel.lookup is not None:
            answer = client.call(parcel.lookup.method, parcel.lookup.params, parcel.priority)
            outcome.answers[0] = answer.result
            return outcome
        requests = _requests(parcel, outcome)
        if len(requests) == 1 and not parcel.shared:
            item, method, params = requests[0]
            outcome.answers[item.delivery] = client.call(method, params, parcel.priority).result
        elif requests:
            commands = [(item.slot, method, params) for item, method, params in requests]
            answers = client.batch(commands, halt=not parcel.shared, priority=parcel.priority)
            for item, _, _ in requests:
                if item.slot in answers:
                    said = answers[item.slot]
                    outcome.answers[item.delivery] = said.result if isinstance(said, Answer) else said
    except Refused as error:
        if len(parcel.items) == 1:
            outcome.answers[parcel.items[0].delivery] = error
        else:
            outcome.error = error
    except (Later, NeedsAdmin, Gone) as error:
        outcome.error = error
    return outcome


def _requests(parcel: Parcel, outcome: Outcome) -> list[tuple[Item, str, dict[str, Any]]]:
    slots: dict[tuple[int, str], Item] = {}
    made: list[tuple[Item, str, dict[str, Any]]] = []
    for item in parcel.items:
        values = parcel.values.get(item.call, {})

        def resolve(ref: Ref, item: Item = item, values: dict[tuple[str, str], Any] = values) -> Any:
            for (key, fact), value in reversed(values.items()):
                if fact == ref.fact and key.partition("~")[0] == ref.key:
                    if value is None:
                        raise _Unresolved(f"{ref.key} gave no {ref.fact}")
                    return value
            behind = slots.get((item.call, ref.key))
            if behind is None:
                raise _Unresolved(f"{ref.key} gave no {ref.fact}")
            return BatchRef(behind.slot, speech.path_of(behind.command, ref.fact))

        try:
            method, params = speech.request(item.command, resolve)
        except _Unresolved as missing:
            outcome.answers[item.delivery] = Refused("UNRESOLVED", str(missing))
            if not parcel.shared:
                break
            continue
        slots[item.call, item.command.key.partition("~")[0]] = item
        made.append((item, method, params))
    return made


def store(session: Session, portal: Portal, outcome: Outcome) -> set[int]:
    """Write what became of a parcel on its rows. Returns the calls to fold again."""
    rows = {
        row.id: row
        for row in session.scalars(select(Delivery).where(Delivery.id.in_([i.delivery for i in outcome.parcel.items])))
    }
    if outcome.error is not None:
        for row in rows.values():
            _wait(row, outcome.error)
        return set()
    if outcome.parcel.lookup is not None:
        _looked(outcome, rows)
        return {item.call for item in outcome.parcel.items}
    failed: set[int] = set()
    for item in outcome.parcel.items:
        row = rows[item.delivery]
        said = outcome.answers.get(item.delivery, _NOT_REACHED)
        if item.call in failed or said is _NOT_REACHED:
            row.state, row.sent_at = (
                "waiting",
                None,
            )  # not executed, or behind one that failed: nothing is decided about it
            row.attempts -= 1
            continue
        if not _settle(session, portal, row, item.command, said):
            failed.add(item.call)
    return {item.call for item in outcome.parcel.items}


_NOT_REACHED = object()


def _settle(session: Session, portal: Portal, row: Delivery, command: AnyCommand, said: Any) -> bool:
    """One command's answer; False where it was not carried out (yet)."""
    if isinstance(said, Refused) and speech.forgiven(command, f"{said.code} {said.description}"):
        said = {}
    if isinstance(said, Refused):
        row.state, row.done_at, row.code, row.reason = "dead", utcnow(), said.code, said.description
        if speech.names_user(command, said.description):
            row.code = USER_INACTIVE
        if row.code == USER_INACTIVE:
            _dismissed(session, portal, getattr(command, "user_id", getattr(command, "responsible", None)))
        _log.warning("delivery refused", delivery=row.id, kind=row.kind, code=said.code, reason=said.description)
        return False
    if isinstance(said, Exception):
        _wait(row, said)
        return False
    try:
        row.answer = speech.facts(command, said)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        row.state, row.done_at, row.code = "dead", utcnow(), "UNREADABLE"
        row.reason = f"the portal's answer has an unknown shape: {type(error).__name__} {error}"[:500]
        return False
    row.state, row.done_at, row.uncertain = "done", utcnow(), False
    row.code, row.reason = None, None
    return True


def _wait(row: Delivery, error: Exception) -> None:
    """Later: back-off with jitter, or the time that the portal itself names. A lost answer is looked for first."""
    row.state, row.sent_at = "waiting", None
    row.code, row.reason = type(error).__name__, str(error)[:500]
    if isinstance(error, AnswerLost):
        row.uncertain = True
    after = getattr(error, "after", None)
    if after is None:
        after = BACKOFF[min(row.attempts, len(BACKOFF)) - 1] * uniform(1.0, 1.1)  # noqa: S311 - jitter, not a secret
    if isinstance(error, NeedsAdmin | Gone):
        after, row.attempts = 0, row.attempts - 1
    row.due_at = utcnow() + timedelta(seconds=after)


def _looked(outcome: Outcome, rows: dict[int, Delivery]) -> None:
    """A look-up's answer: what was found is done; what was not has not happened and may leave again."""
    lookup = outcome.parcel.lookup
    assert lookup is not None  # noqa: S101 - narrowed by the caller
    found = lookup.read(outcome.answers.get(0))
    for item in outcome.parcel.items:
        row = rows[item.delivery]
        row.attempts -= 1
        facts = found.get(item.command.key)
        if facts is None:
            row.state, row.uncertain, row.due_at, row.sent_at = "waiting", False, None, None
        else:
            row.state, row.uncertain, row.done_at, row.answer = "done", False, utcnow(), facts


def _dismissed(session: Session, portal: Portal, user_id: int | None) -> None:
    """The portal says that this user is not active: remembered, so that the fold names somebody else."""
    if user_id is None:
        return
    row = session.get(PortalUser, (portal.id, user_id))
    if row is None:
        session.add(PortalUser(portal_id=portal.id, user_id=user_id, active=False, name="", phones=[]))
    else:
        row.active = False


def recover(session: Session, older_than: timedelta) -> set[int]:
    """Requests whose worker died: their answer is lost. Returns the portals to wake."""
    rows = session.scalars(
        select(Delivery).where(Delivery.state == "sent", Delivery.sent_at < utcnow() - older_than)
    ).all()
    for row in rows:
        row.state, row.uncertain, row.sent_at, row.due_at = "waiting", True, None, None
        row.reason = "the worker ended before the answer came"
    return {row.portal_id for row in rows}


__all__ = ["Call", "Outcome", "Parcel", "claim", "recover", "send", "store"]
