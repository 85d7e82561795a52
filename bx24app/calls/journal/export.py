"""The call journal as plain rows (contract, section 8), for `bx24app calls export` and for downloads in the frame.

Calls are read in pages, each in a read-only transaction of its own, so an export of a million calls neither fills
memory nor blocks SQLite's writer. A page takes the same number of queries however many calls it holds.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from sqlalchemy import Select, or_, select
from sqlalchemy.orm import Session

from bx24app.calls import notifications
from bx24app.calls.journal import timeline
from bx24app.calls.journal.timeline import format_iso
from bx24app.domain import table_cells
from bx24app.models import Call, CallPerson, Delivery, Recording, db

PAGE_SIZE = 500
COLUMNS = (
    "entry_id", "pbx", "line_number", "direction", "client_number", "started_at", "answered_at", "ended_at",
    "talk_seconds", "outcome", "user_id", "users", "bitrix_call_id", "crm", "activity_id", "recordings", "continues",
    "state", "rule", "trace",
)  # fmt: skip
_LIST_COLUMNS = frozenset({"users", "crm", "recordings", "trace"})


def iterate_rows(portal_id: int, since: datetime | None = None) -> Iterator[dict[str, Any]]:
    """Every call of the portal that began at `since` (aware) or later, oldest first, without internal calls that are
    not logged.
    """
    query = select(Call).where(Call.portal_id == portal_id, Call.visible.is_(True))
    if since is not None:
        query = query.where(Call.started_at >= since)
    return _iterate_query(query)


def _iterate_query(query: Select[Call], viewer: int | None = None) -> Iterator[dict[str, Any]]:
    query = query.order_by(Call.started_at, Call.id).limit(PAGE_SIZE)
    page = query
    while True:
        with Session(db.engine) as session:
            session.connection(execution_options={"read_only": True})
            calls = list(session.scalars(page))
            rows = list(_load_rows(session, calls) if viewer is None else _load_own_rows(session, calls, viewer))
        yield from rows
        if len(calls) < PAGE_SIZE:
            return
        at, number = calls[-1].started_at, calls[-1].id
        page = query.where(or_(Call.started_at > at, (Call.started_at == at) & (Call.id > number)))


def find_row(portal_id: int, call_id: int) -> dict[str, Any] | None:
    """One call by its row id; None: it is not in this portal's journal."""
    query = select(Call).where(Call.id == call_id, Call.portal_id == portal_id, Call.visible.is_(True))
    with Session(db.engine) as session:
        session.connection(execution_options={"read_only": True})
        return next(_load_rows(session, list(session.scalars(query))), None)


def _load_rows(session: Session, calls: list[Call]) -> Iterator[dict[str, Any]]:
    ids = [call.id for call in calls]
    recordings = _load_recordings(session, ids)
    deliveries: dict[int, list[Delivery]] = defaultdict(list)
    if ids:
        for delivery in session.scalars(select(Delivery).where(Delivery.call_id.in_(ids)).order_by(Delivery.id)):
            deliveries[delivery.call_id].append(delivery)
    by_call = notifications.load_by_call(session, calls)
    for call in calls:
        steps = timeline.build_timeline(call, by_call[call.id], deliveries[call.id], recordings[call.id])
        yield _build_row(call, recordings[call.id], timeline.exported_rows(steps))


def _load_own_rows(session: Session, calls: list[Call], viewer: int) -> Iterator[dict[str, Any]]:
    """What the pages show this employee of their own calls: no steps, and no call of others that a call continues."""
    recordings = _load_recordings(session, [call.id for call in calls])
    continued = {call.id: call.read_facts().continued_call_id for call in calls if call.continues}
    own = select(CallPerson.call_id).where(CallPerson.call_id.in_(continued.values()), CallPerson.user_id == viewer)
    readable = set(session.scalars(own)) if continued else set()
    for call in calls:
        row = _build_row(call, recordings[call.id], [])
        yield row if continued.get(call.id) in readable else {**row, "continues": None}


def _load_recordings(session: Session, call_ids: list[int]) -> defaultdict[int, list[Recording]]:
    recordings: defaultdict[int, list[Recording]] = defaultdict(list)
    query = select(Recording).where(Recording.call_id.in_(call_ids)).order_by(Recording.id)
    for recording in session.scalars(query) if call_ids else ():
        recordings[recording.call_id].append(recording)
    return recordings


def _build_row(call: Call, recordings: list[Recording], steps: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "entry_id": call.entry_id,
        "pbx": call.pbx_key,
        "line_number": call.line_number,
        "direction": call.direction,
        "client_number": call.client_number,
        "started_at": format_iso(call.started_at),
        "answered_at": format_iso(call.answered_at),
        "ended_at": format_iso(call.ended_at),
        "talk_seconds": call.talk_seconds,
        "outcome": call.outcome,
        "user_id": call.user_id,
        "users": list(call.users or ()),
        "bitrix_call_id": call.bitrix_call_id,
        "crm": list(call.crm or ()),
        "activity_id": call.activity_id,
        "recordings": [_recording_fields(row) for row in recordings],
        "continues": call.continues,
        "state": call.state,
        "rule": call.rule,
        "trace": steps,
    }


def _recording_fields(row: Recording) -> dict[str, Any]:
    return {
        "recording_id": row.recording_id,
        "bitrix_call_id": row.bitrix_call_id,
        "state": row.state,
        "file_id": row.file_id,
        "attached_at": format_iso(row.attached_at),
        "lag_seconds": row.lag_seconds,
    }


def export_portal(portal_id: int, since: datetime | None, form: str) -> Iterator[str]:
    """The rows as text, line by line: `jsonl`, or `csv` with a header and lists as JSON within a cell."""
    return _format_rows(iterate_rows(portal_id, since), form)


def export_query(query: Select[Call], form: str, viewer: int | None) -> Iterator[str]:
    """The same for the calls of an unordered query, oldest first.

    `viewer`: the employee for whom it is written, as their pages show it; None: an administrator.
    """
    return _format_rows(_iterate_query(query, viewer), form)


def _format_rows(rows: Iterator[dict[str, Any]], form: str) -> Iterator[str]:
    if form == "csv":
        yield table_cells.format_line(COLUMNS)
        yield from (table_cells.format_line(_csv_cell(name, row[name]) for name in COLUMNS) for row in rows)
    else:
        yield from (_compact_json(row) + "\n" for row in rows)


def _csv_cell(name: str, value: Any) -> Any:
    return _compact_json(value) if name in _LIST_COLUMNS else value


def _compact_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
