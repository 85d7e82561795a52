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
from bx24app.domain.settings import PbxSettings as PbxSettings
from bx24app.mango.api_types import MangoLine
from bx24app.web.base import call_counts, directory, rendering
from bx24app.web.pbxs import line_form, mango_inventory
from bx24app.web.pbxs.mango_inventory import MangoListing
from bx24app.web.settings import saving
from bx24app.web.settings.saving import Document, SaveResult

blueprint = Blueprint("lines", __name__)


MAX_SHOWN_LINES = 50
"""Lines on the page at once; the search finds the others. What a page did not show stays as it is."""


@dataclass
class LineRow:
    """One line on the page: its part of the document, whether it is ticked, and whether Mango names it."""

    line: Document
    is_used: bool
    is_listed: bool = True
    faults: dict[str, str] = field(default_factory=dict)

    def matches_search(self, words: str) -> bool:
        """Does a search find this line?"""
        return words in f"{self.line['name']} {self.line['number']} {phone.digits_only(self.line['number'])}".lower()


@blueprint.get("")
def show(key: str) -> Response:
    """All lines: those of the document, and those that only Mango names."""
    return _render_page(key)


@blueprint.post("")
def save(key: str) -> Response:
    """Save what the form shows."""
    pbx = _get_pbx_settings(key)
    posted = line_form.read_lines(request.form)
    rows = [LineRow(line, used) for line, used in posted]
    gone = [row.line["number"] for row in rows if not row.is_used and _has_line(pbx, row.line["number"])]
    if gone and request.form.get("confirm") != "yes":
        return _render_page(key, rows, gone=gone, status=saving.INVALID_STATUS)
    outcome = saving.save(
        lambda data: _apply_rows(data, key, rows), gettext("Lines of %(name)s changed", name=pbx.name or key)
    )
    if outcome.is_accepted:
        return _render_page(key, outcome=outcome)
    _assign_faults(rows, outcome, key)
    return _render_page(key, rows, outcome, status=outcome.http_status)


def _apply_rows(data: Document, key: str, rows: list[LineRow]) -> None:
    """What the form shows replaces the same lines of the document; fields that the form does not know stay."""
    pbx = next(one for one in data["pbxs"] if one["key"] == key)
    lines = pbx["lines"]
    for row in rows:
        held = next((line for line in lines if _is_same_number(line["number"], row.line["number"])), None)
        if not row.is_used:
            if held is not None:
                lines.remove(held)
        elif held is None:
            lines.append(row.line)
        else:
            held.update(row.line | {"number": held["number"]})


def _assign_faults(rows: list[LineRow], outcome: SaveResult, key: str) -> None:
    """Faults of the document to the rows that they belong to."""
    data: dict[str, Any] = saving.current_document()
    _apply_rows(data, key, rows)
    index = next(place for place, pbx in enumerate(data["pbxs"]) if pbx["key"] == key)
    for fault in outcome.faults:
        line, name = line_form.locate_fault(fault.path, index)
        row = next((one for one in rows if line is not None and _is_line_at(one, data["pbxs"][index], line)), None)
        if row is not None:
            row.faults[name] = fault.message
        elif fault.path:
            outcome.message.texts.append(f"{fault.path}: {fault.message}")


def _is_line_at(row: LineRow, pbx: Document, index: int) -> bool:
    return index < len(pbx["lines"]) and _is_same_number(pbx["lines"][index]["number"], row.line["number"])


def _render_page(
    key: str,
    rows: list[LineRow] | None = None,
    outcome: SaveResult | None = None,
    gone: list[str] | None = None,
    status: int = 200,
) -> Response:
    row = mango_inventory.find_pbx(key)
    if row is None:
        raise NotFound
    heard = mango_inventory.load_lines(row, g.frame.lang, fresh="fresh" in request.args)
    pbx = _get_pbx_settings(key)
    every = rows if rows is not None else _build_rows(pbx, heard)
    words = request.values.get("q", "").strip().lower()
    fitting = every if rows is not None else [one for one in every if one.matches_search(words)]
    shown = fitting[:MAX_SHOWN_LINES]
    users = [user for one in shown for user in one.line["responsible"]["users"]]
    row = mango_inventory.find_pbx(key)
    return rendering.render_response(
        "lines.html",
        "pbxs",
        status,
        pbx=pbx,
        row=row,
        rows=shown,
        q=request.values.get("q", ""),
        found=len(fitting),
        total=len(every) if rows is None else 0,
        most=MAX_SHOWN_LINES,
        heard=heard,
        gone=gone or [],
        calls=call_counts.count_calls_yesterday((), [(key, number) for number in gone]) if gone else 0,
        people=directory.by_ids(users),
        version=saving.current_number(),
        said=outcome.message if outcome is not None else None,
        days=line_form.DAYS,
    )


def _build_rows(pbx: PbxSettings, heard: MangoListing[MangoLine]) -> list[LineRow]:
    rows = [LineRow(line_form.as_document(line), is_used=True, is_listed=False) for line in pbx.lines]
    by_digits = {_normalise_number(row.line["number"]): row for row in rows}
    for found in heard.rows:
        row = by_digits.get(_normalise_number(found.number))
        if row is None:
            rows.append(LineRow(line_form.blank_line(found.number, found.name), is_used=False))
        else:
            row.is_listed = True
    if not heard.has_keys or heard.problem:
        for row in rows:
            row.is_listed = True  # nothing says that they are gone
    return rows


def _get_pbx_settings(key: str) -> PbxSettings:
    found = rendering.load_settings().by_key.get(key)
    if found is None:
        raise NotFound
    return found


def _has_line(pbx: PbxSettings, number: str) -> bool:
    return any(_is_same_number(line.number, number) for line in pbx.lines)


def _is_same_number(one: str, other: str) -> bool:
    return _normalise_number(one) == _normalise_number(other)


def _normalise_number(number: str) -> str:
    return phone.digits_only(number) or number
