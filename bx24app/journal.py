"""USE CASE: the call journal as plain rows (contract, section 8), for exports.

Read in pages, each in a reading transaction of its own, so that an export of a million calls neither holds memory nor keeps SQLite's writers waiting.
"""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any, TextIO

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from bx24app.bitrix24 import speech
from bx24app.domain.commands import Dial, from_json
from bx24app.models import Call, Delivery, Notification, Recording, db

PAGE = 500
COLUMNS = (
    "entry_id", "pbx", "line_number", "direction", "client_number", "started_at", "answered_at", "ended_at", "talk_seconds",
    "outcome", "user_id", "users", "bitrix_call_id", "crm", "activity_id", "recordings", "continues", "state", "rule", "trace",
)  # fmt: skip
_LISTS = frozenset({"users", "crm", "recordings", "trace"})


def rows(portal_id: int, since: datetime | None = None) -> Iterator[dict[str, Any]]:
    """Every call of the portal that began at `since` or later (aware), oldest first. Internal calls that are not logged are left out."""
    query = select(Call).where(Call.portal_id == portal_id, Call.visible.is_(True))
    if since is not None:
        query = query.where(Call.started_at >= since)
    query = query.order_by(Call.started_at, Call.id).limit(PAGE)
    page = query
    while True:
        with Session(db.engine) as session:
            session.connection(execution_options={"read_only": True})
            calls = list(session.scalars(page))
            found = list(_rows(session, calls))
        yield from found
        if len(calls) < PAGE:
            return
        at, number = calls[-1].started_at, calls[-1].id
        page = query.where(or_(Call.started_at > at, (Call.started_at == at) & (Call.id > number)))


def _rows(session: Session, calls: list[Call]) -> Iterator[dict[str, Any]]:
    ids = [call.id for call in calls]
    tapes: dict[int, list[Recording]] = defaultdict(list)
    told: dict[int, list[Delivery]] = defaultdict(list)
    if ids:
        for tape in session.scalars(select(Recording).where(Recording.call_id.in_(ids)).order_by(Recording.id)):
            tapes[tape.call_id].append(tape)
        for delivery in session.scalars(select(Delivery).where(Delivery.call_id.in_(ids)).order_by(Delivery.id)):
            told[delivery.call_id].append(delivery)
    heard = _heard(session, calls)
    for call in calls:
        steps = [*map(_came, heard[call.id]), *map(_sent, told[call.id])]
        steps.sort(key=lambda step: step["time"])
        trace = [{**step, "time": _iso(step["time"])} for step in steps]
        yield _row(call, tapes[call.id], trace)


def _heard(session: Session, calls: list[Call]) -> dict[int, list[Notification]]:
    """Notifications by call: those of its entry, and those that only its command joins (answers of Mango, a click in the portal)."""
    found: dict[int, list[Notification]] = defaultdict(list)
    by_pbx: dict[int, list[Call]] = defaultdict(list)
    for call in calls:
        by_pbx[call.pbx_id].append(call)
    for pbx_id, group in by_pbx.items():
        entries = {call.entry_id: call.id for call in group}
        commands = {call.command_id: call.id for call in group if call.command_id}
        query = select(Notification).where(
            Notification.portal_id == group[0].portal_id,
            Notification.pbx_id == pbx_id,
            or_(Notification.entry_id.in_(entries), Notification.command_id.in_(commands)),
        )
        for row in session.scalars(query.order_by(Notification.id)):
            owner = entries.get(row.entry_id or "") or commands.get(row.command_id or "")
            if owner is not None:
                found[owner].append(row)
    return found


def _row(call: Call, tapes: list[Recording], trace: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "entry_id": call.entry_id,
        "pbx": call.pbx_key,
        "line_number": call.line_number,
        "direction": call.direction,
        "client_number": call.client_number,
        "started_at": _iso(call.started_at),
        "answered_at": _iso(call.answered_at),
        "ended_at": _iso(call.ended_at),
        "talk_seconds": call.talk_seconds,
        "outcome": call.outcome,
        "user_id": call.user_id,
        "users": list(call.users or ()),
        "bitrix_call_id": call.bitrix_call_id,
        "crm": list(call.crm or ()),
        "activity_id": call.activity_id,
        "recordings": [_tape(tape) for tape in tapes],
        "continues": call.continues,
        "state": call.state,
        "rule": call.rule,
        "trace": trace,
    }


def _tape(tape: Recording) -> dict[str, Any]:
    return {
        "recording_id": tape.recording_id,
        "bitrix_call_id": tape.bitrix_call_id,
        "state": tape.state,
        "file_id": tape.file_id,
        "attached_at": _iso(tape.attached_at),
        "lag_seconds": tape.lag_seconds,
    }


def _came(row: Notification) -> dict[str, Any]:
    """What was said to us. `code`: our answer; a wrong shape is answered with 200 too, and has its reason."""
    source = "portal" if row.pbx_id == 0 else "pbx"
    return {
        "time": row.received_at,
        "from": source,
        "request": row.name,
        "state": row.state,
        "code": 200,
        "reason": row.reason,
    }


def _sent(row: Delivery) -> dict[str, Any]:
    """What we said. `code` and `reason`: of the answer; of one that waits, why it did not leave or was not carried out yet."""
    command = from_json(row.kind, row.command)
    known = not isinstance(command, Dial)
    method = speech.request(command, str)[0] if known else "commands/callback"
    return {
        "time": row.done_at or row.sent_at or row.created_at,
        "from": "app",
        "request": method,
        "state": row.state,
        "code": row.code or (200 if row.state == "done" else None),
        "reason": row.reason,
        "tries": row.attempts,
    }


def _iso(at: datetime | None) -> str | None:
    """ISO 8601, UTC."""
    return at.astimezone(UTC).isoformat() if at is not None else None


def write(found: Iterable[dict[str, Any]], form: str, out: TextIO) -> int:
    """Write rows as `jsonl` or `csv` (lists as JSON within a cell); returns how many."""
    count = 0
    table = csv.writer(out) if form == "csv" else None
    if table is not None:
        table.writerow(COLUMNS)
    for row in found:
        if table is None:
            out.write(json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n")
        else:
            table.writerow([_cell(name, row[name]) for name in COLUMNS])
        count += 1
    return count


def _cell(name: str, value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")) if name in _LISTS else value
