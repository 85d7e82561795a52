"""What keeps the journal quick at a million calls: who had to do with a call, which records of the CRM it belongs to, and whether a recording of it
was lost. Kept by the session itself.

Both follow from columns of `Call` and `Recording`; whoever changes those by a statement of their own calls `mark_lost`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, ForeignKey, Index, delete, event, exists, insert, inspect, update
from sqlalchemy.orm import Mapped, Mapper, mapped_column

from bx24app.models.base import Base, BigId, Moment
from bx24app.models.calls import Call, Recording


class CallPerson(Base):
    """A user of the portal who talked in a call or is responsible for it: their calls in their order, without reading the others'."""

    __tablename__ = "call_person"
    __table_args__ = (Index("ix_call_person_latest", "portal_id", "user_id", "started_at", "call_id"),)

    call_id: Mapped[int] = mapped_column(ForeignKey("call.id", ondelete="CASCADE"), primary_key=True)
    user_id: Mapped[int] = mapped_column(primary_key=True)
    portal_id: Mapped[int]
    started_at: Mapped[datetime] = mapped_column(Moment)
    """The call's, so that the index gives the latest first."""


class CallRecord(Base):
    """A record of the CRM that a call belongs to: `Call.crm` the other way round, for the tab in the record."""

    __tablename__ = "call_record"
    __table_args__ = (Index("ix_call_record_call_id", "call_id"),)

    portal_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    entity: Mapped[str] = mapped_column(primary_key=True)
    """lead, deal, contact, company, or a smart process."""
    record_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    call_id: Mapped[int] = mapped_column(BigId, ForeignKey("call.id", ondelete="CASCADE"), primary_key=True)


@event.listens_for(Call, "after_insert")
def _inserted(mapper: Mapper[Call], connection: Connection, call: Call) -> None:
    del mapper
    _keep(connection, call)
    _belong(connection, call)


@event.listens_for(Call, "after_update")
def _updated(mapper: Mapper[Call], connection: Connection, call: Call) -> None:
    del mapper
    held: Any = inspect(call).attrs
    if any(held[name].history.has_changes() for name in ("user_id", "users", "responsible_id", "started_at")):
        connection.execute(delete(CallPerson).where(CallPerson.call_id == call.id))
        _keep(connection, call)
    if held["crm"].history.has_changes():
        connection.execute(delete(CallRecord).where(CallRecord.call_id == call.id))
        _belong(connection, call)


def _belong(connection: Connection, call: Call) -> None:
    """The tabs of these records show the call."""
    records = sorted({(str(one["entity"]), int(one["id"])) for one in call.crm or ()})
    rows = [
        {"portal_id": call.portal_id, "entity": entity, "record_id": number, "call_id": call.id}
        for entity, number in records
    ]
    if rows:
        connection.execute(insert(CallRecord), rows)


def _keep(connection: Connection, call: Call) -> None:
    users = {user for user in (call.user_id, call.responsible_id, *(call.users or ())) if user}
    rows = [
        {"call_id": call.id, "user_id": user, "portal_id": call.portal_id, "started_at": call.started_at}
        for user in sorted(users)
    ]
    if rows:
        connection.execute(insert(CallPerson), rows)


@event.listens_for(Recording, "after_insert")
@event.listens_for(Recording, "after_update")
def _tape(mapper: Mapper[Recording], connection: Connection, tape: Recording) -> None:
    del mapper
    if inspect(tape).attrs.state.history.has_changes():
        mark_lost(connection, Call.id == tape.call_id)


def mark_lost(connection: Any, *calls: Any) -> None:
    """`Call.lost` of these calls (conditions) as their recordings are now. The caller commits."""
    lost = exists().where(Recording.call_id == Call.id, Recording.state == "lost")
    connection.execute(update(Call).where(*calls, Call.lost != lost).values(lost=lost))
