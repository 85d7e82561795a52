"""The backfill page: choose a period, watch its progress. A backfill continues when the page is left."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from flask import Blueprint, Response, g, make_response, render_template, request
from flask_babel import gettext
from werkzeug.exceptions import NotFound

from bx24app.calls.journal import search
from bx24app.calls.reconciliation import backfill
from bx24app.domain.settings import Settings
from bx24app.domain.working_hours import load_zone
from bx24app.models import audit, db, utcnow
from bx24app.web.base import rendering

blueprint = Blueprint("backfills", __name__)


@blueprint.get("")
def show() -> Response:
    """The form, and the latest backfills."""
    return _render_page(rendering.load_settings(), {})


@blueprint.get("/progress")
def show_progress() -> Response:
    """Only the table; the page polls it while a backfill runs."""
    return make_response(render_template("parts/backfills_progress.html", rows=backfill.list_progress(g.portal.id)))


@blueprint.post("")
def begin_backfill() -> Response:
    """Start or continue a period; whole days of the portal's time zone."""
    settings = rendering.load_settings()
    first, last = _parse_day("from"), _parse_day("to")
    faults = {name: str(gettext("Enter a date.")) for name, day in (("from", first), ("to", last)) if day is None}
    if first is None or last is None:
        return _render_page(settings, faults)
    zone = load_zone(settings.portal.timezone)
    start = datetime.combine(first, time(), zone).astimezone(UTC)
    end = datetime.combine(last + timedelta(days=1), time(), zone).astimezone(UTC)
    if start >= min(end, utcnow()):
        return _render_page(settings, {"to": str(gettext("The period is empty or has not started yet."))})
    try:
        ids = backfill.begin(
            g.portal.id, start, end, request.form.get("pbx") or None, bool(request.form.get("records"))
        )
    except backfill.InvalidBackfill:
        fault = str(gettext("Statistics require a PBX with its code and signature key."))
        return _render_page(settings, {"pbx": fault})
    details: dict[str, Any] = {"from": first.isoformat(), "to": last.isoformat(), "ids": ids}
    audit.record(g.frame.portal_id, g.frame.user_id, "frame", "backfill", **details)
    db.session.commit()
    rendering.reload_portal()
    return _render_page(rendering.load_settings(), {})


@blueprint.post("/<int:number>/stop")
def stop_backfill(number: int) -> Response:
    """Stop it where it is."""
    if not backfill.stop(g.portal.id, number):
        raise NotFound
    rendering.reload_portal()
    return _render_page(rendering.load_settings(), {})


def _parse_day(name: str) -> date | None:
    return search.parse_day(request.form.get(name, ""))


def _render_page(settings: Settings, faults: dict[str, str]) -> Response:
    rows = backfill.list_progress(g.portal.id)
    form = request.form
    values = {name: form.get(name, "") for name in ("from", "to", "pbx", "records")} if faults else {}
    pbxs = [(pbx.key, pbx.name or pbx.key) for pbx in settings.pbxs]
    return rendering.render_response("backfills.html", "home", rows=rows, pbxs=pbxs, faults=faults, values=values)
