"""`/oauth`: authorise an installed portal again, outside its frame."""

from __future__ import annotations

from flask import Blueprint, Response, make_response, redirect, render_template, request
from werkzeug.exceptions import NotFound
from werkzeug.wrappers import Response as AnyResponse

from bx24app.bitrix24 import errors as portal_errors
from bx24app.infra.logs import get_logger
from bx24app.portals import frame_auth, reauthorise
from bx24app.web.base import errors

blueprint = Blueprint("oauth", __name__)
_log = get_logger(__name__)


@blueprint.get("/start")
def start_authorisation() -> AnyResponse:
    """Redirect to the portal's own page, where an administrator agrees."""
    try:
        return redirect(reauthorise.start_authorisation(request.args.get("domain", "")))
    except reauthorise.NotInstalled:
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
