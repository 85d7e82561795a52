"""Employees of a PBX in the frame: which extension is which user of the portal.

Only rows that were changed are sent. A row without a user takes its mapping away; rows that were not sent stay as they are.
"""

from __future__ import annotations

import re

from flask import Blueprint, Response, g, request
from flask_babel import gettext
from werkzeug.exceptions import NotFound

from bx24app.domain.employees.csv_table import split_numbers
from bx24app.domain.employees.matching import PbxExtension
from bx24app.domain.settings import EmployeeSettings
from bx24app.domain.settings import PbxSettings as PbxSettings
from bx24app.mango.api_types import MangoUser
from bx24app.web.base import call_counts, directory, rendering
from bx24app.web.base.parsing import parse_int
from bx24app.web.pbxs import dismissed_employees, mango_inventory
from bx24app.web.pbxs.employee_rows import EmployeeRow, build_rows
from bx24app.web.pbxs.mango_inventory import MangoListing
from bx24app.web.settings import saving
from bx24app.web.settings.saving import Document, SaveResult

blueprint = Blueprint("employees", __name__)
ROWS_PER_PAGE = 100
"""Rows on the page at once."""
_EXTENSION_FIELD = re.compile(r"^row-(\w+)-extension$")


@blueprint.get("")
def show(key: str) -> Response:
    """The table; `unmapped` leaves out who is mapped, `q` searches."""
    return _render_page(key)


@blueprint.post("")
def save(key: str) -> Response:
    """Save the rows that were changed."""
    pbx = _get_pbx_settings(key)
    rows = [_read_row(name) for name in _posted_row_names()]
    wanted = {row.extension: row for row in rows if row.extension}
    gone = [pbx.by_extension[name] for name, row in wanted.items() if row.user_id is None and name in pbx.by_extension]
    if gone and request.form.get("confirm") != "yes":
        return _render_page(key, None, wanted, gone=gone, status=saving.INVALID_STATUS)
    outcome = saving.save(
        lambda data: _apply_rows(data, key, wanted), gettext("Employees of %(name)s changed", name=pbx.name or key)
    )
    if outcome.is_accepted:
        return _render_page(key, outcome)
    return _render_page(key, outcome, wanted, status=outcome.http_status)


@blueprint.post("/accept")
def accept_suggestions(key: str) -> Response:
    """Take every suggestion that is sure."""
    outcome = accept_certain_suggestions(key)
    return _render_page(key, outcome, status=outcome.http_status)


def accept_certain_suggestions(key: str, shown: int | None = None) -> saving.SaveResult:
    """Save every suggestion that is sure; also done when a PBX is connected, so that its first call finds its people."""
    pbx, row = _get_pbx_settings(key), mango_inventory.find_pbx(key)
    if row is None:
        raise NotFound
    heard = mango_inventory.load_users(row, g.frame.lang)
    sure = {
        found.extension: found
        for found in build_rows(pbx, heard)
        if found.user_id is None and found.suggestion is not None and found.suggestion.is_certain
    }
    for found in sure.values():
        found.user_id = found.suggestion.user_id if found.suggestion else None
    return saving.save(
        lambda data: _apply_rows(data, key, sure),
        gettext("Suggested employees of %(name)s accepted", name=pbx.name or key),
        shown,
    )


def count_certain_suggestions(pbx: PbxSettings, heard: MangoListing[MangoUser]) -> int:
    """How many suggestions for this PBX are sure."""
    return _count_certain(build_rows(pbx, heard))


def _posted_row_names() -> list[str]:
    return [found.group(1) for field in request.form if (found := _EXTENSION_FIELD.match(field))]


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
    pbx = next(one for one in data["pbxs"] if one["key"] == key)
    held = {one["extension"]: one for one in pbx["employees"]}
    for extension, row in rows.items():
        if row.user_id is None:
            held.pop(extension, None)
            continue
        numbers = list(split_numbers(row.numbers))
        held.setdefault(extension, {"extension": extension}).update({"user_id": row.user_id, "numbers": numbers})
    pbx["employees"] = list(held.values())


def _render_page(
    key: str,
    outcome: SaveResult | None = None,
    changed: dict[str, EmployeeRow] | None = None,
    status: int = 200,
    gone: list[EmployeeSettings] | None = None,
) -> Response:
    row = mango_inventory.find_pbx(key)
    if row is None:
        raise NotFound
    heard = mango_inventory.load_users(row, g.frame.lang, fresh="fresh" in request.values)
    pbx = _get_pbx_settings(key)
    rows = build_rows(pbx, heard)
    unmapped, words = "unmapped" in request.values, request.values.get("q", "").strip().lower()
    mapped, sure = sum(1 for one in rows if one.user_id), _count_certain(rows)
    lost = [one for one in rows if one.unmapped_calls and one.user_id is None]
    shown = [one for one in rows if not (unmapped and one.user_id) and (not words or one.matches_search(words))]
    shown = _overlay_changes(shown, changed or {}, outcome, key)
    last = max(1, -(-len(shown) // ROWS_PER_PAGE))
    part = max(1, min(last, parse_int(request.values.get("part", "")) or 1))
    page = shown[(part - 1) * ROWS_PER_PAGE : part * ROWS_PER_PAGE]
    ids = [one.user_id for one in page] + [one.suggestion.user_id for one in page if one.suggestion]
    return rendering.render_response(
        "employees.html",
        "pbxs",
        status,
        pbx=pbx,
        row=mango_inventory.find_pbx(key),
        rows=page,
        found=len(shown),
        most=ROWS_PER_PAGE,
        part=part,
        last=last,
        total=len(rows),
        mapped=mapped,
        sure=sure,
        unmapped=unmapped,
        lost=lost,
        dismissed=dismissed_employees.list_dismissed(rendering.load_settings(), key),
        q=request.values.get("q", ""),
        heard=heard,
        gone=[one.extension for one in gone or ()],
        changed=set(changed or ()) if gone or (outcome is not None and not outcome.is_accepted) else set(),
        stopped=call_counts.count_calls_yesterday((), (), [one.user_id for one in gone]) if gone else 0,
        people=directory.by_ids(ids),
        version=saving.current_number(),
        said=outcome.message if outcome is not None else None,
    )


def _count_certain(rows: list[EmployeeRow]) -> int:
    return sum(1 for one in rows if one.user_id is None and one.suggestion is not None and one.suggestion.is_certain)


def _overlay_changes(shown: list[EmployeeRow], changed: dict[str, EmployeeRow], outcome: SaveResult | None, key: str) -> list[EmployeeRow]:
    """What was typed and not saved stays on the page, with its faults."""
    if not changed:
        return shown
    for one in shown:
        typed = changed.get(one.extension)
        if typed is not None:
            one.user_id, one.numbers, one.suggestion = typed.user_id, typed.numbers, None
    if outcome is None:
        return shown
    data = saving.current_document()
    _apply_rows(data, key, changed)
    for fault in outcome.faults:
        found = re.match(r"^pbxs\[(\d+)\]\.employees\[(\d+)\]", fault.path)
        if found is None or int(found.group(1)) >= len(data["pbxs"]):
            continue
        there = data["pbxs"][int(found.group(1))]["employees"][int(found.group(2))]["extension"]
        for one in shown:
            if one.extension == there:
                one.fault = fault.message
    return shown


def _get_pbx_settings(key: str) -> PbxSettings:
    found = rendering.load_settings().by_key.get(key)
    if found is None:
        raise NotFound
    return found
