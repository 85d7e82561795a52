"""Lines of a PBX in the frame: found at Mango, named, each with its responsible people and working hours.

The form sends every line that it shows, in numbered fields. A line that the form did not show stays; one that was unticked goes, after
the page told what that stops.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from flask import Blueprint, Response, g, request
from flask_babel import gettext
from werkzeug.exceptions import NotFound

from bx24app.domain import phone
from bx24app.domain.settings import Pbx as PbxSettings
from bx24app.mango.api_types import MangoLine
from bx24app.web.base import call_counts, directory, rendering
from bx24app.web.pbxs import line_form, mango_inventory
from bx24app.web.pbxs.mango_inventory import Heard
from bx24app.web.settings import saving
from bx24app.web.settings.saving import Document, Outcome

blueprint = Blueprint("lines", __name__)


MOST = 50
"""Lines on the page at once; the search finds the others. What a page did not show stays as it is."""


@dataclass
class Row:
    """One line on the page: its part of the document, whether it is ticked, and whether Mango names it."""

    line: Document
    used: bool
    known: bool = True
    faults: dict[str, str] = field(default_factory=dict)

    def matches(self, words: str) -> bool:
        """Does a search find this line?"""
        return words in f"{self.line['name']} {self.line['number']} {phone.digits(self.line['number'])}".lower()


@blueprint.get("")
def show(key: str) -> Response:
    """All lines: those of the document, and those that only Mango names."""
    return _page(key)


@blueprint.post("")
def save(key: str) -> Response:
    """Save what the form shows."""
    pbx = _settings_of(key)
    posted = line_form.read(request.form)
    rows = [Row(line, used) for line, used in posted]
    gone = [row.line["number"] for row in rows if not row.used and _in(pbx, row.line["number"])]
    if gone and request.form.get("confirm") != "yes":
        return _page(key, rows, gone=gone, status=saving.WRONG)
    outcome = saving.save(
        lambda data: _apply(data, key, rows), gettext("Lines of %(name)s changed", name=pbx.name or key)
    )
    if outcome.good:
        return _page(key, outcome=outcome)
    _place(rows, outcome, key)
    return _page(key, rows, outcome, status=outcome.status)


def _apply(data: Document, key: str, rows: list[Row]) -> None:
    """What the form shows replaces the same lines of the document; fields that the form does not know stay."""
    pbx = next(one for one in data["pbxs"] if one["key"] == key)
    lines = pbx["lines"]
    for row in rows:
        held = next((line for line in lines if _same(line["number"], row.line["number"])), None)
        if not row.used:
            if held is not None:
                lines.remove(held)
        elif held is None:
            lines.append(row.line)
        else:
            held.update(row.line | {"number": held["number"]})


def _place(rows: list[Row], outcome: Outcome, key: str) -> None:
    """Faults of the document to the rows that they belong to."""
    data: dict[str, Any] = saving.present()
    _apply(data, key, rows)
    index = next(place for place, pbx in enumerate(data["pbxs"]) if pbx["key"] == key)
    for fault in outcome.faults:
        line, name = line_form.place_of(fault.path, index)
        row = next((one for one in rows if line is not None and _named(one, data["pbxs"][index], line)), None)
        if row is not None:
            row.faults[name] = fault.words
        elif fault.path:
            outcome.said.words.append(f"{fault.path}: {fault.words}")


def _named(row: Row, pbx: Document, index: int) -> bool:
    return index < len(pbx["lines"]) and _same(pbx["lines"][index]["number"], row.line["number"])


def _page(
    key: str,
    rows: list[Row] | None = None,
    outcome: Outcome | None = None,
    gone: list[str] | None = None,
    status: int = 200,
) -> Response:
    row = mango_inventory.row(key)
    if row is None:
        raise NotFound
    heard = mango_inventory.lines(row, g.frame.lang, fresh="fresh" in request.args)
    pbx = _settings_of(key)
    every = rows if rows is not None else _rows(pbx, heard)
    words = request.values.get("q", "").strip().lower()
    fitting = every if rows is not None else [one for one in every if one.matches(words)]
    shown = fitting[:MOST]
    users = [user for one in shown for user in one.line["responsible"]["users"]]
    row = mango_inventory.row(key)
    return rendering.show(
        "lines.html",
        "pbxs",
        status,
        pbx=pbx,
        row=row,
        rows=shown,
        q=request.values.get("q", ""),
        found=len(fitting),
        total=len(every) if rows is None else 0,
        most=MOST,
        heard=heard,
        gone=gone or [],
        calls=call_counts.calls_yesterday((), [(key, number) for number in gone]) if gone else 0,
        people=directory.of(users),
        version=saving.number(),
        said=outcome.said if outcome is not None else None,
        days=line_form.DAYS,
    )


def _rows(pbx: PbxSettings, heard: Heard[MangoLine]) -> list[Row]:
    rows = [Row(line_form.as_document(line), used=True, known=False) for line in pbx.lines]
    by_digits = {_digits(row.line["number"]): row for row in rows}
    for found in heard.rows:
        row = by_digits.get(_digits(found.number))
        if row is None:
            rows.append(Row(line_form.blank(found.number, found.name), used=False))
        else:
            row.known = True
    if not heard.asked or heard.trouble:
        for row in rows:
            row.known = True  # nothing says that they are gone
    return rows


def _settings_of(key: str) -> PbxSettings:
    found = rendering.current().by_key.get(key)
    if found is None:
        raise NotFound
    return found


def _in(pbx: PbxSettings, number: str) -> bool:
    return any(_same(line.number, number) for line in pbx.lines)


def _same(one: str, other: str) -> bool:
    return _digits(one) == _digits(other)


def _digits(number: str) -> str:
    return phone.digits(number) or number
