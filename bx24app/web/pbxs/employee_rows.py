"""Rows of the table of employees: what the document, the PBX, the directory and the calls of seven days say of each extension.

There may be 10,000 of them, and a page is waited for: what does not change between two looks is kept in the process.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta

from flask import g
from sqlalchemy import case, func, select

from bx24app.domain.employees.matching import Directory, Person, Seat, Suggestion
from bx24app.domain.settings import Pbx as PbxSettings
from bx24app.domain.settings import Settings
from bx24app.infra.runtime import runtime
from bx24app.mango.api_types import MangoUser
from bx24app.models import Call, PortalUser, db, utcnow
from bx24app.web.base import directory as people
from bx24app.web.base import rendering
from bx24app.web.pbxs.mango_inventory import Heard

REMEMBERED = 8
"""Directories, and lists of seats, that a process keeps."""


@dataclass(slots=True)
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


def rows_of(pbx: PbxSettings, heard: Heard[MangoUser]) -> list[Row]:
    """Every extension of the document and of the PBX; those with most calls first, so that the important ones are on top."""
    calls, lost, seats = _calls(pbx.key), _unmapped(pbx.key), _seats(heard)
    silent = not heard.asked or bool(heard.trouble) or not heard.rows  # nothing says that an extension is gone
    rows = [
        Row(name, seats.get(name) or Seat(name), one.user_id, ", ".join(one.numbers), silent or name in seats)
        for name, one in pbx.by_extension.items()
    ]
    nobodys = [Row(name, seat) for name, seat in seats.items() if name not in pbx.by_extension]
    # It rang, so it is there, whatever the PBX's list says.
    nobodys += [Row(name, Seat(name)) for name in lost if name not in pbx.by_extension and name not in seats]
    directory = _directory(pbx) if nobodys else None
    for row in nobodys:
        row.calls = lost.get(row.extension, 0)
        row.suggestion = directory.suggest(row.seat) if directory is not None else None
    for row in rows:
        row.calls = calls.get(row.user_id or 0, 0)
    rows += nobodys
    for row in rows if lost else ():
        row.lost = lost.get(row.extension, 0)
    return sorted(rows, key=_importance)


def _importance(row: Row) -> tuple[int, int, str]:
    return -row.calls, len(row.extension), row.extension


def _seats(heard: Heard[MangoUser]) -> dict[str, Seat]:
    """By extension; made once for what the PBX told."""
    kept: dict[int, tuple[tuple[MangoUser, ...], dict[str, Seat]]] = runtime().cache.setdefault("seats", {})
    known = kept.get(id(heard.rows))
    if known is not None and known[0] is heard.rows:
        return known[1]
    made = {
        user.extension: Seat(user.extension, user.name, user.email or "", (*user.numbers, user.mobile or ""))
        for user in heard.rows
        if user.extension is not None
    }
    while len(kept) >= REMEMBERED:
        kept.pop(next(iter(kept)), None)
    kept[id(heard.rows)] = heard.rows, made
    return made


def _directory(pbx: PbxSettings) -> Directory:
    """Whom a seat of this PBX may belong to; made anew when the settings or the portal's people have changed."""
    settings, state = rendering.current(), _people_state()
    kept: dict[tuple[int, str], tuple[Settings, object, Directory]] = runtime().cache.setdefault("directories", {})
    name = (g.portal.id, pbx.key)
    known = kept.get(name)
    if known is not None and known[0] is settings and known[1] == state:
        return known[2]
    elsewhere = {one.user_id for other in settings.pbxs if other.key != pbx.key for one in other.employees}
    phones = people.phones()
    made = Directory(
        (
            Person(one.user_id, one.name, one.email or "", one.inner_number or "", phones.get(one.user_id, ()))
            for one in people.everybody().active
        ),
        elsewhere,
    )
    kept.pop(name, None)
    while len(kept) >= REMEMBERED:
        kept.pop(next(iter(kept)), None)
    kept[name] = settings, state, made
    return made


def _people_state() -> tuple[int, int, datetime | None]:
    """Changes with every look at the portal's users and every dismissal: how many there are, how many are active, when they were seen."""
    active = func.count(case((PortalUser.active, 1)))
    query = select(func.count(), active, func.max(PortalUser.seen_at)).where(PortalUser.portal_id == g.portal.id)
    total, working, seen = db.session.execute(query).one()
    return total, working, seen


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
