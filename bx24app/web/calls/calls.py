"""The journal in the frame: the list of calls, one call with its timeline, tickets for its recordings, retries.

Administrators see all calls of their portal, everybody else their own.
"""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, g, jsonify, request, url_for
from werkzeug.exceptions import NotFound

from bx24app.calls import replay
from bx24app.calls import undelivered as undelivered_rows
from bx24app.calls.journal import lookup
from bx24app.calls.recordings import transfer
from bx24app.models import Call, Recording, audit, db
from bx24app.web.base import directory, rendering, session
from bx24app.web.base.session import Ticket
from bx24app.web.calls import downloads, listing, timeline, undelivered
from bx24app.web.calls.listing import line_name, load_listing

blueprint = Blueprint("calls", __name__)


@blueprint.get("")
def show() -> Response:
    """The latest calls."""
    counts = undelivered_rows.count_by_kind(g.portal.id) if g.frame.is_admin else None
    tab = "calls" if g.frame.is_admin else "home"
    return rendering.render_response("calls.html", tab, **load_listing(), counts=counts)


@blueprint.get("/list")
def show_list() -> Response:
    """Only the list, for another filter."""
    return rendering.render_response("parts/calls_table.html", "calls", **load_listing())


@blueprint.get("/more")
def show_more() -> Response:
    """The next rows below the last one shown."""
    return rendering.render_response("parts/calls_rows.html", "calls", **load_listing())


@blueprint.post("/export/<any(csv, jsonl):form>")
def request_export(form: str) -> Response:
    """A ticket to download the filtered list within a minute, since a browser's download sends no header."""
    wanted, whose = listing.read_filter(), downloads.export_scope(listing.visible_user_id())
    kind = downloads.journal_ticket_kind(form, whose, wanted)
    ticket = session.issue_ticket(Ticket(g.portal.id, g.frame.user_id, kind, 0))
    address = request.remote_addr or ""
    audit.record(g.portal.id, g.frame.user_id, "frame", "journal exported", address=address, format=form, whose=whose)
    db.session.commit()
    params: dict[str, Any] = wanted.as_params()
    return jsonify(url=url_for("downloads.download_journal", form=form, whose=whose, ticket=ticket, **params))


@blueprint.get("/<int:call_id>")
def show_call(call_id: int) -> Response:
    """One call: what is known of it, and what happened when. The filter leads back to the list."""
    call = _load_call(call_id)
    settings = rendering.load_settings()
    recordings = lookup.load_recordings([call.id]).get(call.id, [])
    ids = [call.user_id, call.responsible_id, *(call.users or ()), *(row.user_id for row in recordings)]
    return rendering.render_response(
        "call.html",
        "calls" if g.frame.is_admin else "home",
        call=call,
        line=line_name(settings, call),
        pbx=settings.by_key.get(call.pbx_key),
        has_several_pbxs=len(settings.pbxs) > 1,
        continued=lookup.find_continued(call, listing.visible_user_id()),
        recordings=recordings,
        people=directory.by_ids(ids),
        record_path=listing.record_path,
        ending_reason=timeline.ending_reason(call),
        rules=timeline.rule_verdicts(call),
        params=listing.read_filter().as_params(),
        steps=timeline.load_steps(call, recordings) if g.frame.is_admin else [],
        undelivered=_count_undelivered(call) if g.frame.is_admin else (0, 0),
    )


@blueprint.post("/<int:call_id>/again")
def retry_call(call_id: int) -> Response:
    """Retry what the portal refused of this call, and what waits for its next try; administrators only."""
    if not g.frame.is_admin:
        raise NotFound
    call = _load_call(call_id)
    portal_id = call.portal_id
    db.session.rollback()
    replay.retry_dead(portal_id, call_id, replay.Actor("frame", g.frame.user_id))
    replay.retry_now(portal_id, call_id)
    rendering.reload_portal()
    return show_call(call_id)


@blueprint.post("/recordings/<int:recording_id>/ticket")
def issue_ticket(recording_id: int) -> Response:
    """A ticket to fetch one recording within a minute, since a browser's player sends no header."""
    recording = _load_recording(recording_id)
    ticket = session.issue_ticket(Ticket(g.portal.id, g.frame.user_id, "recording", recording.id))
    url = url_for("downloads.stream_recording", recording_id=recording.id, ticket=ticket)
    address = request.remote_addr or ""
    audit.record(g.portal.id, g.frame.user_id, "frame", "recording heard", address=address, recording=recording.id)
    db.session.commit()
    return jsonify(url=url)


@blueprint.post("/recordings/<int:recording_id>/again")
def retry_recording(recording_id: int) -> Response:
    """Fetch and attach a recording once more; administrators only."""
    if not g.frame.is_admin:
        raise NotFound
    recording = _load_recording(recording_id)
    portal_id, call_id = recording.portal_id, recording.call_id
    audit.record(portal_id, g.frame.user_id, "frame", "replayed", recording=recording_id)
    db.session.commit()
    transfer.try_again(portal_id, recording_id)
    rendering.reload_portal()
    return undelivered.show("recordings") if "list" in request.args else show_call(call_id)


def _count_undelivered(call: Call) -> tuple[int, int]:
    """How many steps of a call were refused and may be tried again, and how many wait."""
    return undelivered_rows.count_retryable(call.portal_id, call.id), lookup.count_open_deliveries(call.id)


def _load_call(call_id: int) -> Call:
    """A call that the viewer may see. Raises NotFound."""
    call = lookup.find_call(g.portal.id, call_id, listing.visible_user_id())
    if call is None:
        raise NotFound
    return call


def _load_recording(recording_id: int) -> Recording:
    """A recording of a call that the viewer may see. Raises NotFound."""
    recording = lookup.find_recording(g.portal.id, recording_id)
    if recording is None:
        raise NotFound
    _load_call(recording.call_id)
    return recording
