"""Stores what became of the requests of a drain: the portal's answers and Mango's.

`drain` stores them all at once, or one by one after something raised an error. Then an answer that cannot be stored is
set aside with its delivery: the command was carried out, so a verification comes before a repeat.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy.orm import Session

from bx24app.calls import click_to_call, set_aside_rows
from bx24app.calls.click_to_call import DialOutcome
from bx24app.calls.outbox import sender
from bx24app.calls.outbox.sender import BatchOutcome
from bx24app.calls.set_aside import SavepointFailed, own_savepoint, set_aside
from bx24app.models import Call, Delivery, Portal, utcnow

Outcome = BatchOutcome | DialOutcome


def store_outcomes(session: Session, portal: Portal, outcomes: Sequence[Outcome]) -> set[int]:
    """Write what became of the requests. Returns the calls to fold again; the caller commits."""
    touched: set[int] = set()
    answered: list[BatchOutcome] = []
    for outcome in outcomes:
        if isinstance(outcome, DialOutcome):
            touched |= click_to_call.store_dial_outcome(session, outcome)
        else:
            answered.append(outcome)
    if answered:
        touched |= sender.store_outcomes(session, portal, *answered)
    session.flush()
    return touched


def store_one_by_one(session: Session, portal: Portal, outcomes: Sequence[Outcome]) -> set[int]:
    """The same, each outcome in a savepoint of its own; a batch that raises is taken command by command."""
    touched: set[int] = set()
    for outcome in outcomes:
        try:
            with own_savepoint(session):
                touched |= store_outcomes(session, portal, [outcome])
        except SavepointFailed:
            for part in _split_outcome(outcome):
                touched |= _store_part(session, portal, part)
    return touched


def _split_outcome(outcome: Outcome) -> list[Outcome]:
    if isinstance(outcome, DialOutcome):
        return [outcome]
    items = outcome.batch.items
    return [replace(outcome, batch=replace(outcome.batch, items=[item])) for item in items]


def _store_part(session: Session, portal: Portal, part: Outcome) -> set[int]:
    try:
        with own_savepoint(session):
            return store_outcomes(session, portal, [part])
    except SavepointFailed as failure:
        order = isinstance(part, DialOutcome)
        delivery_id = part.order.delivery_id if isinstance(part, DialOutcome) else part.batch.items[0].delivery_id
        return _set_aside_answer(session, portal, delivery_id, failure.cause, by_itself=not order)


def _set_aside_answer(
    session: Session, portal: Portal, delivery_id: int, error: Exception, by_itself: bool
) -> set[int]:
    row = session.get(Delivery, delivery_id)
    if row is None:
        return set()  # its call was erased meanwhile
    call = session.get_one(Call, row.call_id)
    reason = set_aside(session, portal.id, "delivery", row.id, error, call.entry_id, call.id, by_itself)
    set_aside_rows.mark_delivery(row, reason)
    call.due_at = utcnow()
    session.flush()
    return {call.id}
