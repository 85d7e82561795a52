"""Recordings for the frame's player: streamed anew from Mango through the app, with ranges; nothing is kept here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

from flask import Blueprint, Response, request
from werkzeug.exceptions import NotFound

from bx24app import recordings
from bx24app.logs import log
from bx24app.mango.errors import Later, MangoError, Missing
from bx24app.mango.recording import RecordingDownload
from bx24app.models import Call, Pbx, Portal, Recording, db
from bx24app.web import errors, session

blueprint = Blueprint("media", __name__)
_log = log(__name__)


@blueprint.get("/recording/<int:recording_id>")
def recording(recording_id: int) -> Response:
    """The file of one recording, or the part of it that the player asks for."""
    ticket = session.read_ticket(request.args.get("ticket", ""), "recording", recording_id)
    tape = db.session.get(Recording, recording_id)
    portal = db.session.get(Portal, ticket.portal_id)
    if tape is None or portal is None or portal.state == "removed" or tape.portal_id != portal.id:
        raise NotFound
    call = db.session.get_one(Call, tape.call_id)
    pbx = db.session.get(Pbx, call.pbx_id)
    keys = (pbx.api_key, pbx.api_salt) if pbx is not None else (None, None)
    name, url = tape.recording_id, tape.url
    db.session.rollback()
    db.session.remove()  # no connection is held while the bytes flow
    stack = ExitStack()
    try:
        found = stack.enter_context(
            recordings.open_stream(name, url, *keys, byte_range=request.headers.get("Range"), play=True)
        )
    except Missing:
        stack.close()
        raise NotFound from None
    except MangoError as error:
        stack.close()
        _log.warning("recording cannot be played", recording=recording_id, error=str(error))
        return errors.page("later", 503)
    return _answer(found, stack)


def _answer(found: RecordingDownload, stack: ExitStack) -> Response:
    def chunks() -> Iterator[bytes]:
        try:
            yield from found.chunks()
        except Later as error:
            _log.warning("recording broke off while it was played", error=str(error))
            raise

    response = Response(chunks(), found.status, mimetype=found.content_type)
    response.call_on_close(stack.close)
    if found.size is not None:
        response.content_length = found.size
    if found.content_range:
        response.headers["Content-Range"] = found.content_range
    if found.accepts_ranges:
        response.headers["Accept-Ranges"] = "bytes"
    return response
