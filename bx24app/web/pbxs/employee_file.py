"""The page of the employee mapping as a file: download it as CSV, upload a file, preview what changes, apply it.

Nothing is saved before the preview was confirmed, and nothing if somebody saved other settings since.
"""

from __future__ import annotations

from collections import defaultdict
from contextlib import closing

from flask import Blueprint, Response, g, jsonify, request, url_for
from flask_babel import gettext

from bx24app import settings
from bx24app.domain.employees import csv_table
from bx24app.domain.employees.csv_table import EmployeeChange, ImportPreview, UserFinder
from bx24app.domain.settings import PbxSettings
from bx24app.models import Portal, audit, db
from bx24app.portals import directory as portal_directory
from bx24app.portals import lookup
from bx24app.portals.directory import DirectoryEntry
from bx24app.web.base import call_counts, directory, rendering, session
from bx24app.web.base.session import Ticket
from bx24app.web.pbxs import requested_pbx
from bx24app.web.settings import saving

blueprint = Blueprint("employee_file", __name__)
PREVIEW_LIMIT = 200
"""How many changes the preview lists; all are counted."""


@blueprint.get("")
def show(key: str) -> Response:
    """The form in which a file is chosen."""
    return _render_page(requested_pbx.get_settings(key))


@blueprint.post("/out")
def issue_ticket(key: str) -> Response:
    """A ticket with which the mapping can be downloaded for one minute."""
    pbx = requested_pbx.get_settings(key)
    ticket = session.issue_ticket(Ticket(g.portal.id, g.frame.user_id, ticket_kind(pbx.key), 0))
    address = request.remote_addr or ""
    audit.record(g.portal.id, g.frame.user_id, "frame", "employees exported", address=address, pbx=pbx.key)
    db.session.commit()
    return jsonify(url=url_for("downloads.download_employees", key=pbx.key, ticket=ticket))


@blueprint.post("")
def preview_changes(key: str) -> Response:
    """What the chosen file would change."""
    pbx = requested_pbx.get_settings(key)
    upload, text = request.files.get("file"), request.form.get("text", "")
    if upload is not None and upload.filename:
        with closing(upload):  # a large upload is a temporary file
            text = csv_table.decode_content(upload.read())
    return _render_page(pbx, _preview_import(pbx, text), text)


@blueprint.post("/apply")
def apply_changes(key: str) -> Response:
    """Save the changes that the preview showed, if nobody saved settings since."""
    pbx = requested_pbx.get_settings(key)
    text = request.form.get("text", "")
    table = _preview_import(pbx, text)
    note = gettext("Employees of %(name)s imported", name=pbx.name or key)

    def replace_employees(data: saving.Document) -> None:
        row = next(row for row in data["pbxs"] if row["key"] == key)
        row["employees"] = csv_table.apply_changes(pbx.employees, table.changes)

    outcome = saving.save(replace_employees, note)
    if outcome.is_accepted:
        rendering.reload_portal()
        return _render_page(requested_pbx.get_settings(key), outcome=outcome)
    return _render_page(pbx, table, text, outcome, outcome.http_status)


def ticket_kind(key: str) -> str:
    """The purpose that a ticket for this download is issued for."""
    return f"employees {key}"


def export_csv(portal: Portal, key: str) -> str | None:
    """The mapping of one PBX as CSV; None: there is no such PBX."""
    pbx = settings.current(portal).by_key.get(key)
    if pbx is None:
        return None
    entries = portal_directory.load_entries(portal.id, [employee.user_id for employee in pbx.employees])
    by_id = {entry.user_id: entry for entry in entries}
    rows = []
    for employee in pbx.employees:
        entry = by_id.get(employee.user_id)
        email, name = (entry.email or "", entry.name or "") if entry is not None else ("", "")
        rows.append((employee.extension, str(employee.user_id), email, name, ", ".join(employee.numbers)))
    return csv_table.write_csv(rows)


def _preview_import(pbx: PbxSettings, text: str) -> ImportPreview:
    return csv_table.preview_import(text, pbx.by_extension, _build_user_finder())


def _build_user_finder() -> UserFinder:
    """Finds a user in the portal's directory: by id before e-mail before name. A name that several users have finds
    none of them."""
    entries = portal_directory.load_all_entries(g.portal.id)
    by_id = {entry.user_id: entry for entry in entries}
    by_email: dict[str, list[DirectoryEntry]] = defaultdict(list)
    by_name: dict[str, list[DirectoryEntry]] = defaultdict(list)
    for entry in entries:
        by_email[(entry.email or "").strip().lower()].append(entry)
        by_name[_normalise_name(entry.name or "")].append(entry)

    def find_user(user_id: str, email: str, name: str) -> int | str:
        if user_id:
            is_known = user_id.isdecimal() and len(user_id) < 10 and int(user_id) in by_id
            candidates = [by_id[int(user_id)]] if is_known else []
        elif email:
            candidates = by_email.get(email.lower(), [])
        else:
            candidates = by_name.get(_normalise_name(name), [])
        active = [entry for entry in candidates if entry.is_active]
        if len(active) == 1:
            return active[0].user_id
        return "several" if active else "inactive" if candidates else "unknown"

    return find_user


def _normalise_name(name: str) -> str:
    """First and last name in any order, in any case."""
    return " ".join(sorted(name.lower().split()))


def _render_page(
    pbx: PbxSettings,
    table: ImportPreview | None = None,
    text: str = "",
    outcome: saving.SaveResult | None = None,
    status: int = 200,
) -> Response:
    changes = table.changes if table is not None else ()
    removed_ids = [
        change.before.user_id for change in changes if change.kind == "removed" and change.before is not None
    ]
    shown = sorted(changes, key=_change_sort_key)[:PREVIEW_LIMIT]
    user_ids = [
        user_id for change in shown for user_id in (change.user_id, change.before.user_id if change.before else None)
    ]
    return rendering.render_response(
        "employee_file.html",
        "pbxs",
        status,
        pbx=pbx,
        row=lookup.find_pbx(g.portal.id, pbx.key),
        table=table,
        shown_changes=shown,
        counts={kind: sum(change.kind == kind for change in changes) for kind in ("added", "changed", "removed")},
        removed_calls=call_counts.count_calls_yesterday((), (), removed_ids) if removed_ids else 0,
        text=text,
        people=directory.by_ids(user_ids),
        version=saving.current_number(),
        message=outcome.message if outcome is not None else None,
        faults=outcome.faults if outcome is not None else (),
    )


def _change_sort_key(change: EmployeeChange) -> tuple[int, int, str]:
    """Removed mappings first, since they are what an administrator may regret."""
    return ("removed", "changed", "added").index(change.kind), len(change.extension), change.extension
