"""Calls of one client, as a tab in the portal's own pages lists them: those bound to CRM records that its viewer may
read, the viewer's own with a phone number, and others with that number where the viewer may read its client.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, and_, exists, false, or_, select, union

from bx24app.calls.journal.search import Cursor
from bx24app.models import Call, CallPerson, CallRecord, db

CLIENTS = ("lead", "contact", "company")
"""Records that carry telephones."""


@dataclass(frozen=True, slots=True)
class ClientCalls:
    """Which calls may be listed: those of the records (entity, id), and those of the user with the number (E.164;
    empty: none).

    `is_number_proven`: the user may read a record that carries the number, so calls of others with it are listed too,
    except those that belong to clients outside `records`.
    """

    portal_id: int
    user_id: int
    records: Iterable[tuple[str, int]]
    number: str
    is_number_proven: bool


def list_calls(client: ClientCalls, below: Cursor | None, limit: int) -> list[Call]:
    """Calls below the cursor, the latest first."""
    query = _restrict(select(Call), client)
    if below is not None:
        older_at_once = and_(Call.started_at == below.started_at, Call.id < below.call_id)
        query = query.where(or_(Call.started_at < below.started_at, older_at_once))
    return list(db.session.scalars(query.order_by(Call.started_at.desc(), Call.id.desc()).limit(limit)))


def includes_call(client: ClientCalls, call_id: int) -> bool:
    """May this call be listed?"""
    return db.session.scalar(_restrict(select(Call.id), client).where(Call.id == call_id)) is not None


def _restrict(query: Select[Any], client: ClientCalls) -> Select[Any]:
    # The ids come from two indexes first: an `or` over both conditions would scan the whole journal.
    ways: list[Select[Any]] = []
    records = list(client.records)
    if records:
        keys = (and_(CallRecord.entity == entity, CallRecord.record_id == number) for entity, number in records)
        ways.append(select(CallRecord.call_id).where(CallRecord.portal_id == client.portal_id, or_(*keys)))
    if client.number:
        same = select(Call.id).where(Call.portal_id == client.portal_id, Call.client_number == client.number)
        own = (CallPerson.portal_id == client.portal_id, CallPerson.user_id == client.user_id)
        ways.append(same.where(Call.id.in_(select(CallPerson.call_id).where(*own))))
        if client.is_number_proven:
            ways.append(same.where(~exists().where(CallRecord.call_id == Call.id, CallRecord.entity.in_(CLIENTS))))
    if not ways:
        return query.where(false())
    ids = ways[0] if len(ways) == 1 else union(*ways)
    return query.where(Call.portal_id == client.portal_id, Call.visible.is_(True), Call.id.in_(ids))
