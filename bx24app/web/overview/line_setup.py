"""Step 2 of the checklist, done in the overview itself: lines without anybody responsible get a name and people."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

from flask import request

from bx24app.domain.settings import Settings
from bx24app.web.base.parsing import parse_int
from bx24app.web.settings.saving import Document

MAX_LINES = 12
"""Lines that the step shows at once; the next ones appear once these are done."""
_LINE_FIELD = re.compile(r"^line-(\d+)-number$")


@dataclass(frozen=True, slots=True)
class SetupLine:
    """One line in the step. `office`: the name of its PBX."""

    pbx: str
    number: str
    name: str
    office: str = ""
    users: tuple[int, ...] = ()


def unassigned_lines(settings: Settings) -> list[SetupLine]:
    """Lines without anybody responsible, in the order of the settings."""
    return [
        SetupLine(pbx.key, line.number, line.name, pbx.name or pbx.key)
        for pbx in settings.pbxs
        for line in pbx.lines
        if not line.responsible.users
    ]


def read_form() -> list[SetupLine]:
    """The lines as the form has them."""
    form = request.form
    lines = []
    for field in form:
        match = _LINE_FIELD.match(field)
        if match is None:
            continue
        name = f"line-{match.group(1)}"
        users = [user for text in form.getlist(f"{name}-users") if (user := parse_int(text)) is not None]
        values = {key: form.get(f"{name}-{key}", "").strip() for key in ("pbx", "number", "name")}
        lines.append(SetupLine(**values, users=tuple(dict.fromkeys(users))))
    return lines


def apply_lines(data: Document, typed: list[SetupLine]) -> None:
    """Write names and people into the document; a line without people in the form keeps its people."""
    lines: dict[tuple[str, str], dict[str, Any]] = {
        (pbx["key"], line["number"]): line for pbx in data["pbxs"] for line in pbx["lines"]
    }
    for row in typed:
        line = lines.get((row.pbx, row.number))
        if line is None:
            continue
        if row.name:
            line["name"] = row.name
        if row.users:
            line["responsible"]["users"] = list(row.users)


def lines_to_show(settings: Settings, typed: list[SetupLine]) -> list[SetupLine]:
    """The lines to show; input that was not saved stays."""
    input_by_line = {(row.pbx, row.number): row for row in typed}
    lines = []
    for line in unassigned_lines(settings)[:MAX_LINES]:
        row = input_by_line.get((line.pbx, line.number))
        lines.append(replace(line, name=row.name, users=row.users) if row is not None else line)
    return lines
