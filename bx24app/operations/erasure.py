"""USE CASE: erase one person (152-FZ, GDPR): journal, outbox, inbox, recordings on their way, what else names them (`personal`).
Backups, Bitrix24 and Mango are others' to erase; what the portal still says of its employees comes back with the daily look.

A call that still goes on, or of which something is just leaving, is kept and counted: erased under the app's hands it would be told to
the portal a second time. The inbox is searched before the portal's lock is taken, since that reads every body that could name the number.
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
from bx24app.infra.runtime import runtime
from bx24app.models import Call, Delivery, Notification, Portal, Recording, audit, db, utcnow
from bx24app.models.locking import portal_lock
from bx24app.operations import redaction

ROWS_PER_STATEMENT = 500
"""Rows that one statement names."""
ACTIVE_WITHIN = timedelta(days=1)
"""An open call of a working portal that was heard of less than this long ago still goes on."""
_WORKING_STATES = ("active", "pending")
_T = TypeVar("_T")


@dataclass(slots=True)
class ErasureResult:
    """What is gone, in rows and files; `kept`: calls with this number that are under way, and so still there."""

    calls: int = 0
    deliveries: int = 0
    recordings: int = 0
    files: int = 0
    notifications: int = 0
    kept_calls: int = 0
    employees: int = 0
    """Entries of the portal's directory that had the telephone."""
    is_in_settings: bool = False
    """The present settings name the telephone (an employee's mobile, a rule); an administrator takes it out."""


@dataclass(slots=True)
class _PersonalRows:
    """Row ids that name the person."""

    calls: list[Call]
    kept_calls: list[Call] = field(default_factory=list)
    notifications: set[int] = field(default_factory=set)
    new_calls: set[tuple[int, str | None, str | None]] = field(default_factory=set)
    """Calls (PBX, entry, command) that were told and are not in the journal yet."""
    other_calls: set[tuple[int, str]] = field(default_factory=set)
    """Other calls (PBX, entry) of which a notification names the person: somebody was sent on to them, or they were asked in."""


def erase_person(portal_id: int, number: str) -> ErasureResult:
    """Erase the person with this telephone (E.164) from one portal, in one transaction. What is still under way stays and is counted."""
    seen = db.session.scalar(select(func.max(Notification.id))) or 0
    db.session.rollback()
    named = set(_find_notifications(portal_id, number))
    result = ErasureResult()
    with portal_lock(portal_id) as (session, portal):
        if portal is None:
            return result
        named |= set(_find_notifications(portal_id, number, session, above=seen))
        found = _find_rows(session, portal, number, named)
        tapes = _delete_rows(session, found, result)
        redaction.redact_calls(session, portal, number, found.other_calls)
        result.employees = redaction.redact_directory(session, portal, number)
        result.is_in_settings = redaction.redact_settings(session, portal, number)
        audit.record(portal_id, None, "cli", "forgot", calls=result.calls, notifications=result.notifications)
    result.files = sum(_remove_spool_files(tape) for tape in tapes)
    _truncate_wal()
    return result


def _find_notifications(portal_id: int, number: str, session: Session | None = None, above: int = 0) -> Iterator[int]:
    """Notifications after `above` whose body names the telephone, however it is written there."""
    columns = select(Notification.id, Notification.body)
    # A PBX writes digits in a row; what people typed (a click, a body that nobody could read) may have anything in between.
    written = or_(
        Notification.body.contains(_significant_digits(number)), Notification.pbx_id == 0, Notification.state == "rejected"
    )
    query = columns.where(Notification.portal_id == portal_id, Notification.id > above, written)
    if session is not None:
        yield from (row.id for row in session.execute(query) if has_number(row.body, number))
        return
    with Session(db.engine) as reading:
        reading.connection(execution_options={"read_only": True})
        for row in reading.execute(query.execution_options(yield_per=ROWS_PER_STATEMENT)):
            if has_number(row.body, number):
                yield row.id


def _significant_digits(number: str) -> str:
    """The digits that every way to write the number has: a Russian one may begin with 8, or with the code of the town."""
    digits = phone.digits_only(number)
    return digits[1:] if digits.startswith("7") and len(digits) == 11 else digits


def has_number(body: str, number: str) -> bool:
    """Does this notification name the telephone (E.164)?"""
    try:
        held = json.loads(body)
    except (ValueError, RecursionError):
        return _significant_digits(number) in phone.digits_only(body)
    digits = phone.digits_only(number)
    return any(digits in said or phone.normalise(said) == number for said in _iterate_scalars(held))


def _iterate_scalars(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for part in value.values():
            yield from _iterate_scalars(part)
    elif isinstance(value, list):
        for part in value:
            yield from _iterate_scalars(part)
    elif value is not None:
        yield str(value)


def _find_rows(session: Session, portal: Portal, number: str, named: set[int]) -> _PersonalRows:
    theirs = select(Call).where(Call.portal_id == portal.id, Call.client_number == number)
    found = _PersonalRows(list(session.scalars(theirs.order_by(Call.id))))
    busy = _busy_call_ids(session, portal, found.calls)
    found.kept_calls = [call for call in found.calls if call.id in busy]
    found.calls = [call for call in found.calls if call.id not in busy]
    for some in _split_chunks(named):
        for row in session.scalars(select(Notification).where(Notification.id.in_(some))):
            if any(notifications.belongs_to(row, call) for call in found.kept_calls):
                continue
            if row.state == "new" and portal.state in _WORKING_STATES and row.received_at > utcnow() - ACTIVE_WITHIN:
                found.new_calls.add((row.pbx_id, row.entry_id, row.command_id))
            else:
                found.notifications.add(row.id)
                if row.entry_id is not None:
                    found.other_calls.add((row.pbx_id, row.entry_id))
    found.notifications |= notifications.load_ids(session, found.calls)
    return found


def _busy_call_ids(session: Session, portal: Portal, calls: list[Call]) -> set[int]:
    """Calls of which something is on its way now, or that go on."""
    busy: set[int] = set()
    if portal.state in _WORKING_STATES:
        busy |= {call.id for call in calls if call.state == "open" and call.heard_at > utcnow() - ACTIVE_WITHIN}
    for some in _split_chunks(call.id for call in calls):
        sent = select(Delivery.call_id).where(Delivery.call_id.in_(some), Delivery.state == "sent")
        busy |= set(session.scalars(sent))
        # Locked: nobody may take one between this look and the erasing.
        for tape in session.scalars(select(Recording).where(Recording.call_id.in_(some)).with_for_update()):
            if tape.claimed_at is not None and tape.claimed_at > utcnow() - CLAIM_LIFETIME:
                busy.add(tape.call_id)
    return busy


def _delete_rows(session: Session, found: _PersonalRows, result: ErasureResult) -> list[int]:
    """Delete the rows. Returns the row ids of recordings that may have a file in the spool."""
    if session.get_bind().dialect.name == "sqlite":
        # Without it the bytes stay in the file until something overwrites them.
        session.execute(text("PRAGMA secure_delete = ON"))
    tapes: list[int] = []
    for some in _split_chunks(call.id for call in found.calls):
        tapes += session.scalars(delete(Recording).where(Recording.call_id.in_(some)).returning(Recording.id))
        gone = delete(Delivery).where(Delivery.call_id.in_(some)).returning(Delivery.id)
        result.deliveries += len(session.scalars(gone).all())
        session.execute(delete(Call).where(Call.id.in_(some)))
    for some in _split_chunks(found.notifications):
        session.execute(delete(Notification).where(Notification.id.in_(some)))
    result.calls, result.recordings = len(found.calls), len(tapes)
    result.notifications, result.kept_calls = len(found.notifications), len(found.kept_calls) + len(found.new_calls)
    return tapes


def _split_chunks(values: Iterable[_T]) -> Iterator[list[_T]]:
    held = list(values)
    for start in range(0, len(held), ROWS_PER_STATEMENT):
        yield held[start : start + ROWS_PER_STATEMENT]


def _remove_spool_files(recording_id: int) -> bool:
    """Remove a fetched file that was not attached yet; False where there is none."""
    spool = runtime().config.data_dir / "spool"
    files = [spool / f"{recording_id}.{ending}" for ending in ("mp3", "part")]
    there = [file for file in files if file.exists()]
    for file in there:
        file.unlink(missing_ok=True)
    return bool(there)


def _truncate_wal() -> None:
    """SQLite's log still holds the rows as they were: it is emptied now if nobody reads from it, else by its next round."""
    if db.engine.dialect.name != "sqlite":
        return
    connection = db.engine.raw_connection()
    try:
        cursor = connection.cursor()
        cursor.execute("PRAGMA busy_timeout = 1000")
        cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        cursor.close()
    finally:
        connection.invalidate()  # its short patience is not for others
