"""What a browser fetches by itself with a ticket in the address: recordings, journal exports, employee mappings.

Recordings are fetched from Mango Office for each playback, piece by piece; the app keeps no copy. A ticket is bound to
one object and one user.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from flask import Blueprint, Response, request, stream_with_context
from sqlalchemy import Select
from werkzeug.exceptions import NotFound

from bx24app import settings
from bx24app.calls.journal import export, lookup, search
from bx24app.calls.journal.search import CallFilter
from bx24app.calls.recordings import download, playback
from bx24app.calls.recordings.playback import RecordingPiece
from bx24app.infra import gates, page_threads
from bx24app.infra.gate_kinds import EXPORT
from bx24app.infra.logs import get_logger
from bx24app.mango.errors import MangoError, ResourceNotFound
from bx24app.models import Call, Portal, Recording, db, utcnow
from bx24app.portals import lookup as portal_lookup
from bx24app.web.base import errors, session
from bx24app.web.base.session import Ticket
from bx24app.web.pbxs import employee_file

blueprint = Blueprint("downloads", __name__)
_log = get_logger(__name__)


@blueprint.get("/recording/<int:recording_id>")
def stream_recording(recording_id: int) -> Response:
    """The piece of a recording that the player asks for: at most 1 MB, so that no thread waits for a listener."""
    ticket = session.read_ticket(request.args.get("ticket", ""), "recording", recording_id)
    portal = _find_portal(ticket)
    recording = lookup.find_recording(ticket.portal_id, recording_id)
    if recording is None or portal is None:
        raise NotFound
    page_threads.name_party(portal.member_id)
    source = _recording_source(recording)
    db.session.rollback()
    db.session.remove()  # no database connection is held while Mango is asked
    try:
        piece = playback.fetch_piece(source, request.headers.get("Range"))
    except ResourceNotFound:
        raise NotFound from None
    except playback.RangeNeeded as error:
        return Response(status=416, headers={"Content-Range": f"bytes */{error.total}", "Accept-Ranges": "bytes"})
    except (MangoError, gates.GateClosed) as error:
        _log.warning("recording not played", recording=recording_id, error=str(error))
        return errors.render_error("later", 503)
    return _piece_response(piece)


def export_scope(viewer: int | None) -> str:
    """Part of an export's address: all calls of the portal, or only those of the user who asked."""
    return "all" if viewer is None else "own"


def journal_ticket_kind(form: str, whose: str, wanted: CallFilter) -> str:
    """The kind of a ticket for this export; it includes the filter, so the filter is signed too."""
    return f"journal {form} {whose} {sorted(wanted.as_params().items())}"


@blueprint.get("/calls/<any(all, own):whose>.<any(csv, jsonl):form>")
def download_journal(whose: str, form: str) -> Response:
    """The filtered journal, oldest first, as `bx24app calls export` prints it.

    CSV begins with the byte order mark that Excel needs.
    """
    wanted = CallFilter.from_params(request.args)
    ticket = session.read_ticket(request.args.get("ticket", ""), journal_ticket_kind(form, whose, wanted), 0)
    portal = _find_portal(ticket)
    if portal is None:
        raise NotFound
    zone = settings.current(portal).portal.timezone
    viewer = None if whose == "all" else ticket.user_id
    query = search.filtered_query(portal.id, wanted, zone, viewer)
    member_id = portal.member_id
    db.session.remove()  # each page of the export takes a connection of its own
    try:
        give_place_back = gates.take_place(EXPORT, member_id)
    except gates.GateClosed:
        return errors.render_error("busy", 503)
    mimetype = "text/csv" if form == "csv" else "application/x-ndjson"
    response = Response(stream_with_context(_journal_lines(query, form, viewer, give_place_back)), mimetype=mimetype)
    response.call_on_close(give_place_back)  # lines that nobody began to read
    response.headers["Content-Disposition"] = f'attachment; filename="calls-{utcnow():%Y-%m-%d}.{form}"'
    return response


@blueprint.get("/employees/<key>.csv")
def download_employees(key: str) -> Response:
    """The employee mapping of one PBX."""
    ticket = session.read_ticket(request.args.get("ticket", ""), employee_file.ticket_kind(key), 0)
    portal = _find_portal(ticket)
    text = employee_file.export_csv(portal, key) if portal is not None else None
    if text is None:
        raise NotFound
    response = Response("\ufeff" + text, mimetype="text/csv")
    response.headers["Content-Disposition"] = f'attachment; filename="employees-{key}.csv"'
    return response


def _find_portal(ticket: Ticket) -> Portal | None:
    """The ticket's portal; None: it removed the application, or its user was dismissed since."""
    is_dismissed = portal_lookup.is_dismissed(ticket.portal_id, ticket.user_id)
    return None if is_dismissed else portal_lookup.find_installed(ticket.portal_id)


def _journal_lines(
    query: Select[Call], form: str, viewer: int | None, give_place_back: Callable[[], None]
) -> Iterator[str]:
    try:
        if form == "csv":
            yield "\ufeff"
        yield from export.export_query(query, form, viewer)
    finally:
        give_place_back()


def _recording_source(recording: Recording) -> download.RecordingSource:
    pbx = lookup.pbx_of(recording)
    keys = (pbx.api_key, pbx.api_salt) if pbx is not None else (None, None)
    return download.RecordingSource(recording.recording_id, recording.url, *keys)


def _piece_response(piece: RecordingPiece) -> Response:
    response = Response(piece.content, 206 if "Range" in request.headers else 200, mimetype=piece.content_type)
    if response.status_code == 206:
        response.headers["Content-Range"] = piece.content_range
    response.headers["Accept-Ranges"] = "bytes"
    return response
