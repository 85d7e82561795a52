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

from bx24app import settings
from bx24app.domain import document
from bx24app.models import SettingsVersion, db
from bx24app.portals import lifecycle
from bx24app.web.base import directory
from bx24app.web.base.parsing import parse_int
from bx24app.web.settings import differences as comparing
from bx24app.web.settings import validation
from bx24app.web.settings.validation import FieldFault

Document = dict[str, Any]
INVALID_STATUS = 200
"""Status of a form that was not saved: an answer like any other. A 422 would stand in the browser's console as a failed request."""


@dataclass(frozen=True)
class FormMessage:
    """What a form says on top: saved, nothing (was changed), conflict (with who, when and what), wrong (with sentences of no field).

    `differences`: of a conflict, what the others changed since the page was shown.
    """

    kind: str
    texts: list[str] = field(default_factory=list)
    author: str = ""
    saved_at: datetime | None = None
    note: str = ""
    differences: list[comparing.DifferenceRow] = field(default_factory=list)


@dataclass(frozen=True)
class SaveResult:
    """`faults`: what is wrong, by path in the document."""

    message: FormMessage
    faults: tuple[FieldFault, ...] = ()

    @property
    def is_accepted(self) -> bool:
        return self.message.kind in ("saved", "nothing")

    @property
    def http_status(self) -> int:
        """Of the HTTP answer."""
        return {"conflict": 409, "wrong": INVALID_STATUS}.get(self.message.kind, 200)


def current_number() -> int:
    """The version that a page shows and sends back; 0: nothing was ever saved."""
    version_id = g.portal.settings_version_id
    if version_id is None:
        return 0
    return db.session.scalar(select(SettingsVersion.number).where(SettingsVersion.id == version_id)) or 0


def save(change: Callable[[Document], None], note: str, shown: int | None = None, source: str = "frame") -> SaveResult:
    """Apply `change` to the present document and save it. `note` names it in the history, in the words of who saves.

    `shown`: the version that the change stands on; None: the one that the page sent back.
    """
    before = settings.current(g.portal)
    data = document.dump(before)
    change(data)
    found = validation.check_document(data)
    if isinstance(found, tuple):
        return SaveResult(FormMessage("wrong", [fault.message for fault in found if not fault.path]), found)
    keys = {key: pair for key, pair in found.keys.items() if pair[0] is not None}
    if found.settings == before and not keys:
        return SaveResult(FormMessage("nothing"))
    stands_on = _posted_number() if shown is None else shown
    options = {"author": g.frame.user_id, "source": source, "note": note, "expected_number": stands_on}
    try:
        settings.save(g.portal, found.settings, keys, **options)
    except settings.VersionConflict as conflict:
        db.session.rollback()
        return SaveResult(_conflict_message(stands_on, conflict.number))
    db.session.commit()
    lifecycle.queue_line_sync(g.portal.id)
    return SaveResult(FormMessage("saved"))


def current_document() -> Document:
    """The present document as plain data, for finding out where a fault of a changed one belongs."""
    return document.dump(settings.current(g.portal))


def _posted_number() -> int:
    raw = request.form.get("version", "")
    found = parse_int(raw)
    return -1 if found is None else found


def find_version(number: int) -> SettingsVersion | None:
    """One version of this portal."""
    rows = select(SettingsVersion).options(defer(SettingsVersion.document))  # large; who needs it asks `settings.of_version`, which remembers
    query = rows.where(SettingsVersion.portal_id == g.portal.id, SettingsVersion.number == number)
    return db.session.scalars(query).first()


def _conflict_message(shown: int, present: int) -> FormMessage:
    row, old = find_version(present), find_version(shown)
    if row is None:
        return FormMessage("conflict", author="", note="")
    who = directory.by_ids([row.author]).name(row.author) or gettext("The command line")
    before = settings.of_version(old.id if old is not None else None)
    differences = comparing.build_rows(before, settings.of_version(row.id)) if old is not None or shown == 0 else []
    return FormMessage("conflict", author=who, saved_at=row.created_at, note=row.note or gettext("settings"), differences=differences)
