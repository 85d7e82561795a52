"""`/bitrix24/events`: receives the events of portals. An event is stored before the 200, since Bitrix24 does not repeat
it."""

from __future__ import annotations

from flask import Blueprint, Response, request

from bx24app.bitrix24.inbound import EventPost, MalformedPost
from bx24app.infra.logs import get_logger
from bx24app.portals import portal_events

blueprint = Blueprint("bitrix24_events", __name__)
_log = get_logger(__name__)


@blueprint.post("/bitrix24/events")
def receive_event() -> Response:
    """One event: 200 if it is stored or is not ours, 403 without proof, 503 without a database."""
    try:
        post = EventPost.from_pairs(request.form.items(multi=True))
    except MalformedPost as error:
        _log.warning("event unreadable", error=str(error))
        return Response("Bad request", 400, mimetype="text/plain")
    status = portal_events.receive(post)
    response = Response("OK" if status == 200 else "", status, mimetype="text/plain")
    if status == 503:
        response.headers["Retry-After"] = "10"
    return response
