"""Employees of a PBX in the frame: which extension is which user of the portal.

Only rows that were changed are sent. A row without a user takes its mapping away; rows that were not sent stay as they are.
"""

from __future__ import annotations

import re

from flask import Blueprint, Response, g, request
from flask_babel import gettext
from werkzeug.exceptions import NotFound

from bx24app.domain.employees.csv_table import numbers_of
from bx24app.domain.employees.matching import Seat
from bx24app.domain.settings import Employee
from bx24app.domain.settings import Pbx as PbxSettings
from bx24app.mango.api_types import MangoUser
from bx24app.web.base import call_counts, directory, rendering
from bx24app.web.base.parsing import whole
from bx24app.web.pbxs import dismissed_employees, mango_inventory
from bx24app.web.pbxs.employee_rows import Row, rows_of
from bx24app.web.pbxs.mango_inventory import Heard
from bx24app.web.settings import saving
from bx24app.web.settings.saving import Document, Outcome

blueprint = Blueprint("employees", __name__)
MOST = 100
"""Rows on the page at once."""
_ROW = re.compile(r"^row-(\w+)-extension$")


@blueprint.get("")
def show(key: str) -> Response:
    """The table; `unmapped` leaves out who is mapped, `q` searches."""
    return _page(key)


@blueprint.post("")
def save(key: str) -> Response:
    """Save the rows that were changed."""
    pbx = _settings_of(key)
    rows = [_posted(name) for name in _names()]
    wanted = {row.extension: row for row in rows if row.extension}
    gone = [pbx.by_extension[name] for name, row in wanted.items() if row.user_id is None and name in pbx.by_extension]
    if gone and request.form.get("confirm") != "yes":
        return _page(key, None, wanted, gone=gone, status=saving.WRONG)
    outcome = saving.save(
        lambda data: _apply(data, key, wanted), gettext("Employees of %(name)s changed", name=pbx.name or key)
    )
    if outcome.good:
        return _page(key, outcome)
    return _page(key, outcome, wanted, status=outcome.status)


@blueprint.post("/accept")
def accept(key: str) -> Response:
    """Take every suggestion that is sure."""
    outcome = accept_sure(key)
    return _page(key, outcome, status=outcome.status)


def accept_sure(key: str, shown: int | None = None) -> saving.Outcome:
    """Save every suggestion that is sure; also done when a PBX is connected, so that its first call finds its people."""
    pbx, row = _settings_of(key), mango_inventory.row(key)
    if row is None:
        raise NotFound
    heard = mango_inventory.users(row, g.frame.lang)
    sure = {
        found.extension: found
        for found in rows_of(pbx, heard)
        if found.user_id is None and found.suggestion is not None and found.suggestion.sure
    }
    for found in sure.values():
        found.user_id = found.suggestion.user_id if found.suggestion else None
    return saving.save(
        lambda data: _apply(data, key, sure),
        gettext("Suggested employees of %(name)s accepted", name=pbx.name or key),
        shown,
    )


def sure_of(pbx: PbxSettings, heard: Heard[MangoUser]) -> int:
    """How many suggestions for this PBX are sure."""
    return _sure(rows_of(pbx, heard))


def _names() -> list[str]:
    return [found.group(1) for field in request.form if (found := _ROW.match(field))]


def _posted(name: str) -> Row:
    form = request.form
    user = form.get(f"row-{name}-user", "")
    extension = form.get(f"row-{name}-extension", "").strip()
    return Row(
        extension=extension,
        seat=Seat(extension),
        user_id=whole(user),
        numbers=form.get(f"row-{name}-numbers", "").strip(),
    )


def _apply(data: Document, key: str, rows: dict[str, Row]) -> None:
    pbx = next(one for one in data["pbxs"] if one["key"] == key)
    held = {one["extension"]: one for one in pbx["employees"]}
    for extension, row in rows.items():
        if row.user_id is None:
            held.pop(extension, None)
            continue
        numbers = list(numbers_of(row.numbers))
        held.setdefault(extension, {"extension": extension}).update({"user_id": row.user_id, "numbers": numbers})
    pbx["employees"] = list(held.values())


def _page(
    key: str,
    outcome: Outcome | None = None,
    changed: dict[str, Row] | None = None,
    status: int = 200,
    gone: list[Employee] | None = None,
) -> Response:
    row = mango_inventory.row(key)
    if row is None:
        raise NotFound
    heard = mango_inventory.users(row, g.frame.lang, fresh="fresh" in request.values)
    pbx = _settings_of(key)
    rows = rows_of(pbx, heard)
    unmapped, words = "unmapped" in request.values, request.values.get("q", "").strip().lower()
    mapped, sure = sum(1 for one in rows if one.user_id), _sure(rows)
    lost = [one for one in rows if one.lost and one.user_id is None]
    shown = [one for one in rows if not (unmapped and one.user_id) and (not words or one.matches(words))]
    shown = _over(shown, changed or {}, outcome, key)
    last = max(1, -(-len(shown) // MOST))
    part = max(1, min(last, whole(request.values.get("part", "")) or 1))
    page = shown[(part - 1) * MOST : part * MOST]
    ids = [one.user_id for one in page] + [one.suggestion.user_id for one in page if one.suggestion]
    return rendering.show(
        "employees.html",
        "pbxs",
        status,
        pbx=pbx,
        row=mango_inventory.row(key),
        rows=page,
        found=len(shown),
        most=MOST,
        part=part,
        last=last,
        total=len(rows),
        mapped=mapped,
        sure=sure,
        unmapped=unmapped,
        lost=lost,
        dismissed=dismissed_employees.shown(rendering.current(), key),
        q=request.values.get("q", ""),
        heard=heard,
        gone=[one.extension for one in gone or ()],
        changed=set(changed or ()) if gone or (outcome is not None and not outcome.good) else set(),
        stopped=call_counts.calls_yesterday((), (), [one.user_id for one in gone]) if gone else 0,
        people=directory.of(ids),
        version=saving.number(),
        said=outcome.said if outcome is not None else None,
    )


def _sure(rows: list[Row]) -> int:
    return sum(1 for one in rows if one.user_id is None and one.suggestion is not None and one.suggestion.sure)


def _over(shown: list[Row], changed: dict[str, Row], outcome: Outcome | None, key: str) -> list[Row]:
    """What was typed and not saved stays on the page, with its faults."""
    if not changed:
        return shown
    for one in shown:
        typed = changed.get(one.extension)
        if typed is not None:
            one.user_id, one.numbers, one.suggestion = typed.user_id, typed.numbers, None
    if outcome is None:
        return shown
    data = saving.present()
    _apply(data, key, changed)
    for fault in outcome.faults:
        found = re.match(r"^pbxs\[(\d+)\]\.employees\[(\d+)\]", fault.path)
        if found is None or int(found.group(1)) >= len(data["pbxs"]):
            continue
        there = data["pbxs"][int(found.group(1))]["employees"][int(found.group(2))]["extension"]
        for one in shown:
            if one.extension == there:
                one.fault = fault.words
    return shown


def _settings_of(key: str) -> PbxSettings:
    found = rendering.current().by_key.get(key)
    if found is None:
        raise NotFound
    return found
