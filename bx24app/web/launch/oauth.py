"""`/oauth`: authorise an installed portal again, outside its frame.

Only an administrator's page in the frame can begin it. Nobody else learns here which portals are installed.
"""

from __future__ import annotations

from flask import Blueprint, Response, g, jsonify, make_response, redirect, render_template, request, url_for
from werkzeug.exceptions import NotFound
from werkzeug.wrappers import Response as AnyResponse

from bx24app.bitrix24 import errors as portal_errors
from bx24app.infra.logs import get_logger
from bx24app.portals import frame_auth, reauthorise
from bx24app.web.base import errors, session
from bx24app.web.base.session import Ticket

blueprint = Blueprint("oauth", __name__)
frame_blueprint = Blueprint("authorise", __name__)
_TICKET_KIND = "authorise"
_log = get_logger(__name__)


@frame_blueprint.post("")
def issue_ticket() -> Response:
    """A ticket with which the administrator's browser can begin within a minute, outside the frame."""
    ticket = session.issue_ticket(Ticket(g.portal.id, g.frame.user_id, _TICKET_KIND, 0))
    return jsonify(url=url_for("oauth.start_authorisation", ticket=ticket))


@blueprint.get("/start")
def start_authorisation() -> AnyResponse:
    """Redirect to the portal's own page, where the administrator agrees. Without a ticket there is no such page."""
    try:
        ticket = session.read_ticket(request.args.get("ticket", ""), _TICKET_KIND, 0)
        return redirect(reauthorise.start_authorisation(ticket.portal_id, ticket.user_id))
    except (session.NoSession, reauthorise.NotInstalled):
        raise NotFound from None


@blueprint.get("/callback")
def callback() -> Response:
    """The portal redirects back here with a code, which is valid for 30 seconds."""
    try:
        origin = reauthorise.finish_authorisation(
            request.args.get("code", ""), request.args.get("state", ""), request.args.get("server_domain", "")
        )
    except (reauthorise.NotProven, frame_auth.ForgedRequest) as error:
        _log.warning("authorisation refused", error=str(error))
        return errors.render_error("not_authorised", 403)
    except (portal_errors.Refused, portal_errors.NeedsAdmin, portal_errors.Gone) as error:
        _log.warning("authorisation refused", error=str(error))
        return errors.render_error("not_authorised", 403)
    return make_response(render_template("authorised.html", origin=origin))
