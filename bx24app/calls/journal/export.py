"""USE CASE: the call journal as plain rows (contract, section 8), for exports and pages.

Read in pages, each in a reading transaction of its own, so that an export of a million calls neither holds memory nor keeps SQLite's writers waiting.
A page takes the same number of queries however many calls it holds.
"""

from __future__ import annotations

import csv
import io
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from sqlalchemy import Select, or_, select
from sqlalchemy.orm import Session

from bx24app.calls import notifications
from bx24app.calls.journal.timeline import build_timeline, format_iso
from bx24app.models import Call, Delivery, Recording, db

PAGE_SIZE = 500
COLUMNS = (
    "entry_id", "pbx", "line_number", "direction", "client_number", "started_at", "answered_at", "ended_at", "talk_seconds",
    "outcome", "user_id", "users", "bitrix_call_id", "crm", "activity_id", "recordings", "continues", "state", "rule", "trace",
)  # fmt: skip
_LIST_COLUMNS = frozenset({"users", "crm", "recordings", "trace"})


def iterate_rows(portal_id: int, since: datetime | None = None) -> Iterator[dict[str, Any]]:
    """Every call of the portal that began at `since` or later (aware), oldest first. Internal calls that are not logged are left out."""
    query = select(Call).where(Call.portal_id == portal_id, Call.visible.is_(True))
    if since is not None:
        query = query.where(Call.started_at >= since)
    return _iterate_query(query)


def _iterate_query(query: Select[Call]) -> Iterator[dict[str, Any]]:
    query = query.order_by(Call.started_at, Call.id).limit(PAGE_SIZE)
    page = query
    while True:
        with Session(db.engine) as session:
            session.connection(execution_options={"read_only": True})
            calls = list(session.scalars(page))
            found = list(_load_rows(session, calls))
        yield from found
        if len(calls) < PAGE_SIZE:
            return
        at, number = calls[-1].started_at, calls[-1].id
        page = query.where(or_(Call.started_at > at, (Call.started_at == at) & (Call.id > number)))


def find_row(portal_id: int, call_id: int) -> dict[str, Any] | None:
    """One call by the id of its row; None where it is not one of this portal's journal."""
    query = select(Call).where(Call.id == call_id, Call.portal_id == portal_id, Call.visible.is_(True))
    with Session(db.engine) as session:
        session.connection(execution_options={"read_only": True})
        return next(_load_rows(session, list(session.scalars(query))), None)


def _load_rows(session: Session, calls: list[Call]) -> Iterator[dict[str, Any]]:
    ids = [call.id for call in calls]
    tapes: dict[int, list[Recording]] = defaultdict(list)
    told: dict[int, list[Delivery]] = defaultdict(list)
    if ids:
        for tape in session.scalars(select(Recording).where(Recording.call_id.in_(ids)).order_by(Recording.id)):
            tapes[tape.call_id].append(tape)
        for delivery in session.scalars(select(Delivery).where(Delivery.call_id.in_(ids)).order_by(Delivery.id)):
            told[delivery.call_id].append(delivery)
    heard = notifications.load_by_call(session, calls)
    for call in calls:
        yield _build_row(call, tapes[call.id], build_timeline(call, heard[call.id], told[call.id], tapes[call.id]))


def _build_row(call: Call, tapes: list[Recording], steps: list[dict[str, Any]]) -> dict[str, Any]:
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
        "recordings": [_recording_fields(tape) for tape in tapes],
        "continues": call.continues,
        "state": call.state,
        "rule": call.rule,
        "trace": steps,
    }


def _recording_fields(tape: Recording) -> dict[str, Any]:
    return {
        "recording_id": tape.recording_id,
        "bitrix_call_id": tape.bitrix_call_id,
        "state": tape.state,
        "file_id": tape.file_id,
        "attached_at": format_iso(tape.attached_at),
        "lag_seconds": tape.lag_seconds,
    }


def export_portal(portal_id: int, since: datetime | None, form: str) -> Iterator[str]:
    """The rows as text, line by line: `jsonl`, or `csv` (lists as JSON within a cell) with a head."""
    return _format_rows(iterate_rows(portal_id, since), form)


def export_query(query: Select[Call], form: str) -> Iterator[str]:
    """The same for the calls of a query without an order, oldest first."""
    return _format_rows(_iterate_query(query), form)


def _format_rows(found: Iterator[dict[str, Any]], form: str) -> Iterator[str]:
    if form == "csv":
        yield _csv_line(COLUMNS)
        yield from (_csv_line(_csv_cell(name, row[name]) for name in COLUMNS) for row in found)
    else:
        yield from (_compact_json(row) + "\n" for row in found)


def _csv_line(cells: Iterable[Any]) -> str:
    text = io.StringIO()
    csv.writer(text).writerow(cells)
    return text.getvalue()


def _csv_cell(name: str, value: Any) -> Any:
    return _compact_json(value) if name in _LIST_COLUMNS else value


def _compact_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
