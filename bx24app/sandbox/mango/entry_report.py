"""Writes the call log as Mango's newer statistics do: a JSON object per entry (`stats/calls/result`).

Field names, types and meanings are those of the VPBX API (document D26, 3.4.2.3) and, where the documentation is
silent, those that live accounts show. `StatisticsShape` chooses between them. `statistics` handles the requests.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from bx24app.sandbox.mango.call_log import Entry, Leg
from bx24app.sandbox.mango.ids import decode_id
from bx24app.sandbox.mango.report import recording_ids

if TYPE_CHECKING:
    from bx24app.sandbox.mango.board import Board


@dataclass
class StatisticsShape:
    """What the documentation leaves open, or live accounts do differently.

    Attributes:
        has_extensions: the fields that live accounts add, `call_abonent_extension` among them; without, employees are
            named by their ids alone, as in the documentation's example.
        has_callers: legs to employees also name the calling colleague in `caller_extension`.
        has_bridge_leg: a consultation that became a transfer has a third leg, of the same second employee.
        is_object: `data` is one object with a list, not an array with an object per day.
        zone: the zone in which the texts `start_date` and `end_date` are read.
    """

    has_extensions: bool = True
    has_callers: bool = False
    has_bridge_leg: bool = True
    is_object: bool = False
    zone: str = "Europe/Moscow"


_CONTEXT_TYPES = {1: 1, 2: 2, 0: 3}


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
    sender = summary["from"]
    party = "" if direction == 1 else str(sender.get("extension") or sender.get("number", ""))
    caller = board.pbx.find_employee(party)
    other = summary["to"].get("number") or summary["to"].get("extension") or ""
    row = {
        "entry_id": entry.entry_id,
        "context_type": _CONTEXT_TYPES[direction],
        "context_status": int(bool(summary["talk_time"])),
        "caller_id": caller.user_id if caller else None,
        "caller_name": caller.name if caller else sender.get("number", ""),
        "caller_number": sender.get("number", ""),
        "called_number": summary.get("line_number", "") if direction == 1 else other,
        "context_start_time": entry.started_at,
        "duration": summary["end_time"] - summary["create_time"],
        "talk_duration": entry.talk_seconds,
        "context_init_type": 4 if any(leg.callback for leg in entry.legs.values()) else 0,
        "recall_status": 2,
        "cost": 0,
        "context_calls": _call_rows(board, entry),
    }
    if board.statistics_shape.has_extensions:
        row |= {"caller_login": None, "operator_dial_duration": 0, "additional_info": ""}
    return row


def _call_rows(board: Board, entry: Entry) -> list[dict[str, Any]]:
    """Group legs with their members, then the phones that rang outside any group. The voice menu has no row."""
    rows: list[dict[str, Any]] = []
    grouped: set[str] = set()
    for queue in (leg for leg in entry.legs.values() if leg.location == "queue"):
        members = [leg for leg in entry.legs.values() if _is_member(leg, queue) and leg.call_id not in grouped]
        grouped.update(leg.call_id for leg in members)
        rows.append(_group_row(board, entry, queue, members))
    rest = [leg for leg in entry.legs.values() if leg.location == "abonent" and leg.call_id not in grouped]
    parts = [part for leg in rest for part in _split_at_transfer(board, leg)]
    return rows + [{**_leg_row(board, entry, leg), "members": []} for leg in parts]


def _split_at_transfer(board: Board, leg: Leg) -> list[Leg]:
    at = leg.handed_over_at
    if not at or not board.statistics_shape.has_bridge_leg:
        return [leg]
    bridge = replace(leg, call_id=f"{leg.call_id}:bridge", recorded_as=leg.call_id, start=at, answer=at, caller="")
    return [replace(leg, end=at), bridge]


def _is_member(leg: Leg, queue: Leg) -> bool:
    group = queue.sides["to"].get("acd_group")
    return leg.location == "abonent" and leg.sides["to"].get("acd_group") == group


def _group_row(board: Board, entry: Entry, queue: Leg, members: list[Leg]) -> dict[str, Any]:
    number = queue.sides["to"].get("acd_group", "")
    group = board.pbx.find_group(str(number))
    row = _leg_row(board, entry, queue)
    answered = [leg for leg in members if leg.answer]
    row |= {
        "call_type": "group",
        "call_abonent_id": group.id if group else None,
        "call_abonent_info": group.name if group else "",
        "call_abonent_number": None,
        "ModeConversation": False,
        "ModeGroup": True,
        "members": [{**_leg_row(board, entry, leg), "members": None} for leg in members],
        "recording_id": sorted({name for leg in members for name in recording_ids(entry, leg.call_id)}),
    }
    if board.statistics_shape.has_extensions:
        row["call_abonent_extension"] = number
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
    end = leg.end or leg.start
    is_dialled = "extension" not in leg.sides["to"] and _is_outgoing(entry)
    row: dict[str, Any] = {
        **_abonent(board, leg, is_dialled),
        "call_start_time": leg.start,
        "call_answer_time": leg.answer or None,
        "call_end_time": end,
        "call_duration": end - leg.start,
        "talk_duration": end - leg.answer if leg.answer else 0,
        "dial_duration": (leg.answer or end) - leg.start,
        "hold_duration": leg.hold_seconds or None,
        "call_end_reason": leg.reason,
        "recording_id": recording_ids(entry, leg.recorded_as or leg.call_id),
        "external_call_id": leg.call_id,
        "DirectionInbound": not is_dialled,
        "DirectionOutbound": is_dialled,
        "ModeConversation": True,
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
    if board.statistics_shape.has_extensions:
        parent = leg.sides["from"].get("taken_from_call_id")
        numbers = [_id_number(call_id) for call_id in (parent, leg.call_id) if call_id]
        row |= {"call_id": numbers, "communication_id": [], "operator_dial_duration": 0}
    return row


def _is_outgoing(entry: Entry) -> bool:
    return int((entry.summary or {}).get("call_direction", 1)) == 2


def _abonent(board: Board, leg: Leg, is_dialled: bool) -> dict[str, Any]:
    """Whose leg it is: of a number that an employee dialled, the employee (D26, 3.4.2.3)."""
    shape, receiver, sender = board.statistics_shape, leg.sides["to"], leg.sides["from"]
    extension = leg.caller if is_dialled else str(receiver.get("extension", ""))
    person = board.pbx.find_employee(extension or (str(sender.get("number", "")) if is_dialled else ""))
    row = {
        "call_type": "number" if "extension" not in receiver else "user",
        "call_abonent_id": person.user_id if person else None,
        "call_abonent_info": person.name if person else "",
        "call_abonent_number": None if is_dialled else receiver.get("number", ""),
    }
    if shape.has_extensions:
        row["call_abonent_extension"] = extension or (person.extension if person else "")
        row["caller_extension"] = leg.caller if shape.has_callers and not is_dialled else None
    return row
