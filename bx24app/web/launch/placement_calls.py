"""The calls in one of our tabs in the portal: those that the tab's own session allows, and no others."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, g, jsonify, make_response, render_template, request, url_for
from werkzeug.exceptions import NotFound

from bx24app.calls.journal import client_calls, lookup
from bx24app.calls.journal.client_calls import ClientCalls
from bx24app.calls.journal.search import Cursor
from bx24app.models import audit, db
from bx24app.web.base import directory, rendering, rule_labels, session
from bx24app.web.base.session import PlacementSession, Ticket
from bx24app.web.calls.listing import line_name

blueprint = Blueprint("placement_calls", __name__)
PAGE_SIZE = 20


@blueprint.get("")
def show_more() -> Response:
    """The next rows below the last one shown."""
    return make_response(render_template("parts/placement_rows.html", **load_listing()))


@blueprint.get("/all")
def show() -> Response:
    """The whole tab from its first row: the call card shows another client now."""
    placement: PlacementSession = g.placement
    return make_response(
        render_template(
            "parts/placement_body.html",
            number=placement.number,
            is_own_only=placement.proof is None,
            **load_listing(),
        )
    )


@blueprint.post("/recordings/<int:recording_id>/ticket")
def issue_ticket(recording_id: int) -> Response:
    """A ticket to fetch one recording within a minute."""
    recording = lookup.find_recording(g.portal.id, recording_id)
    if recording is None or not client_calls.includes_call(_allowed_calls(), recording.call_id):
        raise NotFound
    ticket = session.issue_ticket(Ticket(g.portal.id, g.placement.user_id, "recording", recording.id))
    url = url_for("downloads.stream_recording", recording_id=recording.id, ticket=ticket)
    address = request.remote_addr or ""
    audit.record(g.portal.id, g.placement.user_id, "place", "recording heard", address=address, recording=recording.id)
    db.session.commit()
    return jsonify(url=url)


def load_listing() -> dict[str, Any]:
    """Template variables of the tab's rows, the latest first."""
    settings = rendering.load_settings()
    below = Cursor.from_text(request.args.get("below", ""))
    rows = client_calls.list_calls(_allowed_calls(), below, PAGE_SIZE + 1)
    shown, rest = rows[:PAGE_SIZE], rows[PAGE_SIZE:]
    return {
        "rows": shown,
        "recordings": lookup.load_recordings(row.id for row in shown),
        "lines": {row.id: line_name(settings, row) for row in shown},
        "rule_label": rule_labels.rule_label,
        "people": directory.by_ids(row.user_id or row.responsible_id for row in shown),
        "next_cursor": str(Cursor(shown[-1].started_at, shown[-1].id)) if rest else "",
    }


def _allowed_calls() -> ClientCalls:
    """What the tab's session proved."""
    placement: PlacementSession = g.placement
    is_proven = placement.proof is not None
    return ClientCalls(g.portal.id, placement.user_id, placement.records, placement.number, is_proven)
