"""The journal in the frame: latest calls first, one call with its time line, its recordings by ticket.

Administrators see all calls of their portal, everybody else their own.
"""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, g, jsonify, request, url_for
from sqlalchemy import Select, func, select
from werkzeug.exceptions import NotFound

from bx24app.calls import replay
from bx24app.calls.recordings import transfer
from bx24app.models import Call, CallPerson, Delivery, Recording, audit, db
from bx24app.web.base import directory, rendering, session
from bx24app.web.base.session import Ticket
from bx24app.web.calls import downloads, timeline, undelivered
from bx24app.web.calls import listing as calls_list
from bx24app.web.calls.listing import line_name, load_listing

blueprint = Blueprint("calls", __name__)


@blueprint.get("")
def show() -> Response:
    """The latest calls."""
    counts = undelivered.count_by_kind() if g.frame.is_admin else None
    return rendering.render_response("calls.html", "calls" if g.frame.is_admin else "home", **load_listing(), counts=counts)


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
    """Leave to download the filtered list for a minute: a browser's download sends no header."""
    wanted, whose = calls_list.read_filter(), downloads.export_scope(calls_list.visible_user_id())
    kind = downloads.journal_ticket_kind(form, whose, wanted)
    text = session.issue_ticket(Ticket(g.portal.id, g.frame.user_id, kind, 0))
    address = request.remote_addr or ""
    audit.record(g.portal.id, g.frame.user_id, "frame", "journal exported", address=address, format=form, whose=whose)
    db.session.commit()
    parts: dict[str, Any] = wanted.as_params()
    return jsonify(url=url_for("downloads.download_journal", form=form, whose=whose, ticket=text, **parts))


@blueprint.get("/<int:call_id>")
def show_call(call_id: int) -> Response:
    """One call: what is known of it, what happened when."""
    call = _load_call(call_id)
    settings = rendering.load_settings()
    tapes = list(db.session.scalars(select(Recording).where(Recording.call_id == call.id).order_by(Recording.id)))
    ids = [call.user_id, call.responsible_id, *(call.users or ()), *(tape.user_id for tape in tapes)]
    return rendering.render_response(
        "call.html",
        "calls" if g.frame.is_admin else "home",
        call=call,
        line=line_name(settings, call),
        pbx=settings.by_key.get(call.pbx_key),
        several=len(settings.pbxs) > 1,
        before=_previous_call(call),
        tapes=tapes,
        people=directory.by_ids(ids),
        path=calls_list.record_path,
        why=timeline.ending_reason(call),
        rules=timeline.rule_verdicts(call),
        steps=timeline.load_steps(call, tapes) if g.frame.is_admin else [],
        stopped=_count_undelivered(call) if g.frame.is_admin else (0, 0),
    )


@blueprint.post("/<int:call_id>/again")
def retry_call(call_id: int) -> Response:
    """Try once more what the portal refused of this call, or what waits for its next try; administrators only."""
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
    """Leave to fetch one recording for a minute: a browser's player sends no header."""
    tape = _load_recording(recording_id)
    text = session.issue_ticket(Ticket(g.portal.id, g.frame.user_id, "recording", tape.id))
    url = url_for("downloads.stream_recording", recording_id=tape.id, ticket=text)
    audit.record(g.portal.id, g.frame.user_id, "frame", "recording heard", address=request.remote_addr or "", recording=tape.id)
    db.session.commit()
    return jsonify(url=url)


@blueprint.post("/recordings/<int:recording_id>/again")
def retry_recording(recording_id: int) -> Response:
    """Try to fetch and attach a recording once more."""
    tape = _load_recording(recording_id)
    portal_id, call_id = tape.portal_id, tape.call_id
    audit.record(portal_id, g.frame.user_id, "frame", "replayed", recording=recording_id)
    db.session.commit()
    transfer.try_again(portal_id, recording_id)
    rendering.reload_portal()
    return undelivered.show("recordings") if "list" in request.args and g.frame.is_admin else show_call(call_id)


def _count_undelivered(call: Call) -> tuple[int, int]:
    """How much of a call was refused and may be tried again, and how much waits."""
    again = replay.retryable_deliveries(call.portal_id, call.id).with_only_columns(func.count())
    waits = select(func.count()).where(Delivery.call_id == call.id, Delivery.state.in_(("waiting", "sent")))
    return db.session.scalar(again) or 0, db.session.scalar(waits) or 0


def _visible_calls() -> Select[Call]:
    """Calls that the viewer may see."""
    query, whose = select(Call).where(Call.portal_id == g.portal.id), calls_list.visible_user_id()
    if whose is None:
        return query
    return query.join(CallPerson, CallPerson.call_id == Call.id).where(CallPerson.user_id == whose)


def _load_call(call_id: int) -> Call:
    found = db.session.scalars(_visible_calls().where(Call.id == call_id, Call.visible.is_(True))).first()
    if found is None:
        raise NotFound
    return found


def _previous_call(call: Call) -> Call | None:
    """The call of another office's PBX that this one continues; None where there is none, or none that the viewer may see."""
    row = call.read_facts().continued_call_id
    return db.session.scalars(_visible_calls().where(Call.id == row)).first() if row else None


def _load_recording(recording_id: int) -> Recording:
    """A recording of a call that the viewer may see."""
    found = db.session.get(Recording, recording_id)
    if found is None or found.portal_id != g.portal.id:
        raise NotFound
    _load_call(found.call_id)
    return found
