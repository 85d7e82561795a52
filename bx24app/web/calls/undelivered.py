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
from bx24app.web.base.parsing import whole
from bx24app.web.calls import timeline, timeline_texts

blueprint = Blueprint("stuck", __name__)
PAGE = 50
MOST = 1000
"""Counted up to this; more is "more than"."""
KINDS = ("dead", "waiting", "recordings", "rejected")


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a list. `words`: what it is; `why`: the reason in words; `body`: what was said, as it came."""

    id: int
    at: Any
    words: str
    why: str
    call: Call | None = None
    tries: int = 0
    due: Any = None
    body: str = ""
    entry_id: str | None = None


def counts() -> dict[str, int]:
    """How many of each kind there are, up to `MOST` + 1."""
    return {kind: _count(_query(kind)) for kind in KINDS}


def _count(query: Select[Any]) -> int:
    some = query.with_only_columns(query.selected_columns[0]).limit(MOST + 1).subquery()
    return db.session.scalar(select(func.count()).select_from(some)) or 0


def _query(kind: str) -> Select[Any]:
    """All rows of a kind, each by a partial index of its own."""
    portal = g.portal.id
    if kind == "dead":
        return replay.revivable(portal)
    if kind == "waiting":
        return select(Delivery).where(Delivery.portal_id == portal, Delivery.state.in_(("waiting", "sent")))
    if kind == "recordings":
        return select(Recording).where(Recording.portal_id == portal, _literal(Recording.state, "lost"))
    return select(Notification).where(Notification.portal_id == portal, _literal(Notification.state, "rejected"))


def _literal(column: Any, value: str) -> Any:
    """The value as a word of the statement: a parameter would hide the partial index from SQLite."""
    return column == literal_column(f"'{value}'")


@blueprint.get("/<any(dead, waiting, recordings, rejected):kind>")
def show(kind: str) -> Response:
    """One of the lists, the latest first."""
    return _page(kind)


@blueprint.post("/all")
def all_again() -> Response:
    """Everything that was refused or lost once more, in the background; the page may be left."""
    queue.later("try_again", g.portal.id, g.frame.user_id)
    return _page("dead", begun=True)


@blueprint.post("/hurry")
def hurry() -> Response:
    """What waits is tried now."""
    portal_id = g.portal.id
    db.session.rollback()
    replay.hurry(portal_id)
    rendering.look_again()
    return _page("waiting", begun=True)


@blueprint.post("/read/<int:row_id>")
def read_again(row_id: int) -> Response:
    """Read the notifications of one entry anew: a newer version may understand them."""
    row = db.session.get(Notification, row_id)
    if row is not None and row.portal_id == g.portal.id and row.entry_id:
        portal_id, entry_id = row.portal_id, row.entry_id
        db.session.rollback()
        replay.entry(portal_id, entry_id, replay.By("frame", g.frame.user_id))
        rendering.look_again()
    return _page("rejected", begun=True)


def _page(kind: str, *, begun: bool = False) -> Response:
    rendering.current()
    raw = request.args.get("below", "")
    below = whole(raw)
    rows = _rows(kind, below)
    rest = rows[PAGE - 1].id if len(rows) > PAGE else None
    if below is not None:
        return rendering.show("parts/stuck_rows.html", "calls", kind=kind, rows=rows[:PAGE], below=rest)
    numbers = counts()
    return rendering.show(
        "stuck.html", "calls", kind=kind, rows=rows[:PAGE], below=rest, counts=numbers, begun=begun, most=MOST
    )


def _rows(kind: str, below: int | None) -> list[Row]:
    model = {"recordings": Recording, "rejected": Notification}.get(kind, Delivery)
    query = _query(kind).order_by(model.id.desc()).limit(PAGE + 1)  # type: ignore[attr-defined]
    if below is not None:
        query = query.where(model.id < below)  # type: ignore[attr-defined]
    found = list(db.session.scalars(query))
    ids = {row.call_id for row in found if kind != "rejected"}
    calls = {row.id: row for row in db.session.scalars(select(Call).where(Call.id.in_(ids)))} if ids else {}
    made: Callable[[Any, dict[int, Call]], Row] = _MADE.get(kind, _delivery)
    return [made(row, calls) for row in found]


def _delivery(row: Delivery, calls: dict[int, Call]) -> Row:
    at = row.done_at or row.sent_at or row.created_at
    return Row(row.id, at, timeline.told(row), timeline.why(row), calls.get(row.call_id), row.attempts, row.due_at)


def _recording(row: Recording, calls: dict[int, Call]) -> Row:
    call = calls.get(row.call_id)
    at = row.noticed_at or (call.started_at if call is not None else None)
    return Row(row.id, at, row.recording_id, row.problem or "", call, row.tries)


def _notification(row: Notification, calls: dict[int, Call]) -> Row:
    del calls
    return Row(
        row.id, row.received_at, timeline.came(row), timeline_texts.unread(row.reason), body=_readable(row.body), entry_id=row.entry_id
    )


_MADE: dict[str, Callable[[Any, dict[int, Call]], Row]] = {"recordings": _recording, "rejected": _notification}


def _readable(body: str) -> str:
    try:
        return json.dumps(json.loads(body), ensure_ascii=False, indent=1)[:4000]
    except (ValueError, RecursionError):
        return body[:4000]
