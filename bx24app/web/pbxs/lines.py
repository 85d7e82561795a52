"""The page of a PBX's lines: those that Mango lists, each with a name, responsible users and working hours.

The form sends every line that it shows, in numbered fields. A line that the form did not show stays. An unticked line
is removed after the page has shown what will stop working.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from flask import Blueprint, Response, g, request
from flask_babel import gettext

from bx24app.domain import phone
from bx24app.domain.settings import PbxSettings
from bx24app.mango.api_types import TRUNK, MangoLine
from bx24app.portals import lookup, mango_inventory
from bx24app.portals.mango_inventory import MangoListing
from bx24app.web.base import call_counts, directory, rendering
from bx24app.web.pbxs import line_form, requested_pbx
from bx24app.web.settings import saving
from bx24app.web.settings.saving import Document, SaveResult

blueprint = Blueprint("lines", __name__)
MAX_SHOWN_LINES = 50
"""How many lines the page shows; the search finds the others."""


@dataclass
class LineRow:
    """One line on the page: its part of the document, whether it is ticked, and whether Mango lists it."""

    line: Document
    is_used: bool
    is_listed: bool = True
    is_trunk: bool = False
    faults: dict[str, str] = field(default_factory=dict)

    def matches_search(self, text: str) -> bool:
        """Whether a search (lower case) finds this line."""
        return text in f"{self.line['name']} {self.line['number']} {phone.digits_only(self.line['number'])}".lower()


@blueprint.get("")
def show(key: str) -> Response:
    """All lines: those of the settings, and those that only Mango lists."""
    return _render_page(key)


@blueprint.post("")
def save(key: str) -> Response:
    """Save the lines that the form shows."""
    pbx = requested_pbx.get_settings(key)
    rows = [LineRow(line, is_used) for line, is_used in line_form.read_lines(request.form)]
    removed = [row.line["number"] for row in rows if not row.is_used and _has_line(pbx, row.line["number"])]
    if removed and request.form.get("confirm") != "yes":
        return _render_page(key, rows, removed=removed, status=saving.INVALID_STATUS)
    outcome = saving.save(
        lambda data: _apply_rows(data, key, rows), gettext("Lines of %(name)s changed", name=pbx.name or key)
    )
    if outcome.is_accepted:
        return _render_page(key, outcome=outcome)
    _assign_faults(rows, outcome, key)
    return _render_page(key, rows, outcome, status=outcome.http_status)


def _apply_rows(data: Document, key: str, rows: list[LineRow]) -> None:
    """Put the form's lines into the document. Fields that the form does not have stay."""
    pbx = next(pbx for pbx in data["pbxs"] if pbx["key"] == key)
    lines = pbx["lines"]
    for row in rows:
        current = next((line for line in lines if _is_same_number(line["number"], row.line["number"])), None)
        if not row.is_used:
            if current is not None:
                lines.remove(current)
        elif current is None:
            lines.append(row.line)
        else:
            current.update(row.line | {"number": current["number"]})


def _assign_faults(rows: list[LineRow], outcome: SaveResult, key: str) -> None:
    """Put each fault of the refused document to the line that it is about; the others go to the top of the page."""
    data: dict[str, Any] = saving.current_document()
    _apply_rows(data, key, rows)
    index = next(index for index, pbx in enumerate(data["pbxs"]) if pbx["key"] == key)
    for fault in outcome.faults:
        line, name = line_form.locate_fault(fault.path, index)
        row = next((row for row in rows if line is not None and _is_line_at(row, data["pbxs"][index], line)), None)
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
    removed: list[str] | None = None,
    status: int = 200,
) -> Response:
    """`rows`: lines that were sent and not saved; `removed`: numbers of lines that a save would remove."""
    listing = mango_inventory.load_lines(requested_pbx.get_row(key), g.frame.lang, fresh="fresh" in request.args)
    pbx = requested_pbx.get_settings(key)
    all_rows = rows if rows is not None else _build_rows(pbx, listing)
    query = request.values.get("q", "").strip().lower()
    matching = all_rows if rows is not None else [row for row in all_rows if row.matches_search(query)]
    shown = matching[:MAX_SHOWN_LINES]
    user_ids = [user_id for row in shown for user_id in row.line["responsible"]["users"]]
    return rendering.render_response(
        "lines.html",
        "pbxs",
        status,
        pbx=pbx,
        row=lookup.find_pbx(g.portal.id, key),
        rows=shown,
        q=request.values.get("q", ""),
        match_count=len(matching),
        line_count=len(all_rows) if rows is None else 0,
        max_shown=MAX_SHOWN_LINES,
        listing=listing,
        removed=removed or [],
        removed_calls=call_counts.count_calls_yesterday((), [(key, number) for number in removed]) if removed else 0,
        people=directory.by_ids(user_ids),
        version=saving.current_number(),
        message=outcome.message if outcome is not None else None,
        days=line_form.DAYS,
    )


def _build_rows(pbx: PbxSettings, listing: MangoListing[MangoLine]) -> list[LineRow]:
    rows = [LineRow(line_form.as_document(line), is_used=True, is_listed=False) for line in pbx.lines]
    by_digits = {_normalise_number(row.line["number"]): row for row in rows}
    for line in listing.rows:
        row = by_digits.get(_normalise_number(line.number))
        if row is None:
            row = LineRow(line_form.blank_line(line.number, line.name), is_used=False)
            rows.append(row)
        row.is_listed, row.is_trunk = True, line.region == TRUNK
    if not listing.has_keys or listing.problem:
        for row in rows:
            row.is_listed = True  # nothing says that a line is missing
    return rows


def _has_line(pbx: PbxSettings, number: str) -> bool:
    return any(_is_same_number(line.number, number) for line in pbx.lines)


def _is_same_number(number: str, other: str) -> bool:
    return _normalise_number(number) == _normalise_number(other)


def _normalise_number(number: str) -> str:
    return phone.line_key(number)
