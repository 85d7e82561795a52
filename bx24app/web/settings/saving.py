"""How pages save settings: a change is applied to the present document, and `bx24app.settings.save` saves the result.

Every page that edits a part of the settings calls `save` with a function that changes the document. A page sends only
what it showed: the rest stays, and a POST without fields changes nothing. Faults and conflicts are returned in the
words of pages.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from flask import g, request
from flask_babel import gettext

from bx24app import settings
from bx24app.domain import document
from bx24app.domain.document import DocumentError
from bx24app.portals import lifecycle
from bx24app.portals.user_directory import StoredDirectory
from bx24app.settings.save import save_document
from bx24app.web.base import directory, rendering
from bx24app.web.base.parsing import parse_int
from bx24app.web.settings import differences
from bx24app.web.settings.differences import DifferenceRow
from bx24app.web.settings.fault_messages import describe_fault

Document = dict[str, Any]
INVALID_STATUS = 200
"""Status of a form with faults. A browser would report a 422 in its console as a failed request."""


@dataclass(frozen=True, slots=True)
class FieldFault:
    """`path`: as in the document, `pbxs[0].lines[1].name`; empty: of no field. `message`: in the page's language."""

    path: str
    message: str


@dataclass(frozen=True)
class FormMessage:
    """The message on top of a form.

    `kind`: saved, nothing (was changed), conflict (with who, when and what), wrong (with `texts`).
    `differences`: in a conflict, what others changed since the page was shown.
    `wait_seconds`: when something wrong can be tried again; the page counts down.
    """

    kind: str
    texts: list[str] = field(default_factory=list)
    author: str = ""
    saved_at: datetime | None = None
    note: str = ""
    differences: list[DifferenceRow] = field(default_factory=list)
    wait_seconds: int = 0


@dataclass(frozen=True)
class SaveResult:
    """What became of a form. `faults`: what is wrong with its values."""

    message: FormMessage
    faults: tuple[FieldFault, ...] = ()

    @property
    def is_accepted(self) -> bool:
        return self.message.kind in ("saved", "nothing")

    @property
    def http_status(self) -> int:
        """Status of the page that shows the result."""
        return {"conflict": 409, "wrong": INVALID_STATUS}.get(self.message.kind, 200)


def current_number() -> int:
    """The version that a page shows and sends back; 0: nothing was ever saved."""
    return settings.current_number(g.portal)


def save(change: Callable[[Document], None], note: str, shown: int | None = None, source: str = "frame") -> SaveResult:
    """Apply `change` to the present document and save it. `note` names it in the history, in the author's words.

    `shown`: the version that the change is based on; None: the one that the page sent back.
    """
    data = current_document()
    change(data)
    base = _posted_number() if shown is None else shown
    portal_id = g.portal.id
    author = g.frame.user_id
    try:
        outcome = save_document(
            portal_id, data, StoredDirectory(portal_id), author=author, source=source, note=note, base_number=base
        )
    except DocumentError as error:
        rendering.reload_portal()
        faults = tuple(FieldFault(fault.path, describe_fault(fault)) for fault in error.faults)
        return SaveResult(FormMessage("wrong", [fault.message for fault in faults if not fault.path]), faults)
    except settings.VersionConflict as conflict:
        rendering.reload_portal()
        return SaveResult(_conflict_message(base, conflict.number))
    rendering.reload_portal()
    if outcome.number is None:
        return SaveResult(FormMessage("nothing"))
    lifecycle.queue_line_sync(portal_id)
    return SaveResult(FormMessage("saved"))


def current_document() -> Document:
    """The present document as plain data."""
    return document.dump(settings.current(g.portal))


def _posted_number() -> int:
    number = parse_int(request.form.get("version", ""))
    return -1 if number is None else number


def _conflict_message(shown: int, present: int) -> FormMessage:
    row, base = settings.find_version(g.portal.id, present), settings.find_version(g.portal.id, shown)
    if row is None:
        return FormMessage("conflict", author="", note="")
    author = directory.by_ids([row.author]).name(row.author) or gettext("The command line")
    before = settings.of_version(base.id if base is not None else None)
    rows = differences.build_rows(before, settings.of_version(row.id)) if base is not None or shown == 0 else []
    note = row.note or gettext("settings")
    return FormMessage("conflict", author=author, saved_at=row.created_at, note=note, differences=rows)
