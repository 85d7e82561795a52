"""Erase one person's data (152-FZ, GDPR) from a portal's rows and files; `bx24app forget` calls this.

Calls, deliveries, recordings and notifications of the person are deleted; rows of others that name the number are
redacted (`redaction`). Backups, Bitrix24 and Mango Office are not touched, and the daily sync reads again what the
portal still holds about its employees.

A call that is under way, or of which something is being sent, is kept and counted: if it were erased, the portal would
get it a second time. The inbox is searched before the portal's lock is taken, since the search reads every body that
could contain the number.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar

from sqlalchemy import delete, func, or_, select, text
from sqlalchemy.orm import Session

from bx24app.calls import notifications
from bx24app.calls.recordings.attempts import CLAIM_LIFETIME
from bx24app.domain import phone
from bx24app.infra import spool
from bx24app.models import Call, Delivery, Notification, Portal, Recording, SetAside, audit, db, utcnow
from bx24app.models.base import is_sqlite
from bx24app.models.locking import portal_lock
from bx24app.operations import redaction

ROWS_PER_STATEMENT = 500
"""How many row ids one statement names."""
ACTIVE_WITHIN = timedelta(days=1)
"""An open call of a working portal with a notification within this time is under way."""
_WORKING_STATES = ("active", "pending")
_T = TypeVar("_T")


@dataclass(slots=True)
class ErasureResult:
    """Erased rows and files, and what is left."""

    calls: int = 0
    deliveries: int = 0
    recordings: int = 0
    files: int = 0
    notifications: int = 0
    remaining_calls: int = 0
    """Calls with this number that are under way and were not erased."""
    employees: int = 0
    """Directory entries that had the number."""
    is_in_settings: bool = False
    """The current settings contain the number (an employee's mobile, a rule); an administrator has to remove it."""


@dataclass(slots=True)
class _PersonalRows:
    """Rows that name the person."""

    calls: list[Call]
    remaining_calls: list[Call] = field(default_factory=list)
    notifications: set[int] = field(default_factory=set)
    new_calls: set[tuple[int, str | None, str | None]] = field(default_factory=set)
    """Calls (PBX, entry, command) whose notifications have come and which are not in the journal yet."""
    other_calls: set[tuple[int, str]] = field(default_factory=set)
    """Other people's calls (PBX, entry) with a notification that names the person, by a transfer or a conference."""


def erase_person(portal_id: int, number: str) -> ErasureResult:
    """Erase the person with this number (E.164) from one portal in one transaction.

    Calls under way stay and are counted.
    """
    last_id = db.session.scalar(select(func.max(Notification.id))) or 0
    db.session.rollback()
    notification_ids = set(_find_notifications(portal_id, number))
    result = ErasureResult()
    with portal_lock(portal_id) as (session, portal):
        if portal is None:
            return result
        notification_ids |= set(_find_notifications(portal_id, number, session, above=last_id))
        rows = _find_rows(session, portal, number, notification_ids)
        recording_ids = _delete_rows(session, rows, result)
        redaction.redact_calls(session, portal, number, rows.other_calls)
        result.employees = redaction.redact_directory(session, portal, number)
        result.is_in_settings = redaction.redact_settings(session, portal, number)
        audit.record(portal_id, None, "cli", "forgot", calls=result.calls, notifications=result.notifications)
    result.files = spool.remove_files(recording_ids)
    _truncate_wal()
    return result


def _find_notifications(portal_id: int, number: str, session: Session | None = None, above: int = 0) -> Iterator[int]:
    """Ids of notifications after `above` whose body contains the number in any spelling."""
    columns = select(Notification.id, Notification.body)
    # A PBX writes digits without gaps; what people typed (a click, a body that could not be parsed) may have
    # any character in between.
    may_contain = or_(
        Notification.body.contains(_significant_digits(number)),
        Notification.pbx_id == 0,
        Notification.state == "rejected",
    )
    query = columns.where(Notification.portal_id == portal_id, Notification.id > above, may_contain)
    if session is not None:
        yield from (row.id for row in session.execute(query) if has_number(row.body, number))
        return
    with Session(db.engine) as reading:
        reading.connection(execution_options={"read_only": True})
        for row in reading.execute(query.execution_options(yield_per=ROWS_PER_STATEMENT)):
            if has_number(row.body, number):
                yield row.id


def _significant_digits(number: str) -> str:
    """The digits that every spelling has: a Russian number may begin with +7, with 8 or with the area code."""
    digits = phone.digits_only(number)
    return digits[1:] if digits.startswith("7") and len(digits) == 11 else digits


def has_number(body: str, number: str) -> bool:
    """Does this body of a notification contain the number (E.164)?"""
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return _significant_digits(number) in phone.digits_only(body)
    digits = phone.digits_only(number)
    return any(digits in text or phone.normalise(text) == number for text in _iterate_scalars(content))


def _iterate_scalars(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for part in value.values():
            yield from _iterate_scalars(part)
    elif isinstance(value, list):
        for part in value:
            yield from _iterate_scalars(part)
    elif value is not None:
        yield str(value)


def _find_rows(session: Session, portal: Portal, number: str, notification_ids: set[int]) -> _PersonalRows:
    query = select(Call).where(Call.portal_id == portal.id, Call.client_number == number)
    rows = _PersonalRows(list(session.scalars(query.order_by(Call.id))))
    busy = _busy_call_ids(session, portal, rows.calls)
    rows.remaining_calls = [call for call in rows.calls if call.id in busy]
    rows.calls = [call for call in rows.calls if call.id not in busy]
    for some in _split_chunks(notification_ids):
        for row in session.scalars(select(Notification).where(Notification.id.in_(some))):
            if any(notifications.belongs_to(row, call) for call in rows.remaining_calls):
                continue
            if row.state == "new" and portal.state in _WORKING_STATES and row.received_at > utcnow() - ACTIVE_WITHIN:
                rows.new_calls.add((row.pbx_id, row.entry_id, row.command_id))
            else:
                rows.notifications.add(row.id)
                if row.entry_id is not None:
                    rows.other_calls.add((row.pbx_id, row.entry_id))
    rows.notifications |= notifications.load_ids(session, rows.calls)
    return rows


def _busy_call_ids(session: Session, portal: Portal, calls: list[Call]) -> set[int]:
    """Calls that are under way, or of which something is being sent."""
    busy: set[int] = set()
    if portal.state in _WORKING_STATES:
        busy |= {call.id for call in calls if call.state == "open" and call.heard_at > utcnow() - ACTIVE_WITHIN}
    for some in _split_chunks(call.id for call in calls):
        sent = select(Delivery.call_id).where(Delivery.call_id.in_(some), Delivery.state == "sent")
        busy |= set(session.scalars(sent))
        # Locked, so that no worker claims one before it is erased.
        for recording in session.scalars(select(Recording).where(Recording.call_id.in_(some)).with_for_update()):
            if recording.claimed_at is not None and recording.claimed_at > utcnow() - CLAIM_LIFETIME:
                busy.add(recording.call_id)
    return busy


def _delete_rows(session: Session, rows: _PersonalRows, result: ErasureResult) -> list[int]:
    """Delete the rows. Returns the row ids of recordings, which may have files in the spool."""
    if is_sqlite():
        # Otherwise the bytes stay in the file until something overwrites them.
        session.execute(text("PRAGMA secure_delete = ON"))
    recording_ids: list[int] = []
    for some in _split_chunks(call.id for call in rows.calls):
        recording_ids += session.scalars(delete(Recording).where(Recording.call_id.in_(some)).returning(Recording.id))
        statement = delete(Delivery).where(Delivery.call_id.in_(some)).returning(Delivery.id)
        result.deliveries += len(session.scalars(statement).all())
        session.execute(delete(SetAside).where(SetAside.call_id.in_(some)))
        session.execute(delete(Call).where(Call.id.in_(some)))
    for some in _split_chunks(rows.notifications):
        session.execute(delete(SetAside).where(SetAside.kind == "notification", SetAside.row_id.in_(some)))
        session.execute(delete(Notification).where(Notification.id.in_(some)))
    result.calls, result.recordings = len(rows.calls), len(recording_ids)
    result.notifications, result.remaining_calls = (
        len(rows.notifications),
        len(rows.remaining_calls) + len(rows.new_calls),
    )
    return recording_ids


def _split_chunks(values: Iterable[_T]) -> Iterator[list[_T]]:
    items = list(values)
    for start in range(0, len(items), ROWS_PER_STATEMENT):
        yield items[start : start + ROWS_PER_STATEMENT]


def _truncate_wal() -> None:
    """Empty SQLite's log, which still holds the old rows.

    While somebody reads from it, its next checkpoint does that.
    """
    if not is_sqlite():
        return
    connection = db.engine.raw_connection()
    try:
        cursor = connection.cursor()
        cursor.execute("PRAGMA busy_timeout = 1000")
        cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        cursor.close()
    finally:
        connection.invalidate()  # nobody else may get this connection with its short busy_timeout
