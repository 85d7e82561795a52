"""The journal in the frame: latest calls first, one call with its time line, its recordings by ticket.

Administrators see all calls of their portal, everybody else their own.
"""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, g, jsonify, request, url_for
from sqlalchemy import Select, func, select
from werkzeug.exceptions import NotFound

from bx24app import portals
from bx24app.calls import replay
from bx24app.calls.recordings import transfer
from bx24app.models import Call, CallPerson, Delivery, Recording, db
from bx24app.web.base import directory, rendering, session
from bx24app.web.base.session import Ticket
from bx24app.web.calls import downloads, timeline, undelivered
from bx24app.web.calls import listing as calls_list
from bx24app.web.calls.listing import line_name, listing

blueprint = Blueprint("calls", __name__)


@blueprint.get("")
def show() -> Response:
    """The latest calls."""
    counts = undelivered.counts() if g.frame.is_admin else None
    return rendering.show("calls.html", "calls" if g.frame.is_admin else "home", **listing(), counts=counts)


@blueprint.get("/list")
def rows() -> Response:
    """Only the list, for another filter."""
    return rendering.show("parts/calls_table.html", "calls", **listing())


@blueprint.get("/more")
def more() -> Response:
    """The next rows below the last one shown."""
    return rendering.show("parts/calls_rows.html", "calls", **listing())


@blueprint.post("/export/<any(csv, jsonl):form>")
def export(form: str) -> Response:
    """Leave to download the filtered list for a minute: a browser's download sends no header."""
    wanted, whose = calls_list.asked(), downloads.whose(calls_list.viewer())
    kind = downloads.journal_kind(form, whose, wanted)
    text = session.issue_ticket(Ticket(g.portal.id, g.frame.user_id, kind, 0))
    address = request.remote_addr or ""
    portals.audit(g.portal.id, g.frame.user_id, "frame", "journal exported", address=address, format=form, whose=whose)
    db.session.commit()
    parts: dict[str, Any] = wanted.asked()
    return jsonify(url=url_for("media.journal", form=form, whose=whose, ticket=text, **parts))


@blueprint.get("/<int:call_id>")
def one(call_id: int) -> Response:
    """One call: what is known of it, what happened when."""
    call = _call(call_id)
    settings = rendering.current()
    tapes = list(db.session.scalars(select(Recording).where(Recording.call_id == call.id).order_by(Recording.id)))
    ids = [call.user_id, call.responsible_id, *(call.users or ()), *(tape.user_id for tape in tapes)]
    return rendering.show(
        "call.html",
        "calls" if g.frame.is_admin else "home",
        call=call,
        line=line_name(settings, call),
        pbx=settings.by_key.get(call.pbx_key),
        several=len(settings.pbxs) > 1,
        before=_before_this(call),
        tapes=tapes,
        people=directory.of(ids),
        path=calls_list.path,
        why=timeline.ending(call),
        rules=timeline.tried(call),
        steps=timeline.steps(call, tapes) if g.frame.is_admin else [],
        stopped=_stopped(call) if g.frame.is_admin else (0, 0),
    )


@blueprint.post("/<int:call_id>/again")
def call_again(call_id: int) -> Response:
    """Try once more what the portal refused of this call, or what waits for its next try; administrators only."""
    if not g.frame.is_admin:
        raise NotFound
    call = _call(call_id)
    portal_id = call.portal_id
    db.session.rollback()
    replay.dead(portal_id, call_id, replay.By("frame", g.frame.user_id))
    replay.hurry(portal_id, call_id)
    rendering.look_again()
    return one(call_id)


@blueprint.post("/recordings/<int:recording_id>/ticket")
def ticket(recording_id: int) -> Response:
    """Leave to fetch one recording for a minute: a browser's player sends no header."""
    tape = _recording(recording_id)
    text = session.issue_ticket(Ticket(g.portal.id, g.frame.user_id, "recording", tape.id))
    url = url_for("media.recording", recording_id=tape.id, ticket=text)
    portals.audit(g.portal.id, g.frame.user_id, "frame", "recording heard", address=request.remote_addr or "", recording=tape.id)
    db.session.commit()
    return jsonify(url=url)


@blueprint.post("/recordings/<int:recording_id>/again")
def again(recording_id: int) -> Response:
    """Try to fetch and attach a recording once more."""
    tape = _recording(recording_id)
    portal_id, call_id = tape.portal_id, tape.call_id
    portals.audit(portal_id, g.frame.user_id, "frame", "replayed", recording=recording_id)
    db.session.commit()
    transfer.try_again(portal_id, recording_id)
    rendering.look_again()
    return undelivered.show("recordings") if "list" in request.args and g.frame.is_admin else one(call_id)


def _stopped(call: Call) -> tuple[int, int]:
    """How much of a call was refused and may be tried again, and how much waits."""
    again = replay.revivable(call.portal_id, call.id).with_only_columns(func.count())
    waits = select(func.count()).where(Delivery.call_id == call.id, Delivery.state.in_(("waiting", "sent")))
    return db.session.scalar(again) or 0, db.session.scalar(waits) or 0


def _seen() -> Select[Call]:
    """Calls that the viewer may see."""
    query, whose = select(Call).where(Call.portal_id == g.portal.id), calls_list.viewer()
    if whose is None:
        return query
    return query.join(CallPerson, CallPerson.call_id == Call.id).where(CallPerson.user_id == whose)


def _call(call_id: int) -> Call:
    found = db.session.scalars(_seen().where(Call.id == call_id, Call.visible.is_(True))).first()
    if found is None:
        raise NotFound
    return found


def _before_this(call: Call) -> Call | None:
    """The call of another office's PBX that this one continues; None where there is none, or none that the viewer may see."""
    row = call.facts.get("continues")
    return db.session.scalars(_seen().where(Call.id == row)).first() if row else None


def _recording(recording_id: int) -> Recording:
    """A recording of a call that the viewer may see."""
    found = db.session.get(Recording, recording_id)
    if found is None or found.portal_id != g.portal.id:
        raise NotFound
    _call(found.call_id)
    return found
