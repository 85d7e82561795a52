"""Mistakes in the set-up of a PBX at Mango Office that show in its calls. The overview warns of them."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import ColumnElement, or_, select

from bx24app.domain.calls.events import CommandResult
from bx24app.mango import dialects
from bx24app.mango.notification import MalformedNotification
from bx24app.models import Call, Delivery, Notification, Pbx, db, utcnow

CALLS_WITHOUT_SUMMARY = 5
"""This many calls in a row without a summary: a filter in the API connector withholds it."""
MIN_TALKED_CALLS, CHECKED_CALLS = 3, 300
"""Among the last 300 calls, three in which several people talked and no leg named a transfer: events of version 1."""

LOST_ROUTES = 3
"""This many clients in a row who were on their way before Mango could send them to their managers: the greeting of the
call scheme is too short, or is not waited for. Mango tells neither (D26, 3.7.8 and 3.7.9)."""
_TOO_LATE_CODES = frozenset({4100, 4101})
"""The call is not in a menu or queue any more, or has ended (D26, 3.2.7)."""


def has_no_summaries(pbx: Pbx) -> bool:
    """Did the last finished calls all end without a summary?"""
    last = select(Call.entry_id).where(
        Call.portal_id == pbx.portal_id, Call.pbx_id == pbx.id, Call.state == "finished", Call.direction != "internal"
    )
    newest = last.order_by(Call.started_at.desc(), Call.id.desc()).limit(CALLS_WITHOUT_SUMMARY)
    entries = list(db.session.scalars(newest))
    is_summary = Notification.name.in_(("events/summary", "call_end"))
    return len(entries) == CALLS_WITHOUT_SUMMARY and not _has_notification(pbx, entries, is_summary)


def sends_version_one(pbx: Pbx) -> bool:
    """Were calls transferred, and no leg named a transfer? Only version 2 of the events does."""
    last = select(Call.entry_id, Call.users).where(
        Call.portal_id == pbx.portal_id, Call.pbx_id == pbx.id, Call.started_at > utcnow() - timedelta(days=7)
    )
    rows = db.session.execute(last.order_by(Call.started_at.desc(), Call.id.desc()).limit(CHECKED_CALLS))
    entries = [entry for entry, users in rows if len(users or ()) > 1]
    if len(entries) < MIN_TALKED_CALLS:
        return False
    names_transfer = or_(Notification.body.contains('"transfer"'), Notification.body.contains('"was_transfer'))
    return not _has_notification(pbx, entries, names_transfer)


def loses_waiting_clients(pbx: Pbx) -> bool:
    """Were the last clients of the day who were to be sent to their managers all too quick?"""
    routes = (
        select(Delivery.state, Delivery.code, Delivery.command)
        .join(Call, Call.id == Delivery.call_id)
        .where(Call.portal_id == pbx.portal_id, Call.pbx_id == pbx.id, Call.started_at > utcnow() - timedelta(days=1))
        .where(Delivery.key == "route", Delivery.state.in_(("done", "dead")))
        .order_by(Call.started_at.desc(), Call.id.desc())
        .limit(LOST_ROUTES)
    )
    rows = db.session.execute(routes).all()
    accepted = [row.command.get("command_id") for row in rows if row.state == "done"]
    refused = [row.code for row in rows if row.state == "dead"]
    if len(rows) < LOST_ROUTES or any(code not in {str(late) for late in _TOO_LATE_CODES} for code in refused):
        return False
    return all(_is_refused_later(pbx, command_id) for command_id in accepted)


def _is_refused_later(pbx: Pbx, command_id: str | None) -> bool:
    """Did a `result/route` take the acceptance of this command back?"""
    query = select(Notification).where(
        Notification.portal_id == pbx.portal_id,
        Notification.command_id == command_id,
        Notification.name == "result/route",
    )
    row = db.session.scalars(query.limit(1)).first() if command_id else None
    if row is None:
        return False
    try:
        events = dialects.parse(row.dialect, row.name, row.body, 0)
    except MalformedNotification:
        return False  # the journal lists it
    return any(isinstance(event, CommandResult) and event.code in _TOO_LATE_CODES for event in events)


def _has_notification(pbx: Pbx, entries: list[str], condition: ColumnElement[bool]) -> bool:
    where = (Notification.portal_id == pbx.portal_id, Notification.pbx_id == pbx.id, Notification.entry_id.in_(entries))
    return db.session.scalars(select(Notification.id).where(*where, condition).limit(1)).first() is not None
