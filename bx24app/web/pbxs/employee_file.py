"""The employee mapping as a file: out as CSV, in with a preview of what will change. Nothing is saved before the preview was confirmed."""

from __future__ import annotations

from collections import defaultdict
from contextlib import closing

from flask import Blueprint, Response, g, jsonify, request, url_for
from flask_babel import gettext
from sqlalchemy import select
from werkzeug.exceptions import NotFound

from bx24app import settings
from bx24app.domain.employees import csv_table
from bx24app.domain.employees.csv_table import EmployeeChange, ImportPreview, UserFinder
from bx24app.domain.settings import PbxSettings
from bx24app.models import Portal, PortalUser, audit, db
from bx24app.web.base import call_counts, directory, rendering, session
from bx24app.web.base.session import Ticket
from bx24app.web.pbxs import mango_inventory
from bx24app.web.settings import saving

blueprint = Blueprint("employee_file", __name__)
PREVIEW_LIMIT = 200
"""Changes that the preview shows one by one; all are counted."""


@blueprint.get("")
def show(key: str) -> Response:
    """Where a file is chosen, and what it may hold."""
    return _render_page(_get_pbx_settings(key))


@blueprint.post("/out")
def issue_ticket(key: str) -> Response:
    """Leave to download the mapping for a minute."""
    pbx = _get_pbx_settings(key)
    ticket = session.issue_ticket(Ticket(g.portal.id, g.frame.user_id, ticket_kind(pbx.key), 0))
    address = request.remote_addr or ""
    audit.record(g.portal.id, g.frame.user_id, "frame", "employees exported", address=address, pbx=pbx.key)
    db.session.commit()
    return jsonify(url=url_for("downloads.download_employees", key=pbx.key, ticket=ticket))


@blueprint.post("")
def preview_changes(key: str) -> Response:
    """What the chosen file would change."""
    pbx = _get_pbx_settings(key)
    sent, text = request.files.get("file"), request.form.get("text", "")
    if sent is not None and sent.filename:
        with closing(sent):  # a large one lies in a file of its own
            text = csv_table.decode_content(sent.read())
    return _render_page(pbx, _preview_import(pbx, text), text)


@blueprint.post("/apply")
def apply_changes(key: str) -> Response:
    """Carry out what the preview showed, if nobody saved settings since."""
    pbx = _get_pbx_settings(key)
    text = request.form.get("text", "")
    reading = _preview_import(pbx, text)
    note = gettext("Employees of %(name)s from a file", name=pbx.name or key)

    def replace_employees(data: saving.Document) -> None:
        row = next(one for one in data["pbxs"] if one["key"] == key)
        row["employees"] = csv_table.apply_changes(pbx.employees, reading.changes)

    outcome = saving.save(replace_employees, note)
    if outcome.is_accepted:
        rendering.reload_portal()
        return _render_page(_get_pbx_settings(key), outcome=outcome)
    return _render_page(pbx, reading, text, outcome, outcome.http_status)


def ticket_kind(key: str) -> str:
    """What a ticket for this download is of."""
    return f"employees {key}"


def export_csv(portal: Portal, key: str) -> str | None:
    """The mapping of one PBX as CSV; None where there is no such PBX."""
    pbx = settings.current(portal).by_key.get(key)
    if pbx is None:
        return None
    ids = [one.user_id for one in pbx.employees]
    query = select(PortalUser).where(PortalUser.portal_id == portal.id, PortalUser.user_id.in_(ids))
    known = {row.user_id: row for row in db.session.scalars(query)}
    rows = []
    for one in pbx.employees:
        row = known.get(one.user_id)
        who = (row.email or "", row.name or "") if row is not None else ("", "")
        rows.append((one.extension, str(one.user_id), *who, ", ".join(one.numbers)))
    return csv_table.write_csv(rows)


def _preview_import(pbx: PbxSettings, text: str) -> ImportPreview:
    return csv_table.preview_import(text, pbx.by_extension, _build_user_finder())


def _build_user_finder() -> UserFinder:
    """Who is meant, by the portal's directory: id before e-mail before name; a name that several have is nobody's."""
    rows = list(db.session.scalars(select(PortalUser).where(PortalUser.portal_id == g.portal.id)))
    by_id = {row.user_id: row for row in rows}
    by_mail: dict[str, list[PortalUser]] = defaultdict(list)
    by_name: dict[str, list[PortalUser]] = defaultdict(list)
    for row in rows:
        by_mail[(row.email or "").strip().lower()].append(row)
        by_name[" ".join(sorted((row.name or "").lower().split()))].append(row)

    def find_user(user_id: str, email: str, name: str) -> int | str:
        if user_id:
            found = [by_id[int(user_id)]] if user_id.isdecimal() and len(user_id) < 10 and int(user_id) in by_id else []
        elif email:
            found = by_mail.get(email.lower(), [])
        else:
            found = by_name.get(" ".join(sorted(name.lower().split())), [])
        active = [row for row in found if row.active]
        if len(active) == 1:
            return active[0].user_id
        return "several" if active else "inactive" if found else "unknown"

    return find_user


def _render_page(
    pbx: PbxSettings, reading: ImportPreview | None = None, text: str = "", outcome: saving.SaveResult | None = None, status: int = 200
) -> Response:
    changes = reading.changes if reading is not None else ()
    gone = [one.before.user_id for one in changes if one.kind == "removed" and one.before is not None]
    ids = [user for one in changes[:PREVIEW_LIMIT] for user in (one.user_id, one.before.user_id if one.before else None)]
    return rendering.render_response(
        "mapping_file.html",
        "pbxs",
        status,
        pbx=pbx,
        row=mango_inventory.find_pbx(pbx.key),
        reading=reading,
        shown=sorted(changes, key=_change_sort_key)[:PREVIEW_LIMIT],
        counts={kind: sum(one.kind == kind for one in changes) for kind in ("added", "changed", "removed")},
        stopped=call_counts.count_calls_yesterday((), (), gone) if gone else 0,
        text=text,
        people=directory.by_ids(ids),
        version=saving.current_number(),
        said=outcome.message if outcome is not None else None,
        faults=outcome.faults if outcome is not None else (),
    )


def _change_sort_key(one: EmployeeChange) -> tuple[int, int, str]:
    """What is lost stands first."""
    return ("removed", "changed", "added").index(one.kind), len(one.extension), one.extension


def _get_pbx_settings(key: str) -> PbxSettings:
    found = rendering.load_settings().by_key.get(key)
    if found is None:
        raise NotFound
    return found
