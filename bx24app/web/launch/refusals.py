"""Why a page is not opened, or its session not renewed, in words: the real reason wherever it is known."""

from __future__ import annotations

from flask import Response, g, request

from bx24app.bitrix24 import errors as portal_errors
from bx24app.portals import lookup
from bx24app.portals.frame_auth import PortalRenamed, UnknownClient
from bx24app.portals.opening_addresses import AddressProblem
from bx24app.web.base import errors, session
from bx24app.web.launch.address_page import render_address_problem

OWN_ACCESS_CODES = ("access", "rights")
"""Problems that Bitrix24 reports of the viewer's own token: the viewer may not use the application."""


def explain_portal_error(error: portal_errors.PortalError) -> Response:
    """The portal or the authorisation server refuses the viewer's token, or does not answer."""
    if isinstance(error, portal_errors.NeedsAdmin) and error.code in OWN_ACCESS_CODES:
        return errors.render_error("no_access", 403)
    return errors.render_portal_error(error)


def explain_ended_session(error: Exception | None) -> Response:
    """A session is not renewed: because of what the token showed, else because of the state of the page's portal.

    Always 401: the kind of the error says why.
    """
    if isinstance(error, UnknownClient):
        return errors.render_error("unknown_client", 401, client_id=error.client_id)
    if isinstance(error, PortalRenamed):
        return errors.render_error("moved", 401, domain=error.domain)
    if isinstance(error, AddressProblem):
        response = render_address_problem(error)
        response.status_code = 401
        return response
    try:
        ended = session.read_ended(session.extract_claim(request))
    except session.NoSession:
        return errors.render_error("session", 401)
    g.lang = ended.lang
    state, trouble = lookup.read_state(ended.portal_id)
    if state in ("", "removed"):
        return errors.render_error("removed", 401)
    if lookup.is_dismissed(ended.portal_id, ended.user_id):
        return errors.render_error("no_access", 401)
    if state == "needs_admin":
        return errors.render_error("portal_refuses", 401, code=trouble)
    return errors.render_error("session", 401)
