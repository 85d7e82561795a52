"""USE CASE: run again what went wrong: the stored notifications of a call, or the deliveries that the portal refused.

The command line and the page of undelivered commands call it. Notifications are folded again: what the portal has
already received is in the ledger and is not sent again. A dead delivery was refused, so it was not carried out; it
waits again, in its old place within its call. A delivery that never left, because an earlier one gave no answer to
build on, is removed from the ledger instead, and the fold decides about it again. Three kinds stay dead: dials to Mango
(they would ring people now), the card of a call (its moment is over), and commands that were issued again for another
user.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from sqlalchemy import Select, func, select, update
from sqlalchemy.orm import Session

from bx24app.calls import retry_report, set_aside
from bx24app.calls.outbox.sender import UNKNOWN_OUTCOME
from bx24app.calls.recordings import transfer
from bx24app.domain.calls.ledger import UNREADABLE, USER_INACTIVE
from bx24app.infra import queue
from bx24app.models import Call, Delivery, Notification, Recording, audit, db, problem_codes, utcnow
from bx24app.models.call_index import mark_lost
from bx24app.models.locking import portal_lock

ROWS_PER_TRANSACTION = 500
"""Rows that one transaction revives, so that the portal's lock is not held for long."""
_TRANSIENT_KINDS = ("Dial", "Route", "ShowCard", "HideCard")
_REISSUED_KINDS = ("Register", "Finish")
UNRESOLVED = "UNRESOLVED"
"""Code of deliveries that were never sent, because an earlier command gave no answer to build on."""


@dataclass(frozen=True, slots=True)
class ReplayResult:
    """`calls`: how many calls of this entry there are; `notifications`: how many are run again."""

    calls: int
    notifications: int


@dataclass(frozen=True, slots=True)
class RetryResult:
    """How many `deliveries`, of how many `calls`, wait again; `still_dead`: how many must not be repeated."""

    deliveries: int
    calls: int
    still_dead: int
    call_ids: frozenset[int] = field(default=frozenset(), compare=False)


@dataclass(frozen=True, slots=True)
class Actor:
    """Who asks for it, for the audit log."""

    source: str = "cli"
    user_id: int | None = None


OPERATOR = Actor()


def replay_entry(portal_id: int, entry_id: str, by: Actor = OPERATOR) -> ReplayResult:
    """Run the stored notifications of one call again, also those that an older version could not read.

    Wakes the portal.
    """
    with portal_lock(portal_id) as (session, _):
        # Events of the portal (PBX 0) are not run again: a click that is handled twice would dial twice.
        of_pbx = (Notification.portal_id == portal_id, Notification.entry_id == entry_id, Notification.pbx_id != 0)
        reset = update(Notification).where(*of_pbx).values(state="new", reason=None).returning(Notification.id)
        notifications = len(session.scalars(reset).all())
        of_entry = select(Call.id).where(Call.portal_id == portal_id, Call.entry_id == entry_id)
        calls = len(session.scalars(of_entry).all())
        if notifications:
            audit.record(portal_id, by.user_id, by.source, "replayed", entry_id=entry_id, notifications=notifications)
    if notifications:
        queue.wake_portal(portal_id)
    return ReplayResult(calls, notifications)


def retry_dead(portal_id: int, call_id: int | None = None, by: Actor = OPERATOR) -> RetryResult:
    """Let dead deliveries of the portal, or of one of its calls (row id), wait again with all tries.

    Wakes the portal.
    """
    revived, calls, last_id = 0, set[int](), 0
    while True:
        with portal_lock(portal_id) as (session, _):
            query = retryable_deliveries(portal_id, call_id).where(Delivery.id > last_id)
            rows = list(session.scalars(query.order_by(Delivery.id).limit(ROWS_PER_TRANSACTION)))
            if rows:
                last_id = rows[-1].id
                revived, calls = revived + len(rows), calls | {row.call_id for row in rows}
                _reset_deliveries(session, rows)
        if len(rows) < ROWS_PER_TRANSACTION:
            break
    with portal_lock(portal_id) as (session, _):
        dead = _dead_deliveries(portal_id, call_id).subquery()
        still_dead = session.scalar(select(func.count()).select_from(dead)) or 0
        if revived:
            audit.record(portal_id, by.user_id, by.source, "replayed", deliveries=revived, calls=len(calls))
    if revived:
        queue.wake_portal(portal_id)
    return RetryResult(revived, len(calls), still_dead, frozenset(calls))


def retry_everything(portal_id: int, by: Actor = OPERATOR) -> None:
    """Let all refused deliveries, all lost recordings and all that was set aside be tried once more, and note it."""
    result = retry_dead(portal_id, by=by)
    given_back = set_aside.retry(portal_id, source=by.source, user_id=by.user_id)
    lost = select(Recording.id).where(
        Recording.portal_id == portal_id, Recording.state == "lost", Recording.bitrix_call_id.is_not(None)
    )
    ids = list(db.session.scalars(lost))
    if ids:
        audit.record(portal_id, by.user_id, by.source, "replayed", recordings=len(ids))
    db.session.commit()
    for recording_id in ids:
        transfer.try_again(portal_id, recording_id)
    retry_report.store_note(
        portal_id, calls=result.call_ids, recordings=ids, set_aside=given_back, still_dead=result.still_dead
    )


def retry_now(portal_id: int, call_id: int | None = None) -> None:
    """Try waiting deliveries of the portal, or of one of its calls (row id), now. Wakes the portal.

    What is due already is under way anyway; only what would leave later is noted.
    """
    with portal_lock(portal_id) as (session, _):
        waiting = (Delivery.portal_id == portal_id, Delivery.state == "waiting", Delivery.due_at.is_not(None))
        chosen = waiting if call_id is None else (*waiting, Delivery.call_id == call_id)
        hurried = update(Delivery).where(*chosen).values(due_at=None).returning(Delivery.call_id)
        calls = set(session.scalars(hurried))
    queue.wake_portal(portal_id)
    if call_id is None:
        retry_report.store_note(portal_id, calls=calls)


def _dead_deliveries(portal_id: int, call_id: int | None) -> Select[Delivery]:
    query = select(Delivery).where(Delivery.portal_id == portal_id, Delivery.state == "dead")
    return query if call_id is None else query.where(Delivery.call_id == call_id)


def retryable_deliveries(portal_id: int, call_id: int | None = None) -> Select[Delivery]:
    """Refused deliveries that may be tried again; without an order."""
    reissued = Delivery.kind.in_(_REISSUED_KINDS) & (func.coalesce(Delivery.code, "") == USER_INACTIVE)
    return _dead_deliveries(portal_id, call_id).where(Delivery.kind.not_in(_TRANSIENT_KINDS), ~reissued)


def _reset_deliveries(session: Session, rows: Iterable[Delivery]) -> None:
    by_call: dict[int, list[Delivery]] = {}
    for row in rows:
        by_call.setdefault(row.call_id, []).append(row)
    for call in session.scalars(select(Call).where(Call.id.in_(by_call))):
        if problem_codes.is_problem_of(call, by_call[call.id]):
            call.problem = call.problem_delivery = None
        if call.state == "dead":
            call.state = "open"
        call.due_at = utcnow()
        for row in by_call[call.id]:
            if row.code == UNRESOLVED:
                session.delete(row)
                continue
            row.state, row.attempts, row.uncertain = "waiting", 0, row.code in (UNREADABLE, UNKNOWN_OUTCOME)
            row.due_at = row.sent_at = row.done_at = row.code = row.reason = None
            if row.kind == "Register" and call.ended_at is not None:
                row.command = {**row.command, "show": False}  # else its card would open for a call that is over
    # Recordings that were lost together with their call get their first try once the call is finished.
    orphans = (Recording.call_id.in_(by_call), Recording.state == "lost", Recording.bitrix_call_id.is_(None))
    session.execute(update(Recording).where(*orphans).values(state="waiting", problem=None, problem_code=None, tries=0))
    mark_lost(session, Call.id.in_(by_call))
