"""`/` and `/install`: the pages that a portal opens in its frame, what a visitor without a portal sees there, and
session renewal.

Every opening is verified by `portals.frame_auth` before anything is shown.
"""

from __future__ import annotations

from flask import Blueprint, Response, current_app, g, jsonify, make_response, render_template, request

from bx24app.bitrix24 import errors as portal_errors
from bx24app.bitrix24.inbound import FramePost, MalformedPost
from bx24app.infra.logs import get_logger
from bx24app.infra.runtime import runtime
from bx24app.models import audit, db
from bx24app.portals import frame_auth, lookup
from bx24app.portals.frame_auth import FrameOpening
from bx24app.portals.opening_addresses import AddressProblem
from bx24app.web.base import errors, headers, rendering, session
from bx24app.web.base.session import FrameSession
from bx24app.web.launch import oauth, refusals
from bx24app.web.launch.address_page import render_address_problem
from bx24app.web.overview import home
from bx24app.web.webhooks import bitrix24_events

blueprint = Blueprint("app_frame", __name__)
_log = get_logger(__name__)


@blueprint.post("/")
def open_app() -> Response:
    """The app's main page in the portal's frame."""
    return show_app()


@blueprint.post("/install")
def open_install() -> Response:
    """The installation page; an application without a page gets its ONAPPINSTALL here."""
    if request.form.get("event"):
        return bitrix24_events.receive_event()
    return show_app(install_page=True)


@blueprint.get("/")
def show_about() -> Response:
    """A short page.

    Bitrix24 sends the code of an authorisation to the address of the application card, which is here.
    """
    if "code" in request.args and "state" in request.args:
        return oauth.callback()
    return make_response(render_template("about.html"))


@blueprint.get("/install")
def show_install_about() -> Response:
    """Bitrix24's moderation checks every address of the application card by GET."""
    return make_response(render_template("about.html"))


@blueprint.get("/privacy")
def show_privacy() -> Response:
    """Which personal data is kept, for how long, and how it is deleted."""
    return make_response(render_template("privacy.html", keep=runtime().config))


@blueprint.post("/frame/renew")
def renew_session() -> Response:
    """Exchange a fresh AUTH_ID of the SDK's `refreshAuth` for a fresh session, verified like an opening.

    The page keeps what was typed. Without a session the answer says why, for the page to show.
    """
    try:
        opening = frame_auth.open_frame(FramePost.from_form(request.form, request.args), install_page=False)
    except (MalformedPost, frame_auth.ForgedRequest, frame_auth.UnknownClient) as error:
        return refusals.explain_ended_session(error)
    except portal_errors.PortalError as error:
        return refusals.explain_portal_error(error)
    if opening.portal_id is None:
        return refusals.explain_ended_session(None)
    return jsonify(session=session.issue(_frame_session(opening)), seconds=session.SESSION_SECONDS)


@blueprint.post("/frame/takeover")
def take_over() -> tuple[Response, int]:
    """Make the viewer the background identity, by fresh tokens of the SDK's `refreshAuth`, verified like an opening."""
    try:
        frame_auth.take_over_grant(FramePost.from_form(request.form, request.args))
    except (MalformedPost, frame_auth.ForgedRequest, frame_auth.UnknownClient) as error:
        _log.warning("takeover refused", error=str(error))
        raise session.NoSession from None
    return jsonify(done=True), 200


def show_app(install_page: bool = False, first: str = "") -> Response:
    """Verify an opening and show the app.

    `first`: endpoint of the page that an administrator sees first; empty: the overview.
    """
    g.lang = request.args.get("LANG") or request.form.get("LANG") or "ru"
    try:
        post = FramePost.from_form(request.form, request.args)
        opening = frame_auth.open_frame(post, install_page=install_page)
    except AddressProblem as problem:
        return render_address_problem(problem)
    except (MalformedPost, frame_auth.ForgedRequest) as error:
        _log.warning("opening refused", error=str(error))
        headers.allow_posted_domain()
        if isinstance(error, frame_auth.PortalRenamed):
            return errors.render_error("moved", 403, domain=error.domain)
        return errors.render_error("session", 403)
    except frame_auth.UnknownClient as error:
        headers.allow_posted_domain()
        return errors.render_error("unknown_client", 403, client_id=error.client_id)
    except portal_errors.PortalError as error:
        _log.warning("opening not verified", error=str(error))
        headers.allow_posted_domain()
        return refusals.explain_portal_error(error)
    headers.allow_framing(opening.opened_at or opening.client_endpoint)
    g.lang = opening.lang
    if opening.portal_id is None:
        return errors.render_error("not_installed", 403)
    return _render_app(opening, install_page, first)


def _render_app(opening: FrameOpening, install_page: bool, first: str) -> Response:
    assert opening.portal_id is not None  # noqa: S101 - the caller checked
    g.frame = _frame_session(opening)
    g.portal = lookup.get_portal(opening.portal_id)
    claim = session.issue(g.frame)
    address = request.remote_addr or ""
    audit.record(g.portal.id, g.frame.user_id, "frame", "opened", address=address, administrator=opening.is_admin)
    db.session.commit()
    if install_page and opening.is_admin:
        return make_response(render_template("install.html", claim=claim))
    if first and opening.is_admin:
        part = make_response(current_app.view_functions[first]())
        return rendering.render_shell(part.get_data(as_text=True), claim)
    return make_response(home.render_first_page(claim))


def _frame_session(opening: FrameOpening) -> FrameSession:
    assert opening.portal_id is not None  # noqa: S101 - the caller checked
    return FrameSession(
        opening.portal_id, opening.member_id, opening.user_id, opening.is_admin, opening.lang, opening.opened_at
    )
