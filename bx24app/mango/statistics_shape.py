"""The shape of an answer of `stats/calls`, in words without numbers or names of people: what only a live PBX can tell.

`bx24app doctor --live` prints it beside what the program reads. Source of the fields: D26, 3.4.2.3.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from bx24app.domain.bounds import MAX_EPOCH
from bx24app.mango.api_types import only_dicts


def describe_data(answer: Mapping[str, Any]) -> tuple[bool, str]:
    """Is `data` of a form that the program reads, and which one is it?"""
    data = answer.get("data")
    if isinstance(data, dict):
        return "list" in data, "one object" + ("" if "list" in data else " without a list")
    if isinstance(data, list):
        is_read = all(isinstance(day, dict) and "list" in day for day in data)
        return is_read, f"an array of {len(data)}" + ("" if is_read else ", not all with a list")
    return False, f"neither an array nor an object ({type(data).__name__})"


def describe_legs(answer: Mapping[str, Any]) -> str:
    """How many legs of which form there are."""
    legs = ((entry, leg) for entry in iter_entries(answer) for leg in only_dicts(entry.get("context_calls")))
    forms = Counter(_leg_form(entry, leg) for entry, leg in legs)
    return "; ".join(f"{count} x {form}" for form, count in sorted(forms.items())) or "no legs"


def count_outside(answer: Mapping[str, Any], start: int, end: int) -> tuple[int, int]:
    """How many entries begin outside the window that was ordered, and how many there are."""
    begins = [epoch for entry in iter_entries(answer) if (epoch := _epoch(entry.get("context_start_time"))) is not None]
    return sum(not start <= epoch <= end for epoch in begins), len(begins)


def find_recording(answer: Mapping[str, Any], before: int) -> str | None:
    """A recording of a call that began before this moment, so that its file is there."""
    for entry in iter_entries(answer):
        begin = _epoch(entry.get("context_start_time"))
        if begin is None or begin >= before:
            continue
        for leg in only_dicts(entry.get("context_calls")):
            recordings = leg.get("recording_id")
            first = recordings[0] if isinstance(recordings, list) and recordings else recordings
            if isinstance(first, str) and first:
                return first
    return None


def iter_entries(answer: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The entries of all days."""
    data = answer.get("data")
    for day in [data] if isinstance(data, dict) else only_dicts(data):
        yield from only_dicts(day.get("list"))


def _leg_form(entry: Mapping[str, Any], leg: Mapping[str, Any]) -> str:
    direction = {"1": "incoming", "2": "outgoing", "3": "internal"}.get(str(entry.get("context_type")), "other")
    kind = str(leg.get("call_type") or "unnamed")[:20]
    extension = "with an extension" if leg.get("call_abonent_extension") else "without an extension"
    caller = ", abonent is the caller" if _is_caller(entry, leg) else ""
    return f"{direction} {kind} leg {extension}{caller}"


def _is_caller(entry: Mapping[str, Any], leg: Mapping[str, Any]) -> bool:
    return bool(leg.get("call_abonent_id")) and str(leg.get("call_abonent_id")) == str(entry.get("caller_id"))


def _epoch(value: Any) -> int | None:
    try:
        number = int(value)
    except (TypeError, ValueError):
        return None
    return number if 0 < number <= MAX_EPOCH else None
