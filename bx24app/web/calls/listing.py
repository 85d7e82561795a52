"""The list of calls: who may see which, and what one page of the list needs.

The journal, the overview and the export use it.
"""

from __future__ import annotations

from typing import Any

from flask import g, request

from bx24app.calls.journal import lookup, search
from bx24app.calls.journal.search import CallFilter, Cursor
from bx24app.domain.settings import Settings
from bx24app.models import Call, db
from bx24app.web.base import directory, rendering
from bx24app.web.base.i18n import current_timezone, format_phone

ENTITIES = ("lead", "deal", "contact", "company")


def visible_user_id() -> int | None:
    """The user whose calls alone are shown; None: all calls of the portal, for administrators."""
    return None if g.frame.is_admin else g.frame.user_id


def read_filter() -> CallFilter:
    """The filter of this request. Only administrators choose an employee."""
    wanted = CallFilter.from_params(request.args)
    return wanted if g.frame.is_admin else CallFilter.from_params({**wanted.as_params(), "employee": ""})


def load_listing() -> dict[str, Any]:
    """Template variables of the list, for a whole page or for more rows."""
    settings, wanted = rendering.load_settings(), read_filter()
    below = Cursor.from_text(request.args.get("below", ""))
    page = search.find_calls(db.session(), g.portal.id, wanted, current_timezone(), visible_user_id(), below)
    return {
        "rows": page.calls,
        "recordings": lookup.load_recordings(row.id for row in page.calls),
        "lines": {row.id: _format_line(line_name(settings, row)) for row in page.calls},
        "records": {row.id: main_record(row) for row in page.calls},
        "people": directory.by_ids([wanted.employee, *(row.user_id or row.responsible_id for row in page.calls)]),
        "filter": wanted,
        "params": wanted.as_params(),
        "settings": settings,
        "next_cursor": str(page.next_cursor) if page.next_cursor is not None else "",
        "scanned_to": page.scanned_to,
        "has_several_pbxs": len(settings.pbxs) > 1,
    }


def main_record(call: Call) -> tuple[str, int, str] | None:
    """(entity, id, path in the portal) of the most telling record: one that the call created, else one that it is bound
    to.
    """
    records = sorted(call.crm or (), key=lambda row: (not row.get("created"), _entity_rank(str(row["entity"]))))
    if not records:
        return None
    entity, number = str(records[0]["entity"]), int(records[0]["id"])
    return entity, number, record_path(entity, number)


def _entity_rank(entity: str) -> int:
    return ("deal", "lead", "contact", "company").index(entity) if entity in ENTITIES else -1


def record_path(entity: str, number: int) -> str:
    """The path in the portal that shows a record; `entity` may be the number of a smart process."""
    return f"/crm/{entity}/details/{number}/" if entity in ENTITIES else f"/crm/type/{entity}/details/{number}/"


def _format_line(line: str) -> str:
    return format_phone(line) if line.lstrip("+").isdecimal() else line


def line_name(settings: Settings, call: Call) -> str:
    """The name of a call's line, else its number."""
    pbx = settings.by_key.get(call.pbx_key)
    for line in pbx.lines if pbx is not None else ():
        if call.line_number in (line.number, line.bitrix_number):
            return line.name or line.number
    return call.line_number or ""
