"""Keeps the journal quick at a million calls: whose calls they are, to which CRM records they belong, and whether a
recording was lost.

All three follow from columns of `Call` and `Recording`, and every flush of a session writes them along. An UPDATE or
DELETE statement bypasses the session: code that changes the state of recordings that way calls `mark_lost`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, ForeignKey, Index, delete, event, exists, insert, inspect, update
from sqlalchemy.orm import Mapped, Mapper, Session, UOWTransaction, mapped_column, object_session

from bx24app.models.base import Base, BigId, Moment
from bx24app.models.calls import Call, Recording


class CallPerson(Base):
    """A user of the portal who talked in a call or is responsible for it, so that their calls are found without reading
    others.
    """

    __tablename__ = "call_person"
    __table_args__ = (Index("ix_call_person_latest", "portal_id", "user_id", "started_at", "call_id"),)

    call_id: Mapped[int] = mapped_column(ForeignKey("call.id", ondelete="CASCADE"), primary_key=True)
    user_id: Mapped[int] = mapped_column(primary_key=True)
    portal_id: Mapped[int]
    started_at: Mapped[datetime] = mapped_column(Moment)
    """The call's, so that the index gives the latest first."""


class CallRecord(Base):
    """A CRM record that a call belongs to: `Call.crm` the other way round, for the tab in the record."""

    __tablename__ = "call_record"
    __table_args__ = (Index("ix_call_record_call_id", "call_id"),)

    portal_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    entity: Mapped[str] = mapped_column(primary_key=True)
    """lead, deal, contact, company, or a smart process."""
    record_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    call_id: Mapped[int] = mapped_column(BigId, ForeignKey("call.id", ondelete="CASCADE"), primary_key=True)


@dataclass(slots=True)
class _FlushChanges:
    """What one flush has changed.

    It is written at the end, because a statement for many calls costs little more than for one.
    """

    persons: dict[int, Call] = field(default_factory=dict)
    records: dict[int, Call] = field(default_factory=dict)
    stale_persons: set[int] = field(default_factory=set)
    stale_records: set[int] = field(default_factory=set)
    recording_calls: set[int] = field(default_factory=set)
    """All by the row id of the call. `stale_…`: calls that may have rows already."""


def _session_changes(row: Call | Recording) -> _FlushChanges:
    session: Any = object_session(row)  # mapper events come from a session's flush, so there is one
    changes: _FlushChanges = session.info.setdefault("journal", _FlushChanges())
    return changes


@event.listens_for(Call, "after_insert")
def _note_new_call(mapper: Mapper[Call], connection: Connection, call: Call) -> None:
    del mapper, connection
    changed = _session_changes(call)
    changed.persons[call.id] = changed.records[call.id] = call


@event.listens_for(Call, "after_update")
def _note_changed_call(mapper: Mapper[Call], connection: Connection, call: Call) -> None:
    del mapper, connection
    columns: Any = inspect(call).attrs
    changed = _session_changes(call)
    if any(columns[name].history.has_changes() for name in ("user_id", "users", "responsible_id", "started_at")):
        changed.persons[call.id] = call
        changed.stale_persons.add(call.id)
    if columns["crm"].history.has_changes():
        changed.records[call.id] = call
        changed.stale_records.add(call.id)


@event.listens_for(Recording, "after_insert")
@event.listens_for(Recording, "after_update")
def _note_changed_recording(mapper: Mapper[Recording], connection: Connection, recording: Recording) -> None:
    del mapper, connection
    history = inspect(recording).attrs.state.history
    if history.has_changes() and (recording.state == "lost" or "lost" in (history.deleted or ("lost",))):
        _session_changes(recording).recording_calls.add(recording.call_id)


@event.listens_for(Session, "after_flush")
def _write_index(session: Session, context: UOWTransaction) -> None:
    del context
    changed: _FlushChanges | None = session.info.pop("journal", None)
    if changed is None:
        return
    connection = session.connection()
    if changed.stale_persons:
        connection.execute(delete(CallPerson).where(CallPerson.call_id.in_(changed.stale_persons)))
    if changed.stale_records:
        connection.execute(delete(CallRecord).where(CallRecord.call_id.in_(changed.stale_records)))
    if persons := [row for call in changed.persons.values() for row in _person_rows(call)]:
        connection.execute(insert(CallPerson), persons)
    if records := [row for call in changed.records.values() for row in _record_rows(call)]:
        connection.execute(insert(CallRecord), records)
    if changed.recording_calls:
        mark_lost(connection, Call.id.in_(changed.recording_calls))


def _record_rows(call: Call) -> list[dict[str, Any]]:
    records = sorted({(str(record["entity"]), int(record["id"])) for record in call.crm or ()})
    return [
        {"portal_id": call.portal_id, "entity": entity, "record_id": number, "call_id": call.id}
        for entity, number in records
    ]


def _person_rows(call: Call) -> list[dict[str, Any]]:
    users = {user for user in (call.user_id, call.responsible_id, *(call.users or ())) if user}
    return [
        {"call_id": call.id, "user_id": user, "portal_id": call.portal_id, "started_at": call.started_at}
        for user in sorted(users)
    ]


def mark_lost(connection: Any, *calls: Any) -> None:
    """Set `Call.lost` of the calls that meet these conditions by the present state of their recordings.

    The caller commits.
    """
    lost = exists().where(Recording.call_id == Call.id, Recording.state == "lost")
    connection.execute(update(Call).where(*calls, Call.lost != lost).values(lost=lost))
