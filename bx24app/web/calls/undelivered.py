"""What did not get through: refused deliveries, those that wait, lost recordings, notifications that could not be read. For administrators."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, Response, g, request
from sqlalchemy import Select, func, literal_column, select

from bx24app.calls import replay
from bx24app.infra import queue
from bx24app.models import Call, Delivery, Notification, Recording, db
from bx24app.web.base import rendering
from bx24app.web.base.parsing import parse_int
from bx24app.web.calls import timeline, timeline_texts

blueprint = Blueprint("undelivered", __name__)
PAGE_SIZE = 50
MAX_COUNTED = 1000
"""Counted up to this; more is "more than"."""
KINDS = ("dead", "waiting", "recordings", "rejected")


@dataclass(frozen=True, slots=True)
class UndeliveredRow:
    """One line of a list. `words`: what it is; `why`: the reason in words; `body`: what was said, as it came."""

    id: int
    at: Any
    text: str
    reason: str
    call: Call | None = None
    tries: int = 0
    due_at: Any = None
    body: str = ""
    entry_id: str | None = None


def count_by_kind() -> dict[str, int]:
    """How many of each kind there are, up to `MOST` + 1."""
    return {kind: _count_rows(_build_query(kind)) for kind in KINDS}


def _count_rows(query: Select[Any]) -> int:
    some = query.with_only_columns(query.selected_columns[0]).limit(MAX_COUNTED + 1).subquery()
    return db.session.scalar(select(func.count()).select_from(some)) or 0


def _build_query(kind: str) -> Select[Any]:
    """All rows of a kind, each by a partial index of its own."""
    portal = g.portal.id
    if kind == "dead":
        return replay.retryable_deliveries(portal)
    if kind == "waiting":
        return select(Delivery).where(Delivery.portal_id == portal, Delivery.state.in_(("waiting", "sent")))
    if kind == "recordings":
        return select(Recording).where(Recording.portal_id == portal, _equals_literal(Recording.state, "lost"))
    return select(Notification).where(Notification.portal_id == portal, _equals_literal(Notification.state, "rejected"))


def _equals_literal(column: Any, value: str) -> Any:
    """The value as a word of the statement: a parameter would hide the partial index from SQLite."""
    return column == literal_column(f"'{value}'")


@blueprint.get("/<any(dead, waiting, recordings, rejected):kind>")
def show(kind: str) -> Response:
    """One of the lists, the latest first."""
    return _render_page(kind)


@blueprint.post("/all")
def retry_all() -> Response:
    """Everything that was refused or lost once more, in the background; the page may be left."""
    queue.enqueue_background("try_again", g.portal.id, g.frame.user_id)
    return _render_page("dead", begun=True)


@blueprint.post("/hurry")
def retry_waiting() -> Response:
    """What waits is tried now."""
    portal_id = g.portal.id
    db.session.rollback()
    replay.retry_now(portal_id)
    rendering.reload_portal()
    return _render_page("waiting", begun=True)


@blueprint.post("/read/<int:row_id>")
def reread_notifications(row_id: int) -> Response:
    """Read the notifications of one entry anew: a newer version may understand them."""
    row = db.session.get(Notification, row_id)
    if row is not None and row.portal_id == g.portal.id and row.entry_id:
        portal_id, entry_id = row.portal_id, row.entry_id
        db.session.rollback()
        replay.replay_entry(portal_id, entry_id, replay.Actor("frame", g.frame.user_id))
        rendering.reload_portal()
    return _render_page("rejected", begun=True)


def _render_page(kind: str, *, begun: bool = False) -> Response:
    rendering.load_settings()
    raw = request.args.get("below", "")
    below = parse_int(raw)
    rows = _load_rows(kind, below)
    rest = rows[PAGE_SIZE - 1].id if len(rows) > PAGE_SIZE else None
    if below is not None:
        return rendering.render_response("parts/stuck_rows.html", "calls", kind=kind, rows=rows[:PAGE_SIZE], below=rest)
    numbers = count_by_kind()
    return rendering.render_response(
        "stuck.html", "calls", kind=kind, rows=rows[:PAGE_SIZE], below=rest, counts=numbers, begun=begun, most=MAX_COUNTED
    )


def _load_rows(kind: str, below: int | None) -> list[UndeliveredRow]:
    model = {"recordings": Recording, "rejected": Notification}.get(kind, Delivery)
    query = _build_query(kind).order_by(model.id.desc()).limit(PAGE_SIZE + 1)  # type: ignore[attr-defined]
    if below is not None:
        query = query.where(model.id < below)  # type: ignore[attr-defined]
    found = list(db.session.scalars(query))
    ids = {row.call_id for row in found if kind != "rejected"}
    calls = {row.id: row for row in db.session.scalars(select(Call).where(Call.id.in_(ids)))} if ids else {}
    made: Callable[[Any, dict[int, Call]], UndeliveredRow] = _ROW_BUILDERS.get(kind, _delivery_row)
    return [made(row, calls) for row in found]


def _delivery_row(row: Delivery, calls: dict[int, Call]) -> UndeliveredRow:
    at = row.done_at or row.sent_at or row.created_at
    return UndeliveredRow(row.id, at, timeline.describe_command(row), timeline.describe_reason(row), calls.get(row.call_id), row.attempts, row.due_at)


def _recording_row(row: Recording, calls: dict[int, Call]) -> UndeliveredRow:
    call = calls.get(row.call_id)
    at = row.noticed_at or (call.started_at if call is not None else None)
    return UndeliveredRow(row.id, at, row.recording_id, row.problem or "", call, row.tries)


def _notification_row(row: Notification, calls: dict[int, Call]) -> UndeliveredRow:
    del calls
    return UndeliveredRow(
        row.id, row.received_at, timeline.describe_notification(row), timeline_texts.describe_rejection(row.reason), body=_pretty_json(row.body), entry_id=row.entry_id
    )


_ROW_BUILDERS: dict[str, Callable[[Any, dict[int, Call]], UndeliveredRow]] = {"recordings": _recording_row, "rejected": _notification_row}


def _pretty_json(body: str) -> str:
    try:
        return json.dumps(json.loads(body), ensure_ascii=False, indent=1)[:4000]
    except (ValueError, RecursionError):
        return body[:4000]
