"""The pages of the PBXs: the list, connecting and changing one, its hook address, removing it.

Key and salt are tried at Mango before anything is saved. Each change is one new version of the settings.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from flask import Blueprint, Response, g, request
from flask_babel import gettext

from bx24app.calls.reconciliation import backfill
from bx24app.domain import phone
from bx24app.domain.settings import Settings
from bx24app.infra.encryption import mask_secret
from bx24app.infra.runtime import runtime
from bx24app.mango.api_types import CredentialCheck
from bx24app.models import Pbx, audit, db, utcnow
from bx24app.portals import lookup
from bx24app.settings import hook_keys
from bx24app.web.base import call_counts, directory, rendering
from bx24app.web.pbxs import dialect_texts, employees, pbx_form, requested_pbx, typed_keys
from bx24app.web.pbxs.missing_lines import explain_missing_lines
from bx24app.web.pbxs.pbx_form import PbxForm
from bx24app.web.settings import saving
from bx24app.web.settings.saving import Document, FormMessage, SaveResult

blueprint = Blueprint("pbxs", __name__)


@blueprint.get("")
def show() -> Response:
    """The list."""
    settings = rendering.load_settings()
    rows = lookup.load_pbxs(g.portal.id)
    return rendering.render_response(
        "pbxs.html",
        "pbxs",
        settings=settings,
        rows=rows,
        calls=call_counts.count_calls_today(),
        people=directory.by_ids(_default_user_ids(settings)),
    )


@blueprint.get("/new")
def new_form() -> Response:
    """The form for another PBX."""
    return _render_form(PbxForm(), None)


@blueprint.post("")
def create() -> Response:
    """Connect a PBX: try its keys, save it with the lines that Mango lists, show its hook address."""
    settings = rendering.load_settings()
    form = pbx_form.read_form()
    pbx_form.check_required(form, stored=False)
    if form.key and not re.fullmatch(r"[a-z0-9-]{1,20}", form.key):
        form.faults.setdefault("key", gettext("Up to 20 lower-case Latin letters, digits and hyphens."))
    elif form.key in settings.by_key:
        form.faults["key"] = gettext("Another PBX has this short name.")
    typed_keys.check_typed(form)
    check = pbx_form.check_keys(form)
    if form.faults or form.doubts or check.state != "ok":
        return _render_form(form, None, SaveResult(pbx_form.check_message(check)), status=saving.INVALID_STATUS)
    lines = [{"number": line.number, "name": line.name} for line in check.lines]
    taken = {phone.line_key(line.number): pbx.name or pbx.key for pbx in settings.pbxs for line in pbx.lines}
    key = form.key or pbx_form.make_key(form.name, set(settings.by_key))
    free = [line for line in lines if phone.line_key(line["number"]) not in taken]
    added = pbx_form.as_document(form) | {"key": key, "lines": free}
    outcome = saving.save(lambda data: data["pbxs"].append(added), gettext("PBX %(name)s connected", name=form.name))
    if not outcome.is_accepted:
        pbx_form.assign_faults(form, outcome, len(settings.pbxs))
        typed_keys.mark_same_pbx(form)
        return _render_form(form, None, outcome, status=outcome.http_status)
    employees.accept_certain_suggestions(key, shown=saving.current_number())
    owners = dict.fromkeys(taken[number] for line in lines if (number := phone.line_key(line["number"])) in taken)
    return _render_page(key, connected=True, why_no_lines=explain_missing_lines(check, [*owners]))


@blueprint.get("/<key>")
def show_pbx(key: str) -> Response:
    """The page of one PBX: its hook address, and whether notifications arrive."""
    return _render_page(key)


@blueprint.get("/<key>/edit")
def edit_form(key: str) -> Response:
    """The form of a connected PBX."""
    pbx = requested_pbx.get_settings(key)
    return _render_form(
        PbxForm(pbx.name, pbx.key, pbx.dialects, default_user_id=pbx.default_user_id), requested_pbx.get_row(key)
    )


@blueprint.post("/<key>")
def save(key: str) -> Response:
    """Save the form. New keys are tried first; empty fields keep the stored keys."""
    requested_pbx.get_settings(key)
    row, form = requested_pbx.get_row(key), pbx_form.read_form()
    form.key = form.own_key = key
    pbx_form.check_required(form, stored=row.api_key is not None)
    typed_keys.check_typed(form)
    check = pbx_form.check_keys(form) if form.api_key or form.api_salt else CredentialCheck("ok")
    if form.faults or form.doubts or check.state != "ok":
        return _render_form(
            form, requested_pbx.get_row(key), SaveResult(pbx_form.check_message(check)), status=saving.INVALID_STATUS
        )
    index = [pbx.key for pbx in rendering.load_settings().pbxs].index(key)
    refused_since = row.refused_since if row.refused_count else None
    outcome = saving.save(
        lambda data: data["pbxs"][index].update(pbx_form.as_document(form)),
        gettext("PBX %(name)s changed", name=form.name),
    )
    if not outcome.is_accepted:
        pbx_form.assign_faults(form, outcome, index)
        typed_keys.mark_same_pbx(form)
        return _render_form(form, requested_pbx.get_row(key), outcome, status=outcome.http_status)
    if form.api_key and refused_since is not None:
        _start_backfill(key, refused_since)
    return _render_page(key, outcome.message)


def _start_backfill(key: str, since: datetime) -> None:
    """Load the calls of the time in which notifications were refused from Mango's statistics."""
    portal_id, user_id = g.portal.id, g.frame.user_id
    ids = backfill.begin(portal_id, since - timedelta(minutes=5), utcnow(), key)
    audit.record(portal_id, user_id, "frame", "backfill", pbx=key, since=since.isoformat(), why="new keys", rows=ids)
    db.session.commit()
    rendering.reload_portal()


@blueprint.get("/<key>/pulse")
def show_notification_state(key: str) -> Response:
    """The part of the page that says whether notifications arrive. The browser reloads it by itself."""
    rendering.load_settings()  # its times are in the portal's zone, as when the page was opened
    return rendering.render_response("parts/pulse.html", "pbxs", row=requested_pbx.get_row(key))


@blueprint.route("/<key>/remove", methods=["GET", "POST"])
def remove(key: str) -> Response:
    """Say in numbers what would stop; remove the PBX once the form confirms it."""
    pbx, row = requested_pbx.get_settings(key), requested_pbx.get_row(key)
    if request.method == "GET" or request.form.get("confirm") != key:
        return rendering.render_response(
            "pbx_remove.html",
            "pbxs",
            pbx=pbx,
            row=row,
            version=saving.current_number(),
            calls=call_counts.count_calls_last_day(row.id),
        )

    def drop_pbx(data: Document) -> None:
        data["pbxs"] = [row for row in data["pbxs"] if row["key"] != key]

    outcome = saving.save(drop_pbx, gettext("PBX %(name)s removed", name=pbx.name or key))
    if not outcome.is_accepted:
        return rendering.render_response(
            "pbx_remove.html",
            "pbxs",
            outcome.http_status,
            pbx=pbx,
            row=requested_pbx.get_row(key),
            version=saving.current_number(),
            calls=call_counts.count_calls_last_day(requested_pbx.get_row(key).id),
            message=outcome.message,
        )
    return show()


@blueprint.route("/<key>/address", methods=["GET", "POST"])
def rotate_address(key: str) -> Response:
    """Explain what a new hook address means; make it when the form is posted."""
    pbx, row = requested_pbx.get_settings(key), requested_pbx.get_row(key)
    if request.method == "GET":
        return rendering.render_response(
            "pbx_address.html", "pbxs", pbx=pbx, row=row, old_address_until=_old_address_until(row)
        )
    hook_keys.rotate(g.portal.id, key, request.form.get("shown", ""), g.frame.user_id)
    rendering.reload_portal()
    return _render_page(key)


def _old_address_until(row: Pbx) -> datetime | None:
    """Until when the previous address works; None: there is none."""
    return row.old_hook_until if row.old_hook_until is not None and row.old_hook_until > utcnow() else None


def _render_form(form: PbxForm, row: Pbx | None, outcome: SaveResult | None = None, status: int = 200) -> Response:
    return rendering.render_response(
        "pbx_form.html",
        "pbxs",
        status,
        form=form,
        is_new=row is None,
        masked_key=mask_secret(row.api_key) if row is not None else "",
        dialects=dialect_texts.all_texts(),
        version=saving.current_number(),
        message=outcome.message if outcome is not None else None,
        people=directory.by_ids([form.default_user_id]),
    )


def _render_page(
    key: str, message: FormMessage | None = None, connected: bool = False, why_no_lines: str = ""
) -> Response:
    pbx, row = requested_pbx.get_settings(key), requested_pbx.get_row(key)
    return rendering.render_response(
        "pbx.html",
        "pbxs",
        pbx=pbx,
        row=row,
        part="connection",
        dialect_text=dialect_texts.text_of,
        message=message,
        connected=connected,
        why_no_lines=why_no_lines,
        masked_key=mask_secret(row.api_key),
        old_address_until=_old_address_until(row),
        address=f"{runtime().config.public_url}/mango/{row.hook_key}",
        other_address=f"{runtime().config.public_url}/mango?pbx={row.hook_key}",
        people=directory.by_ids([pbx.default_user_id, rendering.load_settings().portal.default_user_id]),
        settings=rendering.load_settings(),
    )


def _default_user_ids(settings: Settings) -> list[int | None]:
    return [settings.portal.default_user_id, *(pbx.default_user_id for pbx in settings.pbxs)]
