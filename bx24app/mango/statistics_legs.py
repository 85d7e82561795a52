"""Mango's older statistics, `stats/request` and `stats/result`: CSV, one row for each leg, without ids of legs
(reference: section 5.1). Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from bx24app.domain.calls.events import (
    CallEnded,
    Direction,
    LegAnswered,
    LegEnded,
    LegKind,
    LegRinging,
    Party,
    PbxEvent,
    RecordingEvent,
)
from bx24app.mango.notification import MalformedNotification, validate_schema
from bx24app.mango.statistics_calls import ANSWER_SEQ, END_SEQ, RING_SEQ
from bx24app.mango.statistics_schema import StatisticsRow
from bx24app.mango.vpbx import LegFields

CSV_FIELDS: Final = (
    "records",
    "start",
    "finish",
    "answer",
    "from_extension",
    "from_number",
    "to_extension",
    "to_number",
    "disconnect_reason",
    "line_number",
    "location",
    "create",
    "entry_id",
)
"""Columns that we order, in this order."""

MAX_CSV_ROWS: Final = 100_000
_LEG_KINDS: Final[dict[str, LegKind]] = {"ivr": "ivr", "queue": "queue", "abonent": "person"}


def csv_to_entries(text: str, fields: Sequence[str] = CSV_FIELDS) -> dict[str, list[dict[str, str]]]:
    """Rows by entry id, in the order of the file. No header, no quotes; commas occur only inside the brackets of
    `records`.

    Raises:
        MalformedNotification: a row has a wrong number of columns, or no entry id; the message names the row.
    """
    if text.count("\n") > MAX_CSV_ROWS:
        raise MalformedNotification(f"the file has more than {MAX_CSV_ROWS} rows.")
    entries: dict[str, list[dict[str, str]]] = {}
    for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), start=1):
        if not line.strip():
            continue
        cells = line.split(";")
        if len(cells) != len(fields):
            raise MalformedNotification(f"row {number} has {len(cells)} columns, wanted {len(fields)}.")
        row = {name: cell.strip() for name, cell in zip(fields, cells, strict=True)}
        if not row.get("entry_id"):
            raise MalformedNotification(f"row {number} has no entry_id.")
        entries.setdefault(row["entry_id"], []).append(row)
    return entries


def rows_to_events(rows: Sequence[Mapping[str, str]]) -> list[PbxEvent]:
    """Legs, recordings and the end of one entry, from all its rows.

    Raises:
        MalformedNotification: wrong shape, no row at all, or rows of several entries.
    """
    return build_events(validate_rows({"rows": list(rows)}))


def validate_rows(content: Mapping[str, Any]) -> list[StatisticsRow]:
    """The rows as types, sorted, so that legs get the same ids whatever the order of the rows. Raises
    MalformedNotification."""
    rows = content.get("rows")
    if not isinstance(rows, list) or not rows:
        raise MalformedNotification("rows is missing.")
    if not all(isinstance(row, Mapping) for row in rows):
        raise MalformedNotification("rows holds something that is not an object.")
    parsed = [validate_schema(StatisticsRow, dict(row)) for row in rows]
    if len({row.entry_id for row in parsed}) > 1:
        raise MalformedNotification("rows belong to several entries.")
    return sorted(
        parsed, key=lambda row: (row.start or 0, row.to_extension or "", row.to_number or "", row.finish or 0)
    )


def build_events(rows: list[StatisticsRow]) -> list[PbxEvent]:
    events: list[PbxEvent] = []
    recorded: dict[str, RecordingEvent] = {}
    dialled = _callback_number(rows)
    for index, row in enumerate(rows):
        name = f"{row.entry_id}/{index}"
        events += _leg_events(name, row, _is_employee_half(row, dialled))
        for recording_id in (row.records or "").strip("[] ").split(","):
            if recording_id.strip():
                key = recording_id.strip()
                recorded.setdefault(key, _recording_event(key, name, row))
    return [*events, *recorded.values(), _end_event(rows)]


def _leg_events(name: str, row: StatisticsRow, callback: bool) -> list[PbxEvent]:
    start = row.start or row.create
    if not start or not row.finish:
        raise MalformedNotification(f"rows.{'finish' if start else 'start'} is missing.")
    kind = _LEG_KINDS.get((row.location or "").lower().partition(".")[0], "person")
    fields: LegFields = {
        "leg": name,
        "leg_kind": kind,
        "caller": Party(row.from_extension, row.from_number),
        "callee": Party(row.to_extension, row.to_number),
        "line": row.line_number,
        "group": row.to_extension if kind == "queue" else None,
        "taken_from": None,
        "command_id": None,
        "callback_initiator": "API" if callback else None,
        "transfer": None,
    }
    steps: list[PbxEvent] = [LegRinging(at=start, seq=RING_SEQ, **fields)]
    if row.answer:
        steps.append(LegAnswered(at=row.answer, seq=ANSWER_SEQ, **fields))
    return [*steps, LegEnded(at=row.finish, seq=END_SEQ, reason=row.disconnect_reason or 0, **fields)]


def _recording_event(recording_id: str, leg: str, row: StatisticsRow) -> RecordingEvent:
    extension = row.to_extension or row.from_extension
    at = row.finish or row.start or 0
    return RecordingEvent(
        at=at, recording_id=recording_id, state="completed", leg=leg, extension=extension, code=1000, seq=END_SEQ
    )


def _is_person(row: StatisticsRow) -> bool:
    return _LEG_KINDS.get((row.location or "").lower().partition(".")[0], "person") == "person"


def _callback_number(rows: list[StatisticsRow]) -> str | None:
    """The client's number of a callback, else None.

    The first row of a callback looks like a call of the client to the employee. What tells it from one is the later row
    that dials the client or, if there is none, the missing line, which every call from outside has.
    """
    first = rows[0]
    if first.from_extension or not first.to_extension or not all(_is_person(row) for row in rows):
        return None
    outward = any(row.from_extension and not row.to_extension and row.to_number == first.from_number for row in rows)
    return first.from_number if outward or not any(row.line_number for row in rows) else None


def _is_employee_half(row: StatisticsRow, dialled: str | None) -> bool:
    """Whether this is the employee's half of a callback."""
    return dialled is not None and row.from_number == dialled and row.to_extension is not None


def _entry_direction(rows: list[StatisticsRow]) -> Direction:
    if _callback_number(rows):
        return "out"
    first = rows[0]
    if not first.from_extension or not all(_is_person(row) for row in rows):
        return "in"
    return "internal" if first.to_extension else "out"


def _end_event(rows: list[StatisticsRow]) -> CallEnded:
    direction, dialled = _entry_direction(rows), _callback_number(rows)
    people = [row for row in rows if _is_person(row)]
    talked = [row for row in people if row.answer and not _is_employee_half(row, dialled)]
    first = min(talked, key=lambda row: row.answer or 0) if talked else (people or rows)[0]
    ended = max(row.finish or 0 for row in rows)
    last = max(rows, key=lambda row: (row.finish or 0, _is_person(row)))
    caller = Party(first.from_extension if direction != "in" else None, rows[0].from_number)
    callee = Party(first.to_extension, first.to_number) if people else Party()
    if dialled:
        caller, callee = Party(rows[0].to_extension), Party(None, dialled)
    return CallEnded(
        at=ended,
        direction=direction,
        caller=caller,
        callee=callee,
        line=next((row.line_number for row in rows if row.line_number), None),
        started_at=min(row.create or row.start or ended for row in rows),
        forwarded_at=None,
        talk_at=first.answer if talked else None,
        ended_at=ended,
        reason=last.disconnect_reason or 0,
        source="statistics",
    )
