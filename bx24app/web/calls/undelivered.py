"""The pages of what did not get through: refused and waiting deliveries, lost recordings, unreadable
notifications, calls on which the app failed.

For administrators.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, Response, abort, g, make_response, render_template, request
from flask_babel import gettext

from bx24app.calls import replay, retry_report, set_aside, undelivered
from bx24app.models import Call, Delivery, Notification, Recording, SetAside, db
from bx24app.portals import intents
from bx24app.web.base import rendering
from bx24app.web.base.parsing import parse_int
from bx24app.web.calls import timeline_texts

blueprint = Blueprint("undelivered", __name__)
PAGE_SIZE = 50


@dataclass(frozen=True, slots=True)
class UndeliveredRow:
    """One line of a list.

    `text`: what it is; `reason`: why it is here, in words; `body`: the notification as it came.
    """

    id: int
    at: Any
    text: str
    reason: str
    call: Call | None = None
    tries: int = 0
    due_at: Any = None
    body: str = ""
    entry_id: str | None = None


@blueprint.get("/<any(dead, waiting, recordings, rejected, set_aside):kind>")
def show(kind: str) -> Response:
    """One of the lists, the latest first."""
    return _render_page(kind)


@blueprint.post("/all")
def retry_all() -> Response:
    """Retry everything that was refused or lost, in the background; the page may be left."""
    portal_id, user_id = g.portal.id, g.frame.user_id
    intents.ask(portal_id, "try_again", user_id=user_id)
    db.session.commit()
    retry_report.store_note(portal_id, is_pending=True)
    intents.ring(portal_id, "try_again", user_id=user_id)
    rendering.reload_portal()
    return _render_page("dead")


@blueprint.get("/report")
def show_report() -> Response:
    """What became of the last retry; the page polls it while the numbers may change."""
    rendering.load_settings()
    return make_response(render_template("parts/retry_report.html", portal=g.portal, **_load_report()))


@blueprint.post("/hurry")
def retry_waiting() -> Response:
    """Retry everything that waits now."""
    portal_id = g.portal.id
    db.session.rollback()
    replay.retry_now(portal_id)
    rendering.reload_portal()
    return _render_page("waiting")


@blueprint.post("/read/<int:row_id>")
def reread_notifications(row_id: int) -> Response:
    """Parse the notifications of one entry again: a newer version may understand them."""
    row = undelivered.find_notification(g.portal.id, row_id)
    if row is not None and row.entry_id:
        portal_id, entry_id = row.portal_id, row.entry_id
        db.session.rollback()
        replay.replay_entry(portal_id, entry_id, replay.Actor("frame", g.frame.user_id))
        rendering.reload_portal()
    return _render_page("rejected", is_started=True)


@blueprint.post("/again/<int:row_id>")
def retry_set_aside(row_id: int) -> Response:
    """Try one row again on which the app failed."""
    portal_id = g.portal.id
    db.session.rollback()
    if not set_aside.retry(portal_id, row_id, "frame", g.frame.user_id):
        abort(404)
    rendering.reload_portal()
    return _render_page("set_aside", is_started=True)


def _render_page(kind: str, *, is_started: bool = False) -> Response:
    rendering.load_settings()
    below = parse_int(request.args.get("below", ""))
    rows = _load_rows(kind, below)
    next_below = rows[PAGE_SIZE - 1].id if len(rows) > PAGE_SIZE else None
    if below is not None:
        return rendering.render_response(
            "parts/undelivered_rows.html", "calls", kind=kind, rows=rows[:PAGE_SIZE], below=next_below
        )
    return rendering.render_response(
        "undelivered.html",
        "calls",
        kind=kind,
        rows=rows[:PAGE_SIZE],
        below=next_below,
        counts=undelivered.count_by_kind(g.portal.id),
        is_started=is_started,
        max_counted=undelivered.MAX_COUNTED,
        **_load_report(),
    )


MAX_REASONS = 3
"""Reasons that the report names, the most frequent first."""


def _load_report() -> dict[str, Any]:
    """The report of the last retry, and why things wait or failed again: (reason, how often)."""
    report = retry_report.load_report(g.portal.id)
    rows = [*report.calls.rows, *report.recordings.rows] if report is not None else []
    reasons = Counter(
        timeline_texts.describe_reason(row) if isinstance(row, Delivery) else row.problem or "" for row in rows
    )
    return {"report": report, "reasons": reasons.most_common(MAX_REASONS)}


def _load_rows(kind: str, below: int | None) -> list[UndeliveredRow]:
    rows = undelivered.list_rows(g.portal.id, kind, below, PAGE_SIZE + 1)
    calls = undelivered.load_calls(row.call_id for row in rows if row.call_id) if kind != "rejected" else {}
    if kind == "set_aside":
        ids = [row.row_id for row in rows if row.kind == "notification"]
        notifications = undelivered.load_notifications(ids)
        return [_set_aside_row(row, calls, notifications.get(row.row_id)) for row in rows]
    build: Callable[[Any, dict[int, Call]], UndeliveredRow] = _ROW_BUILDERS.get(kind, _delivery_row)
    return [build(row, calls) for row in rows]


def _delivery_row(row: Delivery, calls: dict[int, Call]) -> UndeliveredRow:
    at = row.done_at or row.sent_at or row.created_at
    text, reason = timeline_texts.describe_command(row), timeline_texts.describe_reason(row)
    return UndeliveredRow(row.id, at, text, reason, calls.get(row.call_id), row.attempts, row.due_at)


def _recording_row(row: Recording, calls: dict[int, Call]) -> UndeliveredRow:
    call = calls.get(row.call_id)
    at = row.noticed_at or (call.started_at if call is not None else None)
    return UndeliveredRow(row.id, at, row.recording_id, row.problem or "", call, row.tries)


def _notification_row(row: Notification, calls: dict[int, Call]) -> UndeliveredRow:
    del calls
    text, reason = timeline_texts.describe_notification(row), timeline_texts.describe_rejection(row.reason)
    return UndeliveredRow(row.id, row.received_at, text, reason, body=_pretty_json(row.body), entry_id=row.entry_id)


def _set_aside_row(row: SetAside, calls: dict[int, Call], notification: Notification | None) -> UndeliveredRow:
    text, body = gettext("Call"), ""
    if notification is not None and row.kind == "notification":
        text, body = timeline_texts.describe_notification(notification), _pretty_json(notification.body)
    reason = gettext("Error of the app: %(what)s", what=row.reason)
    call = calls.get(row.call_id or 0)
    return UndeliveredRow(row.id, row.at, text, reason, call, row.tries, row.due_at, body, row.entry_id)


_ROW_BUILDERS: dict[str, Callable[[Any, dict[int, Call]], UndeliveredRow]] = {
    "recordings": _recording_row,
    "rejected": _notification_row,
}


def _pretty_json(body: str) -> str:
    try:
        return json.dumps(json.loads(body), ensure_ascii=False, indent=1)[:4000]
    except (ValueError, RecursionError):
        return body[:4000]
