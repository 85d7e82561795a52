"""What a browser fetches by itself, with a ticket: recordings for the player, streamed anew from Mango, and exports of the journal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

from flask import Blueprint, Response, request, stream_with_context
from sqlalchemy import Select
from werkzeug.exceptions import NotFound

from bx24app import settings
from bx24app.calls.journal import export as lines_of
from bx24app.calls.journal import search
from bx24app.calls.journal.search import CallFilter
from bx24app.calls.recordings import download
from bx24app.infra.logs import get_logger
from bx24app.mango.errors import MangoError, ResourceNotFound, TemporaryFailure
from bx24app.mango.recording import RecordingDownload
from bx24app.models import Call, Pbx, Portal, Recording, db, utcnow
from bx24app.web.base import errors, session
from bx24app.web.pbxs import employee_file

blueprint = Blueprint("downloads", __name__)
_log = get_logger(__name__)


@blueprint.get("/recording/<int:recording_id>")
def stream_recording(recording_id: int) -> Response:
    """The file of one recording, or the part of it that the player asks for."""
    ticket = session.read_ticket(request.args.get("ticket", ""), "recording", recording_id)
    tape = db.session.get(Recording, recording_id)
    portal = db.session.get(Portal, ticket.portal_id)
    if tape is None or portal is None or portal.state == "removed" or tape.portal_id != portal.id:
        raise NotFound
    call = db.session.get_one(Call, tape.call_id)
    pbx = db.session.get(Pbx, call.pbx_id)
    keys = (pbx.api_key, pbx.api_salt) if pbx is not None else (None, None)
    source = download.RecordingSource(tape.recording_id, tape.url, *keys)
    db.session.rollback()
    db.session.remove()  # no connection is held while the bytes flow
    stack = ExitStack()
    try:
        found = stack.enter_context(download.open_stream(source, request.headers.get("Range"), play=True))
    except ResourceNotFound:
        stack.close()
        raise NotFound from None
    except MangoError as error:
        stack.close()
        _log.warning("recording cannot be played", recording=recording_id, error=str(error))
        return errors.render_error("later", 503)
    return _stream_response(found, stack)


def export_scope(viewer: int | None) -> str:
    """Part of an export's address: all calls of the portal, or only those of whoever asked for it."""
    return "all" if viewer is None else "own"


def journal_ticket_kind(form: str, whose: str, wanted: CallFilter) -> str:
    """What a ticket for this export is of: the filter is signed with it."""
    return f"journal {form} {whose} {sorted(wanted.as_params().items())}"


@blueprint.get("/calls/<any(all, own):whose>.<any(csv, jsonl):form>")
def download_journal(whose: str, form: str) -> Response:
    """The journal under a filter, oldest first, as `bx24app calls export` prints it; of CSV with the mark by which Excel knows UTF-8."""
    wanted = CallFilter.from_params(request.args)
    ticket = session.read_ticket(request.args.get("ticket", ""), journal_ticket_kind(form, whose, wanted), 0)
    portal = db.session.get(Portal, ticket.portal_id)
    if portal is None or portal.state == "removed":
        raise NotFound
    zone = settings.current(portal).portal.timezone
    query = search.filtered_query(portal.id, wanted, zone, None if whose == "all" else ticket.user_id)
    db.session.remove()  # no connection is held while the lines flow, but for each page of them
    response = Response(
        stream_with_context(_journal_lines(query, form)), mimetype="text/csv" if form == "csv" else "application/x-ndjson"
    )
    response.headers["Content-Disposition"] = f'attachment; filename="calls-{utcnow():%Y-%m-%d}.{form}"'
    return response


@blueprint.get("/employees/<key>.csv")
def download_employees(key: str) -> Response:
    """The employee mapping of one PBX."""
    ticket = session.read_ticket(request.args.get("ticket", ""), employee_file.ticket_kind(key), 0)
    portal = db.session.get(Portal, ticket.portal_id)
    text = employee_file.export_csv(portal, key) if portal is not None and portal.state != "removed" else None
    if text is None:
        raise NotFound
    response = Response("\ufeff" + text, mimetype="text/csv")
    response.headers["Content-Disposition"] = f'attachment; filename="employees-{key}.csv"'
    return response


def _journal_lines(query: Select[Call], form: str) -> Iterator[str]:
    if form == "csv":
        yield "\ufeff"
    yield from lines_of.export_query(query, form)


def _stream_response(found: RecordingDownload, stack: ExitStack) -> Response:
    def read_chunks() -> Iterator[bytes]:
        try:
            yield from found.iter_chunks()
        except TemporaryFailure as error:
            _log.warning("recording broke off while it was played", error=str(error))
            raise

    response = Response(read_chunks(), found.status, mimetype=found.content_type)
    response.call_on_close(stack.close)
    if found.size is not None:
        response.content_length = found.size
    if found.content_range:
        response.headers["Content-Range"] = found.content_range
    if found.accepts_ranges:
        response.headers["Accept-Ranges"] = "bytes"
    return response
