"""Reads the form of the page of lines: fields `line-<n>-…`, and blocks of working hours in them,
`line-<n>-hours-<m>-…`."""

from __future__ import annotations

import re

from werkzeug.datastructures import MultiDict

from bx24app.domain.settings import LineSettings
from bx24app.web.base.parsing import parse_int
from bx24app.web.settings.saving import Document

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_NUMBER_FIELD = re.compile(r"^line-(\w+)-number$")
_FAULT_PATH = re.compile(r"^pbxs\[(\d+)\]\.lines\[(\d+)\]\.?(\w*)")


def read_lines(form: MultiDict[str, str]) -> list[tuple[Document, bool]]:
    """(part of the settings document, whether it is ticked) of every line that the form shows."""
    names = [match.group(1) for field in form if (match := _NUMBER_FIELD.match(field))]
    return [(_read_line(form, f"line-{name}"), f"line-{name}-used" in form) for name in names]


def _read_line(form: MultiDict[str, str], name: str) -> Document:
    def read_field(field: str) -> str:
        return form.get(f"{name}-{field}", "").strip()

    users = [user for text in form.getlist(f"{name}-users") if (user := parse_int(text)) is not None]
    blocks = re.compile(rf"^{re.escape(name)}-hours-(\w+)-from$")
    hours = [_read_hours(form, f"{name}-hours-{match.group(1)}") for field in form if (match := blocks.match(field))]
    return {
        "number": read_field("number"),
        "line_number": read_field("line_number") or None,
        "name": read_field("name"),
        "responsible": {"users": list(dict.fromkeys(users)), "strategy": read_field("strategy") or "round_robin"},
        "working_hours": hours,
        "callback_to": read_field("callback_to") or None,
        "recordings": read_field("recordings") or None,
        "owner_card": read_field("owner") == "card",
        "route": "owner" if read_field("owner") == "route" else None,
        "route_seconds": int(read_field("route_seconds")) if read_field("route_seconds").isdecimal() else 20,
    }


def _read_hours(form: MultiDict[str, str], name: str) -> Document:
    holidays = re.split(r"[\s,;]+", form.get(f"{name}-holidays", "").strip())
    return {
        "days": [day for day in DAYS if day in form.getlist(f"{name}-days")],
        "from": form.get(f"{name}-from", "").strip(),
        "to": form.get(f"{name}-to", "").strip(),
        "timezone": form.get(f"{name}-timezone") or None,
        "holidays": [day for day in holidays if day],
    }


def as_document(line: LineSettings) -> Document:
    """A line of the settings in the form that `read_lines` returns."""
    return line.model_dump(mode="json", by_alias=True)


def blank_line(number: str, name: str) -> Document:
    """A line that is not in the settings yet."""
    return as_document(LineSettings(number=number, name=name))


def locate_fault(path: str, pbx: int) -> tuple[int | None, str]:
    """(index of the line, field) that a fault's path names; (None, "") if it is about no line of the PBX with this
    index."""
    match = _FAULT_PATH.match(path)
    if match is None or int(match.group(1)) != pbx:
        return None, ""
    return int(match.group(2)), match.group(3) or "number"
