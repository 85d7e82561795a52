"""Calls in a tab of ours: those that the tab's own session allows, and no others."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, g, jsonify, make_response, render_template, request, url_for
from sqlalchemy import Select, and_, false, or_, select, union
from werkzeug.exceptions import NotFound

from bx24app.calls.journal.search import Cursor
from bx24app.models import Call, CallPerson, CallRecord, Recording, audit, db
from bx24app.web.base import directory, rendering, rule_labels, session
from bx24app.web.base.session import PlacementSession, Ticket
from bx24app.web.calls import listing as calls_list

blueprint = Blueprint("placement_calls", __name__)
PAGE_SIZE = 20


@blueprint.get("")
def show_more() -> Response:
    """The next rows below the last one shown."""
    return make_response(render_template("parts/place_rows.html", **load_listing()))


@blueprint.get("/all")
def show() -> Response:
    """What the tab shows, from its first row on: for a call card whose client has become another one."""
    place: PlacementSession = g.placement
    return make_response(render_template("parts/place_body.html", number=place.number, own=place.is_own_only, **load_listing()))


@blueprint.post("/recordings/<int:recording_id>/ticket")
def issue_ticket(recording_id: int) -> Response:
    """Leave to fetch one recording for a minute."""
    tape = db.session.get(Recording, recording_id)
    if tape is None or tape.portal_id != g.portal.id:
        raise NotFound
    if db.session.scalar(_filter_allowed(select(Call.id)).where(Call.id == tape.call_id)) is None:
        raise NotFound
    text = session.issue_ticket(Ticket(g.portal.id, g.placement.user_id, "recording", tape.id))
    url = url_for("downloads.stream_recording", recording_id=tape.id, ticket=text)
    audit.record(g.portal.id, g.placement.user_id, "place", "recording heard", address=request.remote_addr or "", recording=tape.id)
    db.session.commit()
    return jsonify(url=url)


def load_listing() -> dict[str, Any]:
    """The rows of the tab, latest first, and what they need."""
    settings = rendering.load_settings()
    query = _filter_allowed(select(Call))
    place = Cursor.from_text(request.args.get("below", ""))
    if place is not None:
        query = query.where(or_(Call.started_at < place.started_at, and_(Call.started_at == place.started_at, Call.id < place.call_id)))
    rows = list(db.session.scalars(query.order_by(Call.started_at.desc(), Call.id.desc()).limit(PAGE_SIZE + 1)))
    shown, rest = rows[:PAGE_SIZE], rows[PAGE_SIZE:]
    tapes: dict[int, list[Recording]] = {}
    wanted = select(Recording).where(Recording.call_id.in_([row.id for row in shown])).order_by(Recording.id)
    for tape in db.session.scalars(wanted) if shown else ():
        tapes.setdefault(tape.call_id, []).append(tape)
    return {
        "rows": shown,
        "tapes": tapes,
        "lines": {row.id: calls_list.line_name(settings, row) for row in shown},
        "rule_label": rule_labels.rule_label,
        "people": directory.by_ids(row.user_id or row.responsible_id for row in shown),
        "next": str(Cursor(shown[-1].started_at, shown[-1].id)) if rest else "",
    }


def _filter_allowed(query: Select[Any]) -> Select[Any]:
    """Calls of the tab's records, and calls with its number: all where a record was readable, else the viewer's own.

    The ids come first, from two indexes: an `or` over both would walk the whole journal.
    """
    place: PlacementSession = g.placement
    ways: list[Select[Any]] = []
    if place.records:
        keys = (and_(CallRecord.entity == entity, CallRecord.record_id == number) for entity, number in place.records)
        ways.append(select(CallRecord.call_id).where(CallRecord.portal_id == g.portal.id, or_(*keys)))
    if place.number:
        same = select(Call.id).where(Call.portal_id == g.portal.id, Call.client_number == place.number)
        mine = select(CallPerson.call_id).where(
            CallPerson.portal_id == g.portal.id, CallPerson.user_id == place.user_id
        )
        ways.append(same.where(Call.id.in_(mine)) if place.is_own_only else same)
    if not ways:
        return query.where(false())
    ids = ways[0] if len(ways) == 1 else union(*ways)
    return query.where(Call.portal_id == g.portal.id, Call.visible.is_(True), Call.id.in_(ids))
