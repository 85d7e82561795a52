"""The page of a PBX's employees: which extension is which user of the portal.

The browser sends only the rows that were changed. A row without a user removes the mapping of its extension; rows that
were not sent stay.
"""

from __future__ import annotations

import re

from flask import Blueprint, Response, g, request
from flask_babel import gettext

from bx24app.domain.employees.csv_table import split_numbers
from bx24app.domain.employees.matching import PbxExtension
from bx24app.domain.settings import EmployeeSettings, PbxSettings
from bx24app.mango.api_types import MangoUser
from bx24app.portals import lookup, mango_inventory
from bx24app.portals.mango_inventory import MangoListing
from bx24app.web.base import call_counts, directory, rendering
from bx24app.web.base.parsing import parse_int
from bx24app.web.pbxs import dismissed_employees, requested_pbx
from bx24app.web.pbxs.employee_rows import EmployeeRow, build_rows
from bx24app.web.settings import saving
from bx24app.web.settings.saving import Document, SaveResult

blueprint = Blueprint("employees", __name__)
ROWS_PER_PAGE = 100
"""How many rows a page shows."""
_EXTENSION_FIELD = re.compile(r"^row-(\w+)-extension$")
_FAULT_PATH = re.compile(r"^pbxs\[(\d+)\]\.employees\[(\d+)\]")


@blueprint.get("")
def show(key: str) -> Response:
    """The table. `unmapped` in the query leaves mapped extensions out, `q` searches, `fresh` asks Mango again."""
    return _render_page(key)


@blueprint.post("")
def save(key: str) -> Response:
    """Save the rows that were changed."""
    pbx = requested_pbx.get_settings(key)
    rows = [_read_row(name) for name in _posted_row_names()]
    changed = {row.extension: row for row in rows if row.extension}
    removed = [
        pbx.by_extension[name] for name, row in changed.items() if row.user_id is None and name in pbx.by_extension
    ]
    if removed and request.form.get("confirm") != "yes":
        return _render_page(key, None, changed, removed=removed, status=saving.INVALID_STATUS)
    outcome = saving.save(
        lambda data: _apply_rows(data, key, changed), gettext("Employees of %(name)s changed", name=pbx.name or key)
    )
    if outcome.is_accepted:
        return _render_page(key, outcome)
    return _render_page(key, outcome, changed, status=outcome.http_status)


@blueprint.post("/accept")
def accept_suggestions(key: str) -> Response:
    """Save every suggestion that is certain."""
    outcome = accept_certain_suggestions(key)
    return _render_page(key, outcome, status=outcome.http_status)


def accept_certain_suggestions(key: str, shown: int | None = None) -> saving.SaveResult:
    """Save every suggestion that is certain. Also called when a PBX is connected, so that its first call finds its
    employees.

    Args:
        shown: number of the settings version that the page showed; None: as the form says.
    """
    pbx, row = requested_pbx.get_settings(key), requested_pbx.get_row(key)
    listing = mango_inventory.load_users(row, g.frame.lang)
    certain = {row.extension: row for row in build_rows(pbx, listing) if _is_certain(row)}
    for employee in certain.values():
        employee.user_id = employee.suggestion.user_id if employee.suggestion else None
    return saving.save(
        lambda data: _apply_rows(data, key, certain),
        gettext("Exact matches of %(name)s accepted", name=pbx.name or key),
        shown,
    )


def count_certain_suggestions(pbx: PbxSettings, listing: MangoListing[MangoUser]) -> int:
    """How many suggestions for this PBX are certain."""
    return sum(map(_is_certain, build_rows(pbx, listing)))


def _is_certain(row: EmployeeRow) -> bool:
    return row.user_id is None and row.suggestion is not None and row.suggestion.is_certain


def _posted_row_names() -> list[str]:
    return [match.group(1) for field in request.form if (match := _EXTENSION_FIELD.match(field))]


def _read_row(name: str) -> EmployeeRow:
    form = request.form
    user = form.get(f"row-{name}-user", "")
    extension = form.get(f"row-{name}-extension", "").strip()
    return EmployeeRow(
        extension=extension,
        pbx_extension=PbxExtension(extension),
        user_id=parse_int(user),
        numbers=form.get(f"row-{name}-numbers", "").strip(),
    )


def _apply_rows(data: Document, key: str, rows: dict[str, EmployeeRow]) -> None:
    pbx = next(pbx for pbx in data["pbxs"] if pbx["key"] == key)
    employees = {employee["extension"]: employee for employee in pbx["employees"]}
    for extension, row in rows.items():
        if row.user_id is None:
            employees.pop(extension, None)
            continue
        numbers = list(split_numbers(row.numbers))
        employees.setdefault(extension, {"extension": extension}).update({"user_id": row.user_id, "numbers": numbers})
    pbx["employees"] = list(employees.values())


def _render_page(
    key: str,
    outcome: SaveResult | None = None,
    changed: dict[str, EmployeeRow] | None = None,
    status: int = 200,
    removed: list[EmployeeSettings] | None = None,
) -> Response:
    """`changed`: rows that were sent and not saved; `removed`: mappings among them that a save would remove."""
    listing = mango_inventory.load_users(requested_pbx.get_row(key), g.frame.lang, fresh="fresh" in request.values)
    pbx = requested_pbx.get_settings(key)
    rows = build_rows(pbx, listing)
    only_unmapped, query = "unmapped" in request.values, request.values.get("q", "").strip().lower()
    # Counted before the overlay below, which puts unsaved users into the rows.
    mapped_count, certain_count = sum(1 for row in rows if row.user_id), sum(map(_is_certain, rows))
    with_unmapped_calls = [row for row in rows if row.unmapped_calls and row.user_id is None]
    matching = [row for row in rows if not (only_unmapped and row.user_id) and (not query or row.matches_search(query))]
    matching = _overlay_changes(matching, changed or {}, outcome, key)
    part_count = max(1, -(-len(matching) // ROWS_PER_PAGE))
    part = max(1, min(part_count, parse_int(request.values.get("part", "")) or 1))
    page = matching[(part - 1) * ROWS_PER_PAGE : part * ROWS_PER_PAGE]
    user_ids = [row.user_id for row in page] + [row.suggestion.user_id for row in page if row.suggestion]
    return rendering.render_response(
        "employees.html",
        "pbxs",
        status,
        pbx=pbx,
        row=lookup.find_pbx(g.portal.id, key),
        rows=page,
        match_count=len(matching),
        rows_per_page=ROWS_PER_PAGE,
        part=part,
        part_count=part_count,
        extension_count=len(rows),
        mapped_count=mapped_count,
        certain_count=certain_count,
        only_unmapped=only_unmapped,
        without_employee=with_unmapped_calls,
        dismissed=dismissed_employees.list_dismissed(rendering.load_settings(), key),
        q=request.values.get("q", ""),
        listing=listing,
        removed=[employee.extension for employee in removed or ()],
        changed=set(changed or ()) if removed or (outcome is not None and not outcome.is_accepted) else set(),
        removed_calls=call_counts.count_calls_yesterday((), (), [employee.user_id for employee in removed])
        if removed
        else 0,
        people=directory.by_ids(user_ids),
        version=saving.current_number(),
        message=outcome.message if outcome is not None else None,
    )


def _overlay_changes(
    rows: list[EmployeeRow], changed: dict[str, EmployeeRow], outcome: SaveResult | None, key: str
) -> list[EmployeeRow]:
    """The rows with what was sent and not saved, and with the faults that prevented it."""
    if not changed:
        return rows
    for row in rows:
        sent = changed.get(row.extension)
        if sent is not None:
            row.user_id, row.numbers, row.suggestion = sent.user_id, sent.numbers, None
    if outcome is not None:
        faults = _faults_by_extension(outcome, changed, key)
        for row in rows:
            row.fault = faults.get(row.extension, row.fault)
    return rows


def _faults_by_extension(outcome: SaveResult, changed: dict[str, EmployeeRow], key: str) -> dict[str, str]:
    """Extension -> fault. A fault's path counts the employees of the document that was refused, so that document is
    made again."""
    data = saving.current_document()
    _apply_rows(data, key, changed)
    faults = {}
    for fault in outcome.faults:
        match = _FAULT_PATH.match(fault.path)
        if match is not None and int(match.group(1)) < len(data["pbxs"]):
            employee = data["pbxs"][int(match.group(1))]["employees"][int(match.group(2))]
            faults[employee["extension"]] = fault.message
    return faults
