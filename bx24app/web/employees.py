"""Employees of a PBX in the frame: which extension is which user of the portal.

Only rows that were changed are sent. A row without a user takes its mapping away; rows that were not sent stay as they are.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from datetime import timedelta

from flask import Blueprint, Response, g, request
from flask_babel import gettext
from sqlalchemy import func, select
from werkzeug.exceptions import NotFound

from bx24app.domain.matching import Directory, Person, Seat, Suggestion
from bx24app.domain.settings import Employee
from bx24app.domain.settings import Pbx as PbxSettings
from bx24app.mango.answers import MangoUser
from bx24app.models import Call, db, utcnow
from bx24app.web import counting, dismissed, mango_side, pages, people, saving
from bx24app.web.mango_side import Heard
from bx24app.web.saving import Document, Outcome
from bx24app.web.whole import whole

blueprint = Blueprint("employees", __name__)
MOST = 200
"""Rows on the page at once."""
_ROW = re.compile(r"^row-(\w+)-extension$")


@dataclass
class Row:
    """One extension: what the PBX knows of it, who it is in the portal, whom the directory suggests."""

    extension: str
    seat: Seat
    user_id: int | None = None
    numbers: str = ""
    known: bool = True
    suggestion: Suggestion | None = None
    calls: int = 0
    lost: int = 0
    """Calls of seven days in which it rang or talked and was nobody's."""
    fault: str = ""

    @property
    def mobile(self) -> str:
        """A telephone that the PBX knows of this seat, as an example of what may stand here."""
        return next((number for number in self.seat.numbers if number.lstrip("+").isdecimal() and len(number) > 6), "")

    def matches(self, words: str) -> bool:
        """Does a search find this row?"""
        return words in " ".join((self.extension, self.seat.name, self.seat.email, self.numbers)).lower()


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
    pbx, row = _settings_of(key), mango_side.row(key)
    if row is None:
        raise NotFound
    heard = mango_side.users(row, g.frame.lang)
    sure = {
        found.extension: found
        for found in _rows(pbx, heard)
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
    return _sure(_rows(pbx, heard))


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
        numbers = [number for number in re.split(r"[\s,;]+", row.numbers) if number]
        held.setdefault(extension, {"extension": extension}).update({"user_id": row.user_id, "numbers": numbers})
    pbx["employees"] = list(held.values())


def _page(
    key: str,
    outcome: Outcome | None = None,
    changed: dict[str, Row] | None = None,
    status: int = 200,
    gone: list[Employee] | None = None,
) -> Response:
    row = mango_side.row(key)
    if row is None:
        raise NotFound
    heard = mango_side.users(row, g.frame.lang, fresh="fresh" in request.values)
    pbx = _settings_of(key)
    rows = _rows(pbx, heard)
    unmapped, words = "unmapped" in request.values, request.values.get("q", "").strip().lower()
    mapped, sure = sum(1 for one in rows if one.user_id), _sure(rows)
    lost = [one for one in rows if one.lost and one.user_id is None]
    shown = [one for one in rows if not (unmapped and one.user_id) and (not words or one.matches(words))]
    shown = _over(shown, changed or {}, outcome, key)
    last = max(1, -(-len(shown) // MOST))
    part = max(1, min(last, whole(request.values.get("part", "")) or 1))
    page = shown[(part - 1) * MOST : part * MOST]
    ids = [one.user_id for one in page] + [one.suggestion.user_id for one in page if one.suggestion]
    return pages.show(
        "employees.html",
        "pbxs",
        status,
        pbx=pbx,
        row=mango_side.row(key),
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
        dismissed=dismissed.shown(pages.current(), key),
        q=request.values.get("q", ""),
        heard=heard,
        gone=[one.extension for one in gone or ()],
        changed=set(changed or ()) if gone or (outcome is not None and not outcome.good) else set(),
        stopped=counting.calls_yesterday((), (), [one.user_id for one in gone]) if gone else 0,
        people=people.of(ids),
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


def _rows(pbx: PbxSettings, heard: Heard[MangoUser]) -> list[Row]:
    """Every extension of the document and of the PBX; those with most calls first, so that the important ones are on top."""
    calls, lost = _calls(pbx.key), _unmapped(pbx.key)
    rows = {one.extension: _of_document(one, heard) for one in pbx.employees}
    for user in heard.rows:
        if user.extension is None:
            continue
        seat = Seat(user.extension, user.name, user.email or "", (*user.numbers, user.mobile or ""))
        row = rows.get(user.extension)
        if row is None:
            rows[user.extension] = Row(user.extension, seat)
        else:
            row.seat, row.known = seat, True
    for extension in lost:  # it rang, so it is there, whatever the PBX's list says
        rows.setdefault(extension, Row(extension, Seat(extension)))
    directory = _directory(pbx) if any(row.user_id is None for row in rows.values()) else None
    for row in rows.values():
        row.lost = lost.get(row.extension, 0)
        row.calls = calls.get(row.user_id, 0) if row.user_id else row.lost
        row.suggestion = directory.suggest(row.seat) if directory is not None and row.user_id is None else None
    return sorted(rows.values(), key=lambda row: (-row.calls, len(row.extension), row.extension))


def _directory(pbx: PbxSettings) -> Directory:
    """Whom a seat of this PBX may belong to."""
    elsewhere = {one.user_id for other in pages.current().pbxs if other.key != pbx.key for one in other.employees}
    phones = people.phones()
    return Directory(
        (
            Person(one.user_id, one.name, one.email or "", one.inner_number or "", phones.get(one.user_id, ()))
            for one in people.everybody().active
        ),
        elsewhere,
    )


def _of_document(one: Employee, heard: Heard[MangoUser]) -> Row:
    known = not heard.asked or bool(heard.trouble) or not heard.rows  # nothing says that the extension is gone
    return Row(one.extension, Seat(one.extension), one.user_id, ", ".join(one.numbers), known)


def _calls(key: str) -> dict[int, int]:
    """User id -> calls of the last seven days on this PBX in which they talked last, or, of missed ones, for which they answer."""
    since = utcnow() - timedelta(days=7)
    user = func.coalesce(Call.user_id, Call.responsible_id).label("user_id")
    mine = (Call.portal_id == g.portal.id, Call.pbx_key == key, Call.started_at >= since)
    return {row.user_id: row[1] for row in db.session.execute(select(user, func.count()).where(*mine).group_by(user))}


def _unmapped(key: str) -> Counter[str]:
    """Extension -> calls of the last seven days on this PBX in which it was nobody's. One query on an index of its own."""
    query = select(Call.unmapped).where(
        Call.portal_id == g.portal.id,
        Call.unmapped.is_not(None),
        Call.started_at >= utcnow() - timedelta(days=7),
        Call.pbx_key == key,
    )
    return Counter(name for names in db.session.scalars(query.limit(20_000)) for name in (names or "").split(","))


def _settings_of(key: str) -> PbxSettings:
    found = pages.current().by_key.get(key)
    if found is None:
        raise NotFound
    return found
