"""Whether the portal accepts the application: the notice above every page of an administrator, and its button."""

from __future__ import annotations

from flask import Blueprint, Response, g, make_response, render_template

from bx24app.models import db, utcnow
from bx24app.portals import probes
from bx24app.web.base import rendering

blueprint = Blueprint("portal_state", __name__)


@blueprint.get("")
def show() -> Response:
    """The notice as it is now; the page asks for it behind each try of the application."""
    return _render_notice(is_checked=False)


@blueprint.post("/check")
def check() -> Response:
    """Ask the portal now."""
    portal_id, is_locked = g.portal.id, g.portal.state == "needs_admin"
    db.session.rollback()  # no transaction stays open while the portal answers
    if is_locked:
        probes.probe_now(portal_id)
    rendering.reload_portal()
    return _render_notice(is_checked=True)


def probe_seconds() -> int:
    """Seconds until the portal is asked next; 0: now."""
    at = g.portal.probe_at
    return max(0, round((at - utcnow()).total_seconds())) if at is not None else 0


def _render_notice(*, is_checked: bool) -> Response:
    rendering.load_settings()
    response = make_response(render_template("parts/portal_trouble.html", portal=g.portal, is_checked=is_checked))
    if not g.portal.trouble:
        response.headers["HX-Trigger"] = "portal-resumed"  # what else the page says of the portal is asked for again
    return response
