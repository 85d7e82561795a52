"""The list of calls: what a page of it shows, for whom, and its export."""

from __future__ import annotations

from typing import Any

from flask import g, request
from sqlalchemy import select

from bx24app.calls.journal import search
from bx24app.calls.journal.search import CallFilter, Cursor
from bx24app.domain.settings import Settings
from bx24app.models import Call, Recording, db
from bx24app.web.base import directory, rendering
from bx24app.web.base.i18n import current_timezone, format_phone

ENTITIES = ("lead", "deal", "contact", "company")


def visible_user_id() -> int | None:
    """Whose calls alone are shown; None: all of the portal, to its administrators."""
    return None if g.frame.is_admin else g.frame.user_id


def read_filter() -> CallFilter:
    """The filter of this request. Only administrators choose an employee."""
    found = CallFilter.from_params(request.args)
    return found if g.frame.is_admin else CallFilter.from_params({**found.as_params(), "employee": ""})


def load_listing() -> dict[str, Any]:
    """Everything that the list shows, for a page or for more rows."""
    settings, wanted = rendering.load_settings(), read_filter()
    below = Cursor.from_text(request.args.get("below", ""))
    found = search.find_calls(db.session(), g.portal.id, wanted, current_timezone(), visible_user_id(), below)
    tapes = select(Recording).where(Recording.call_id.in_([row.id for row in found.calls])).order_by(Recording.id)
    by_call: dict[int, list[Recording]] = {}
    for tape in db.session.scalars(tapes) if found.calls else ():
        by_call.setdefault(tape.call_id, []).append(tape)
    return {
        "rows": found.calls,
        "tapes": by_call,
        "lines": {row.id: _format_line(line_name(settings, row)) for row in found.calls},
        "records": {row.id: main_record(row) for row in found.calls},
        "people": directory.by_ids([wanted.employee, *(row.user_id or row.responsible_id for row in found.calls)]),
        "filter": wanted,
        "asked": wanted.as_params(),
        "settings": settings,
        "next": str(found.next_cursor) if found.next_cursor is not None else "",
        "looked": found.scanned_to,
        "several": len(settings.pbxs) > 1,
    }


def main_record(call: Call) -> tuple[str, int, str] | None:
    """(entity, id, path in the portal) of the record that tells most of the call: what it made, else what it was bound to."""
    found = sorted(call.crm or (), key=lambda one: (not one.get("created"), _entity_rank(str(one["entity"]))))
    if not found:
        return None
    entity, number = str(found[0]["entity"]), int(found[0]["id"])
    return entity, number, record_path(entity, number)


def _entity_rank(entity: str) -> int:
    return ("deal", "lead", "contact", "company").index(entity) if entity in ENTITIES else -1


def record_path(entity: str, number: int) -> str:
    """Where the portal shows a record; `entity` may be the number of a smart process."""
    return f"/crm/{entity}/details/{number}/" if entity in ENTITIES else f"/crm/type/{entity}/details/{number}/"


def _format_line(line: str) -> str:
    return format_phone(line) if line.lstrip("+").isdecimal() else line


def line_name(settings: Settings, call: Call) -> str:
    """The line of a call as people know it."""
    pbx = settings.by_key.get(call.pbx_key)
    for line in pbx.lines if pbx is not None else ():
        if call.line_number in (line.number, line.bitrix_number):
            return line.name or line.number
    return call.line_number or ""
