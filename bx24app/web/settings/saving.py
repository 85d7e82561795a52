"""One way to save from a page: the change is applied to the present document, checked whole, and written under the version that the page showed.

A page sends what it showed, not the whole document: what it did not show stays, and a POST without fields changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from flask import g, request
from flask_babel import gettext
from sqlalchemy import select
from sqlalchemy.orm import defer

from bx24app import portals, settings
from bx24app.domain import document
from bx24app.models import SettingsVersion, db
from bx24app.web.base import directory
from bx24app.web.base.parsing import whole
from bx24app.web.settings import differences as comparing
from bx24app.web.settings import validation
from bx24app.web.settings.validation import Fault

Document = dict[str, Any]
WRONG = 200
"""Status of a form that was not saved: an answer like any other. A 422 would stand in the browser's console as a failed request."""


@dataclass(frozen=True)
class Said:
    """What a form says on top: saved, nothing (was changed), conflict (with who, when and what), wrong (with sentences of no field).

    `differences`: of a conflict, what the others changed since the page was shown.
    """

    kind: str
    words: list[str] = field(default_factory=list)
    who: str = ""
    at: datetime | None = None
    note: str = ""
    differences: list[comparing.Row] = field(default_factory=list)


@dataclass(frozen=True)
class Outcome:
    """`faults`: what is wrong, by path in the document."""

    said: Said
    faults: tuple[Fault, ...] = ()

    @property
    def good(self) -> bool:
        return self.said.kind in ("saved", "nothing")

    @property
    def status(self) -> int:
        """Of the HTTP answer."""
        return {"conflict": 409, "wrong": WRONG}.get(self.said.kind, 200)


def number() -> int:
    """The version that a page shows and sends back; 0: nothing was ever saved."""
    version_id = g.portal.settings_version_id
    if version_id is None:
        return 0
    return db.session.scalar(select(SettingsVersion.number).where(SettingsVersion.id == version_id)) or 0


def save(change: Callable[[Document], None], note: str, shown: int | None = None, source: str = "frame") -> Outcome:
    """Apply `change` to the present document and save it. `note` names it in the history, in the words of who saves.

    `shown`: the version that the change stands on; None: the one that the page sent back.
    """
    before = settings.current(g.portal)
    data = document.dump(before)
    change(data)
    found = validation.check(data)
    if isinstance(found, tuple):
        return Outcome(Said("wrong", [fault.words for fault in found if not fault.path]), found)
    keys = {key: pair for key, pair in found.keys.items() if pair[0] is not None}
    if found.settings == before and not keys:
        return Outcome(Said("nothing"))
    stands_on = _shown() if shown is None else shown
    options = {"author": g.frame.user_id, "source": source, "note": note, "expected_number": stands_on}
    try:
        settings.save(g.portal, found.settings, keys, **options)
    except settings.Conflict as conflict:
        db.session.rollback()
        return Outcome(_conflict(stands_on, conflict.number))
    db.session.commit()
    portals.lines_follow(g.portal.id)
    return Outcome(Said("saved"))


def present() -> Document:
    """The present document as plain data, for finding out where a fault of a changed one belongs."""
    return document.dump(settings.current(g.portal))


def _shown() -> int:
    raw = request.form.get("version", "")
    found = whole(raw)
    return -1 if found is None else found


def version(number: int) -> SettingsVersion | None:
    """One version of this portal."""
    rows = select(SettingsVersion).options(defer(SettingsVersion.document))  # large; who needs it asks `settings.of_version`, which remembers
    query = rows.where(SettingsVersion.portal_id == g.portal.id, SettingsVersion.number == number)
    return db.session.scalars(query).first()


def _conflict(shown: int, present: int) -> Said:
    row, old = version(present), version(shown)
    if row is None:
        return Said("conflict", who="", note="")
    who = directory.of([row.author]).name(row.author) or gettext("The command line")
    before = settings.of_version(old.id if old is not None else None)
    differences = comparing.rows(before, settings.of_version(row.id)) if old is not None or shown == 0 else []
    return Said("conflict", who=who, at=row.created_at, note=row.note or gettext("settings"), differences=differences)
