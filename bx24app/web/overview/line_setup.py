"""Step 2 of setting up, done right in the overview: lines that have nobody responsible get a name and the people of their office."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from flask import request

from bx24app.domain.settings import Settings
from bx24app.web.base.parsing import parse_int
from bx24app.web.settings.saving import Document

MAX_LINES = 12
"""Lines that the step shows at once; the next ones follow when these are done."""
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
    """What the step's form holds."""
    form = request.form
    found = []
    for field in form:
        met = _LINE_FIELD.match(field)
        if met is None:
            continue
        name = f"line-{met.group(1)}"
        users = [user for text in form.getlist(f"{name}-users") if (user := parse_int(text)) is not None]
        said = {key: form.get(f"{name}-{key}", "").strip() for key in ("pbx", "number", "name")}
        found.append(SetupLine(said["pbx"], said["number"], said["name"], users=tuple(dict.fromkeys(users))))
    return found


def apply_lines(data: Document, typed: list[SetupLine]) -> None:
    """Names and responsible people to the lines that are there; a line that the form leaves out, or without anybody, keeps its people."""
    held: dict[tuple[str, str], dict[str, Any]] = {
        (pbx["key"], line["number"]): line for pbx in data["pbxs"] for line in pbx["lines"]
    }
    for one in typed:
        line = held.get((one.pbx, one.number))
        if line is None:
            continue
        if one.name:
            line["name"] = one.name
        if one.users:
            line["responsible"]["users"] = list(one.users)


def lines_to_show(settings: Settings, typed: list[SetupLine]) -> list[SetupLine]:
    """The step's lines; what was typed and not saved stays."""
    held = {(one.pbx, one.number): one for one in typed}
    rows = []
    for one in unassigned_lines(settings)[:MAX_LINES]:
        mine = held.get((one.pbx, one.number))
        rows.append(SetupLine(one.pbx, one.number, mine.name, one.office, mine.users) if mine is not None else one)
    return rows
