"""Rows of the table of employees: what the document, the PBX, the directory and the calls of seven days say of each extension.

There may be 10,000 of them, and a page is waited for: what does not change between two looks is kept in the process.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta

from flask import g
from sqlalchemy import case, func, select

from bx24app.calls.journal import unmapped
from bx24app.domain.employees.matching import EmployeeMatcher, PbxExtension, Person, Suggestion
from bx24app.domain.settings import PbxSettings as PbxSettings
from bx24app.domain.settings import Settings
from bx24app.infra.runtime import runtime
from bx24app.mango.api_types import MangoUser
from bx24app.models import Call, PortalUser, db, utcnow
from bx24app.web.base import directory as people
from bx24app.web.base import rendering
from bx24app.web.pbxs.mango_inventory import MangoListing

CACHE_SIZE = 8
"""Directories, and lists of seats, that a process keeps."""


@dataclass(slots=True)
class EmployeeRow:
    """One extension: what the PBX knows of it, who it is in the portal, whom the directory suggests."""

    extension: str
    pbx_extension: PbxExtension
    user_id: int | None = None
    numbers: str = ""
    is_listed: bool = True
    suggestion: Suggestion | None = None
    calls: int = 0
    unmapped_calls: int = 0
    """Calls of seven days in which it rang or talked and was nobody's."""
    fault: str = ""

    @property
    def example_number(self) -> str:
        """A telephone that the PBX knows of this seat, as an example of what may stand here."""
        return next((number for number in self.pbx_extension.numbers if number.lstrip("+").isdecimal() and len(number) > 6), "")

    def matches_search(self, words: str) -> bool:
        """Does a search find this row?"""
        return words in " ".join((self.extension, self.pbx_extension.name, self.pbx_extension.email, self.numbers)).lower()


def build_rows(pbx: PbxSettings, heard: MangoListing[MangoUser]) -> list[EmployeeRow]:
    """Every extension of the document and of the PBX; those with most calls first, so that the important ones are on top."""
    calls, lost, seats = _count_calls_by_user(pbx.key), _count_unmapped_calls(pbx.key), _pbx_extensions(heard)
    silent = not heard.has_keys or bool(heard.problem) or not heard.rows  # nothing says that an extension is gone
    rows = [
        EmployeeRow(name, seats.get(name) or PbxExtension(name), one.user_id, ", ".join(one.numbers), silent or name in seats)
        for name, one in pbx.by_extension.items()
    ]
    nobodys = [EmployeeRow(name, seat) for name, seat in seats.items() if name not in pbx.by_extension]
    # It rang, so it is there, whatever the PBX's list says.
    nobodys += [EmployeeRow(name, PbxExtension(name)) for name in lost if name not in pbx.by_extension and name not in seats]
    directory = _matching_directory(pbx) if nobodys else None
    for row in nobodys:
        row.calls = lost.get(row.extension, 0)
        row.suggestion = directory.suggest_user(row.pbx_extension) if directory is not None else None
    for row in rows:
        row.calls = calls.get(row.user_id or 0, 0)
    rows += nobodys
    for row in rows if lost else ():
        row.unmapped_calls = lost.get(row.extension, 0)
    return sorted(rows, key=_row_sort_key)


def _row_sort_key(row: EmployeeRow) -> tuple[int, int, str]:
    return -row.calls, len(row.extension), row.extension


class _ExtensionCache(dict[int, tuple[tuple[MangoUser, ...], dict[str, PbxExtension]]]):
    """Identity of a PBX's listing -> the listing and its extensions."""


class _MatcherCache(dict[tuple[int, str], tuple[Settings, object, EmployeeMatcher]]):
    """Portal and PBX key -> the settings and the state of the people that the matcher was made from, and the matcher."""


def _pbx_extensions(heard: MangoListing[MangoUser]) -> dict[str, PbxExtension]:
    """By extension; made once for what the PBX told."""
    kept = runtime().get(_ExtensionCache)
    known = kept.get(id(heard.rows))
    if known is not None and known[0] is heard.rows:
        return known[1]
    made = {
        user.extension: PbxExtension(user.extension, user.name, user.email or "", (*user.numbers, user.mobile or ""))
        for user in heard.rows
        if user.extension is not None
    }
    while len(kept) >= CACHE_SIZE:
        kept.pop(next(iter(kept)), None)
    kept[id(heard.rows)] = heard.rows, made
    return made


def _matching_directory(pbx: PbxSettings) -> EmployeeMatcher:
    """Whom a seat of this PBX may belong to; made anew when the settings or the portal's people have changed."""
    settings, state = rendering.load_settings(), _people_state()
    kept = runtime().get(_MatcherCache)
    name = (g.portal.id, pbx.key)
    known = kept.get(name)
    if known is not None and known[0] is settings and known[1] == state:
        return known[2]
    elsewhere = {one.user_id for other in settings.pbxs if other.key != pbx.key for one in other.employees}
    phones = people.phones_by_user()
    made = EmployeeMatcher(
        (
            Person(one.user_id, one.name, one.email or "", one.inner_number or "", phones.get(one.user_id, ()))
            for one in people.load_all().active_employees
        ),
        elsewhere,
    )
    kept.pop(name, None)
    while len(kept) >= CACHE_SIZE:
        kept.pop(next(iter(kept)), None)
    kept[name] = settings, state, made
    return made


def _people_state() -> tuple[int, int, datetime | None]:
    """Changes with every look at the portal's users and every dismissal: how many there are, how many are active, when they were seen."""
    active = func.count(case((PortalUser.active, 1)))
    query = select(func.count(), active, func.max(PortalUser.seen_at)).where(PortalUser.portal_id == g.portal.id)
    total, working, seen = db.session.execute(query).one()
    return total, working, seen


def _count_calls_by_user(key: str) -> dict[int, int]:
    """User id -> calls of the last seven days on this PBX in which they talked last, or, of missed ones, for which they answer."""
    since = utcnow() - timedelta(days=7)
    user = func.coalesce(Call.user_id, Call.responsible_id).label("user_id")
    mine = (Call.portal_id == g.portal.id, Call.pbx_key == key, Call.started_at >= since)
    return {row.user_id: row[1] for row in db.session.execute(select(user, func.count()).where(*mine).group_by(user))}


def _count_unmapped_calls(key: str) -> Counter[str]:
    """Extension -> calls of the last seven days on this PBX in which it was mapped to no employee."""
    return unmapped.count_calls(g.portal.id, key, utcnow() - timedelta(days=7))
