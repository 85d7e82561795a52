"""Writes the call log in the forms of Mango's statistics: a CSV row per leg (`stats/result`), a JSON object per entry
(`stats/calls/result`).

Column names, field names and codes are those of the VPBX API. `statistics` handles the requests.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from bx24app.sandbox.mango.call_log import CallLog, Entry, Leg
from bx24app.sandbox.mango.ids import decode_id

if TYPE_CHECKING:
    from bx24app.sandbox.mango.board import Board

DEFAULT_COLUMNS = (
    "records", "start", "finish", "answer", "from_extension", "from_number", "to_extension", "to_number",
    "disconnect_reason", "line_number", "location",
)  # fmt: skip
COLUMNS = (*DEFAULT_COLUMNS, "entry_id", "create")
_CONTEXT_TYPES = {1: 1, 2: 2, 0: 3}


def recording_ids(entry: Entry, call_id: str) -> list[str]:
    """The recordings of a leg whose file is stored or will be."""
    recordings = entry.recordings.values()
    return [
        recording.recording_id
        for recording in recordings
        if call_id in recording.call_ids and recording.code == 1000
    ]


def format_csv(call_log: CallLog, columns: list[str], is_wanted: Callable[[Leg], bool]) -> str:
    """The rows in the order of their start: `;` between columns, CRLF at the end, no header, no quoting."""
    rows = [(leg, entry) for entry in call_log.entries.values() for leg in entry.legs.values() if is_wanted(leg)]
    rows.sort(key=lambda row: row[0].start)
    return "".join(";".join(_csv_row(leg, entry, columns)) + "\r\n" for leg, entry in rows)


def _csv_row(leg: Leg, entry: Entry, columns: list[str]) -> list[str]:
    sender, receiver = leg.sides["from"], leg.sides["to"]
    line = sender.get("line_number") or receiver.get("line_number") or ""
    values = {
        "records": "[" + ",".join(recording_ids(entry, leg.call_id)) + "]",
        "start": leg.start,
        "finish": leg.end,
        "answer": leg.answer,
        "from_extension": sender.get("extension", ""),
        "from_number": sender.get("number", ""),
        "to_extension": receiver.get("extension", ""),
        "to_number": receiver.get("number", ""),
        "disconnect_reason": leg.reason,
        "line_number": line,
        "location": leg.location,
        "entry_id": entry.entry_id,
        "create": entry.started_at,
    }
    return [str(values[name]) for name in columns]


def matches_filters(entry: Entry, filters: dict[str, Any]) -> bool:
    """Applies the optional filters of `stats/calls/request`: context_type, context_status and search_string. Others are
    ignored.
    """
    summary = entry.summary or {}
    if filters.get("context_type") not in (None, _CONTEXT_TYPES[int(summary["call_direction"])]):
        return False
    if filters.get("context_status") not in (None, int(bool(summary["talk_time"]))):
        return False
    text = str(filters.get("search_string") or "")
    sides = (summary["from"], summary["to"])
    return not text or any(text in str(value) for side in sides for value in side.values())


def entry_object(board: Board, entry: Entry) -> dict[str, Any]:
    """One finished entry as `stats/calls/result` returns it."""
    summary = entry.summary or {}
    direction = int(summary["call_direction"])
    caller = board.pbx.find_employee(str(summary["from"].get("extension", "")))
    other = summary["to"].get("number") or summary["to"].get("extension") or ""
    return {
        "entry_id": entry.entry_id,
        "context_type": _CONTEXT_TYPES[direction],
        "context_status": int(bool(summary["talk_time"])),
        "caller_id": caller.user_id if caller else None,
        "caller_name": caller.name if caller else None,
        "caller_login": None,
        "caller_number": summary["from"].get("number", ""),
        "called_number": summary.get("line_number", "") if direction == 1 else other,
        "operator_dial_duration": 0,
        "context_start_time": entry.started_at,
        "duration": summary["end_time"] - summary["create_time"],
        "talk_duration": entry.talk_seconds,
        "context_init_type": 0,
        "recall_status": 0 if summary["talk_time"] else 2,
        "cost": 0,
        "additional_info": "",
        "context_calls": _call_rows(board, entry),
    }


def _call_rows(board: Board, entry: Entry) -> list[dict[str, Any]]:
    """Group legs with their members, then the phones that rang outside any group. The voice menu has no row."""
    rows: list[dict[str, Any]] = []
    grouped: set[str] = set()
    for queue in (leg for leg in entry.legs.values() if leg.location == "queue"):
        members = [leg for leg in entry.legs.values() if _is_member(leg, queue) and leg.call_id not in grouped]
        grouped.update(leg.call_id for leg in members)
        rows.append(_group_row(board, entry, queue, members))
    rest = [leg for leg in entry.legs.values() if leg.location == "abonent" and leg.call_id not in grouped]
    return rows + [_leg_row(board, entry, leg) for leg in rest]


def _is_member(leg: Leg, queue: Leg) -> bool:
    group = queue.sides["to"].get("acd_group")
    return leg.location == "abonent" and leg.sides["to"].get("acd_group") == group


def _group_row(board: Board, entry: Entry, queue: Leg, members: list[Leg]) -> dict[str, Any]:
    group = board.pbx.find_group(str(queue.sides["to"].get("acd_group", "")))
    row = _leg_row(board, entry, queue)
    answered = [leg for leg in members if leg.answer]
    row |= {
        "call_type": "group",
        "call_abonent_id": group.id if group else None,
        "call_abonent_info": group.name if group else "",
        "call_abonent_extension": queue.sides["to"].get("acd_group", ""),
        "ModeGroup": True,
        "members": [_leg_row(board, entry, leg) for leg in members],
        "recording_id": sorted({name for leg in members for name in recording_ids(entry, leg.call_id)}),
    }
    if answered:
        first = min(answered, key=lambda leg: leg.answer)
        row |= {"call_answer_time": first.answer, "talk_duration": max(0, first.end - first.answer)}
    return row


def _id_number(call_id: str) -> int:
    """The number inside a `call_id`. Calls that were added from elsewhere may have ids of another form."""
    try:
        return int(decode_id(call_id).split(":")[3])
    except (ValueError, IndexError):
        return zlib.crc32(call_id.encode())


def _leg_row(board: Board, entry: Entry, leg: Leg) -> dict[str, Any]:
    sender, receiver = leg.sides["from"], leg.sides["to"]
    person = board.pbx.find_employee(str(receiver.get("extension", "")))
    parent = sender.get("taken_from_call_id")
    numbers = [_id_number(call_id) for call_id in (parent, leg.call_id) if call_id]
    end = leg.end or leg.start
    outbound = "extension" in sender
    row: dict[str, Any] = {
        "call_type": "user" if person else "number",
        "call_abonent_id": person.user_id if person else None,
        "call_abonent_info": person.name if person else "",
        "call_abonent_extension": receiver.get("extension", ""),
        "call_abonent_number": receiver.get("number", ""),
        "caller_extension": sender.get("extension", ""),
        "call_start_time": leg.start,
        "call_answer_time": leg.answer or None,
        "call_end_time": end,
        "call_duration": end - leg.start,
        "talk_duration": end - leg.answer if leg.answer else 0,
        "dial_duration": (leg.answer or end) - leg.start,
        "hold_duration": leg.hold_seconds,
        "operator_dial_duration": 0,
        "call_end_reason": leg.reason,
        "recording_id": recording_ids(entry, leg.call_id),
        "call_id": numbers,
        "external_call_id": leg.call_id,
        "communication_id": [],
        "DirectionInbound": not outbound,
        "DirectionOutbound": outbound,
        "ModeConversation": bool(leg.answer),
        "ModeListen": False,
        "ModePrompt": False,
        "ModeConference": False,
        "ModeGroup": False,
        "RecordInbound": False,
        "RecordOutbound": False,
        "BlindTransfer": leg.transfer == "blind",
        "ConsultTransfer": leg.transfer == "consultative",
        "OutboundDialing": False,
        "Intercepted": leg.reason == 1182,
        "IvrNotUsed": all(other.location != "ivr" for other in entry.legs.values()),
    }
    if outbound and person is None:
        row |= _dialling_employee(board, str(sender["extension"]))
    if board.statistics_without_extensions:
        row |= {"call_abonent_extension": None, "caller_extension": None}
    return row


def _dialling_employee(board: Board, extension: str) -> dict[str, Any]:
    """On a leg to a number of an outgoing call the abonent is the employee (D26, 3.4.2.3)."""
    person = board.pbx.find_employee(extension)
    return {
        "call_abonent_id": person.user_id if person else None,
        "call_abonent_info": person.name if person else "",
        "call_abonent_extension": extension,
        "call_abonent_number": None,
        "caller_extension": None,
    }
