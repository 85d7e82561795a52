"""PBXs in the frame: the list, connecting one (its key and salt are tried against Mango before anything is saved), its hook address."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from flask import Blueprint, Response, g, request
from flask_babel import gettext
from sqlalchemy import select
from werkzeug.exceptions import NotFound

from bx24app import portals
from bx24app.calls.reconciliation import backfill
from bx24app.domain.settings import Pbx as PbxSettings
from bx24app.domain.settings import Settings
from bx24app.infra.encryption import masked
from bx24app.infra.runtime import runtime
from bx24app.mango.api_types import Check
from bx24app.models import Pbx, db, utcnow
from bx24app.settings import hook_keys
from bx24app.web.base import call_counts, directory, rendering
from bx24app.web.pbxs import employees, mango_inventory, pbx_form
from bx24app.web.pbxs.pbx_form import Form
from bx24app.web.settings import saving
from bx24app.web.settings.saving import Document, Outcome, Said

blueprint = Blueprint("pbxs", __name__)


@blueprint.get("")
def show() -> Response:
    """The list."""
    settings = rendering.current()
    rows = _rows()
    return rendering.show(
        "pbxs.html",
        "pbxs",
        settings=settings,
        rows=rows,
        calls=call_counts.calls_today(),
        people=directory.of(_defaults(settings)),
    )


@blueprint.get("/new")
def new() -> Response:
    """The form for another PBX."""
    return _form(Form(), None)


@blueprint.post("")
def create() -> Response:
    """Connect a PBX: try its keys, save it with the lines that Mango names, show its hook address."""
    settings = rendering.current()
    form = pbx_form.posted()
    pbx_form.complete(form, stored=False)
    if form.key and not re.fullmatch(r"[a-z0-9-]{1,20}", form.key):
        form.faults.setdefault("key", gettext("Up to 20 small Latin letters, digits and hyphens."))
    elif form.key in settings.by_key:
        form.faults["key"] = gettext("Another PBX has this short name.")
    met = pbx_form.tried(form)
    if form.faults or met.state != "ok":
        return _form(form, None, Outcome(pbx_form.wrong(met)), status=saving.WRONG)
    lines = [{"number": line.number, "name": line.name} for line in met.lines]
    taken = {line.number for pbx in settings.pbxs for line in pbx.lines}
    key = form.key or pbx_form.key_for(form.name, set(settings.by_key))
    added = pbx_form.as_document(form) | {"key": key, "lines": [line for line in lines if line["number"] not in taken]}
    outcome = saving.save(lambda data: data["pbxs"].append(added), gettext("PBX %(name)s connected", name=form.name))
    if not outcome.good:
        pbx_form.place(form, outcome, len(settings.pbxs))
        return _form(form, None, outcome, status=outcome.status)
    employees.accept_sure(key, shown=saving.number())
    return _page(key, connected=True)


@blueprint.get("/<key>")
def one(key: str) -> Response:
    """The page of one PBX: hook address, whether notifications arrive."""
    return _page(key)


@blueprint.get("/<key>/edit")
def edit(key: str) -> Response:
    """The form of a PBX that exists."""
    pbx = _settings_of(key)
    return _form(Form(pbx.name, pbx.key, pbx.dialects, default_user_id=pbx.default_user_id), _row(key))


@blueprint.post("/<key>")
def save(key: str) -> Response:
    """Save it; new keys are tried first, empty ones keep what is stored."""
    _settings_of(key)
    row, form = _row(key), pbx_form.posted()
    form.key = key
    pbx_form.complete(form, stored=bool(row.api_key))
    met = pbx_form.tried(form) if form.api_key or form.api_salt else Check("ok")
    if form.faults or met.state != "ok":
        return _form(form, _row(key), Outcome(pbx_form.wrong(met)), status=saving.WRONG)
    index = [pbx.key for pbx in rendering.current().pbxs].index(key)
    refused_since = row.refused_since if row.refused_count else None
    outcome = saving.save(
        lambda data: data["pbxs"][index].update(pbx_form.as_document(form)),
        gettext("PBX %(name)s changed", name=form.name),
    )
    if not outcome.good:
        pbx_form.place(form, outcome, index)
        return _form(form, _row(key), outcome, status=outcome.status)
    if form.api_key and refused_since is not None:
        _catch_up(key, refused_since)
    return _page(key, outcome.said)


def _catch_up(key: str, since: datetime) -> None:
    """The calls of the time in which notifications were refused are told afterwards, out of Mango's statistics."""
    portal_id, user_id = g.portal.id, g.frame.user_id
    ids = backfill.begin(portal_id, since - timedelta(minutes=5), utcnow(), key)
    portals.audit(portal_id, user_id, "frame", "backfill", pbx=key, since=since.isoformat(), why="new keys", rows=ids)
    db.session.commit()
    rendering.look_again()


@blueprint.get("/<key>/pulse")
def pulse(key: str) -> Response:
    """Only the light that says whether notifications arrive; asks again by itself."""
    return rendering.show("parts/pulse.html", "pbxs", row=_row(key))


@blueprint.route("/<key>/remove", methods=["GET", "POST"])
def remove(key: str) -> Response:
    """Tell in numbers what would stop; then, said once more, do it."""
    pbx, row = _settings_of(key), _row(key)
    if request.method == "GET" or request.form.get("confirm") != key:
        return rendering.show(
            "pbx_remove.html", "pbxs", pbx=pbx, row=row, version=saving.number(), calls=call_counts.calls_of_a_day(row.id)
        )

    def drop(data: Document) -> None:
        data["pbxs"] = [one for one in data["pbxs"] if one["key"] != key]

    outcome = saving.save(drop, gettext("PBX %(name)s removed", name=pbx.name or key))
    if not outcome.good:
        return rendering.show(
            "pbx_remove.html",
            "pbxs",
            outcome.status,
            pbx=pbx,
            row=_row(key),
            version=saving.number(),
            calls=call_counts.calls_of_a_day(_row(key).id),
            said=outcome.said,
        )
    return show()


@blueprint.route("/<key>/address", methods=["GET", "POST"])
def readdress(key: str) -> Response:
    """Say what another hook address means; then, said once more, make it."""
    pbx, row = _settings_of(key), _row(key)
    if request.method == "GET":
        return rendering.show("pbx_address.html", "pbxs", pbx=pbx, row=row, overlapping=_overlap(row))
    hook_keys.rotate(g.portal.id, key, request.form.get("shown", ""), g.frame.user_id)
    rendering.look_again()
    return _page(key)


def _overlap(row: Pbx) -> datetime | None:
    """Until when the address before works; None: there is none."""
    return row.old_hook_until if row.old_hook_until is not None and row.old_hook_until > utcnow() else None


def _form(form: Form, row: Pbx | None, outcome: Outcome | None = None, status: int = 200) -> Response:
    held = masked(row.api_key) if row is not None else ""
    return rendering.show(
        "pbx_form.html",
        "pbxs",
        status,
        form=form,
        fresh=row is None,
        held=held,
        version=saving.number(),
        said=outcome.said if outcome is not None else None,
        people=directory.of([form.default_user_id]),
    )


def _page(key: str, said: Said | None = None, connected: bool = False) -> Response:
    pbx, row = _settings_of(key), _row(key)
    return rendering.show(
        "pbx.html",
        "pbxs",
        pbx=pbx,
        row=row,
        part="connection",
        said=said,
        connected=connected,
        held=masked(row.api_key),
        overlap=_overlap(row),
        address=f"{runtime().config.public_url}/mango/{row.hook_key}",
        other_address=f"{runtime().config.public_url}/mango?pbx={row.hook_key}",
        people=directory.of([pbx.default_user_id, rendering.current().portal.default_user_id]),
        settings=rendering.current(),
    )


def _settings_of(key: str) -> PbxSettings:
    found = rendering.current().by_key.get(key)
    if found is None:
        raise NotFound
    return found


def _row(key: str) -> Pbx:
    found = mango_inventory.row(key)
    if found is None:
        raise NotFound
    return found


def _rows() -> dict[str, Pbx]:
    query = select(Pbx).where(Pbx.portal_id == g.portal.id, Pbx.removed_at.is_(None))
    return {row.key: row for row in db.session.scalars(query)}


def _defaults(settings: Settings) -> list[int | None]:
    return [settings.portal.default_user_id, *(pbx.default_user_id for pbx in settings.pbxs)]
