"""Page: the handling of calls that no rule matches (sections `portal` and `calls` of the settings document)."""

from __future__ import annotations

from typing import Any
from zoneinfo import available_timezones

from flask import Blueprint, Response, g, request
from flask_babel import gettext

from bx24app.bitrix24.errors import NeedsAdmin, PortalError
from bx24app.domain import document
from bx24app.models import db
from bx24app.portals import outgoing_line
from bx24app.web.base import directory, rendering
from bx24app.web.base.parsing import parse_int
from bx24app.web.settings import saving
from bx24app.web.settings.saving import Document, SaveResult

blueprint = Blueprint("policy", __name__)
CHOICE_KEYS = ("answered", "missed", "outgoing", "transfer_responsible", "card", "hidden_number", "internal_calls")
"""Keys of `calls` whose value is one of a few words."""


@blueprint.get("")
def show() -> Response:
    """The page."""
    return _render_page(document.dump(rendering.load_settings()))


@blueprint.post("")
def save() -> Response:
    """Save what the form sends; what it does not send stays."""
    typed = document.dump(rendering.load_settings())
    _apply_form(typed)
    outcome = saving.save(_apply_form, gettext("Call handling changed"))
    return _render_page(document.dump(rendering.load_settings()) if outcome.is_accepted else typed, outcome)


@blueprint.post("/outgoing")
def reload_outgoing_line() -> Response:
    """Ask the portal for its outgoing line again.

    Only that part of the page is replaced, so that unsaved changes of the form stay.
    """
    portal_id, problem = g.portal.id, ""
    db.session.rollback()  # no transaction is open while the portal is asked
    try:
        outgoing_line.fetch(portal_id)
    except PortalError as error:
        problem = rendering.needs_admin_text(error.code) if isinstance(error, NeedsAdmin) else str(error)
    rendering.reload_portal()
    return rendering.render_response("parts/outgoing.html", "policy", **_portal_context() | {"problem": problem})


def _portal_context() -> dict[str, Any]:
    """What is chosen in the portal itself, as it was last read."""
    collisions = outgoing_line.find_collisions(g.portal.id)
    return {
        "outgoing": outgoing_line.state_for(g.portal.id, rendering.load_settings()),
        "collisions": collisions,
        "collision_people": directory.by_ids(collision.user_id for collision in collisions),
        "problem": "",
    }


def _apply_form(data: Document) -> None:
    form = request.form
    for name in CHOICE_KEYS:
        if name in form:
            data["calls"][name] = form[name]
    if "attach" in form:
        data["calls"]["recordings"]["attach"] = form["attach"]
    if "min_seconds" in form:
        text = form["min_seconds"].strip() or "0"
        data["calls"]["recordings"]["min_seconds"] = int(text) if text.isdecimal() and len(text) < 7 else text
    if "timezone" in form:
        data["portal"]["timezone"] = form["timezone"].strip()
    user_id = parse_int(form.get("default_user_id", ""))
    if user_id is not None:
        data["portal"]["default_user_id"] = user_id


def _render_page(data: dict[str, Any], outcome: SaveResult | None = None) -> Response:
    faults = {fault.path.rpartition(".")[2]: fault.message for fault in outcome.faults} if outcome is not None else {}
    return rendering.render_response(
        "policy.html",
        "policy",
        outcome.http_status if outcome is not None else 200,
        calls=data["calls"],
        default_user_id=data["portal"]["default_user_id"],
        timezone=data["portal"]["timezone"],
        zones=sorted(available_timezones()),
        has_leads=g.portal.crm_mode != 2,
        people=directory.by_ids([data["portal"]["default_user_id"]]),
        faults=faults,
        version=saving.current_number(),
        message=outcome.message if outcome is not None else None,
        **_portal_context(),
    )
