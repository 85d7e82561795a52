"""One entry of `stats/calls` in each shape that Mango's documentation or a live account shows.

`write_entry` takes the entry of `scenario_statistics`, which names everybody, and leaves out or splits what the shape
does. It shares no code with the parser.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Shape:
    """`has_extensions`: legs carry `call_abonent_extension` (live accounts), else ids alone (D26, 3.4.2.3).
    `has_callers`: legs also carry `caller_extension`. `has_bridge`: a consultation that became a transfer leaves a
    third leg, of the same second employee in the same second."""

    has_extensions: bool = False
    has_callers: bool = False
    has_bridge: bool = False

    def __str__(self) -> str:
        names = "live with callers" if self.has_callers else "live" if self.has_extensions else "official"
        return f"{names}, three legs" if self.has_bridge else names


SHAPES = [
    Shape(has_extensions, has_callers, has_bridge)
    for has_extensions, has_callers in ((False, False), (True, False), (True, True))
    for has_bridge in (False, True)
]


def user_id(extension: str) -> int:
    """The id of the employee or group with this extension."""
    return 300_000_000 + int(extension)


def write_entry(entry: dict[str, Any], shape: Shape) -> dict[str, Any]:
    """The entry as Mango would answer it in this shape."""
    written = copy.deepcopy(entry)
    caller = written.pop("caller_extension", None)
    written["caller_id"] = user_id(caller) if caller else None
    legs = [_turn_dialled(written, leg) for leg in written["context_calls"]]
    written["context_calls"] = [_name_people(part, shape) for leg in legs for part in _split(leg, shape)]
    return written


def _turn_dialled(entry: dict[str, Any], leg: dict[str, Any]) -> dict[str, Any]:
    """On a leg to a number of an outgoing call the abonent is the employee."""
    if entry["context_type"] != 2 or leg["call_type"] != "number":
        return leg
    caller = leg["caller_extension"]
    employee = {"call_abonent_extension": caller, "call_abonent_number": None, "caller_extension": None}
    return {**leg, **employee, "call_abonent_id": user_id(caller) if caller else entry["caller_id"]}


def _split(leg: dict[str, Any], shape: Shape) -> list[dict[str, Any]]:
    at = leg.pop("handed_over_at", None)
    for member in leg.get("members", ()):
        member.pop("handed_over_at", None)
    if not shape.has_bridge or at is None:
        return [leg]
    bridge = {"call_start_time": at, "call_answer_time": at, "external_call_id": f"{leg['external_call_id']}:bridge"}
    return [{**leg, "call_end_time": at}, {**leg, **bridge, "caller_extension": None}]


def _name_people(leg: dict[str, Any], shape: Shape) -> dict[str, Any]:
    extension = leg["call_abonent_extension"]
    named = dict(leg)
    if extension:
        named.setdefault("call_abonent_id", user_id(extension))
    if not shape.has_extensions:
        del named["call_abonent_extension"]
    if not shape.has_callers:
        del named["caller_extension"]
    if "members" in leg:
        named["members"] = [_name_people(member, shape) for member in leg["members"]]
    return named
