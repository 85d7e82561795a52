"""Mistakes in the set-up of a PBX at Mango Office that show in its calls. The overview warns of them."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import ColumnElement, or_, select

from bx24app.models import Call, Notification, Pbx, db, utcnow

CALLS_WITHOUT_SUMMARY = 5
"""This many calls in a row without a summary: a filter in the API connector withholds it."""
MIN_TALKED_CALLS, CHECKED_CALLS = 3, 300
"""Among the last 300 calls, three in which several people talked and no leg named a transfer: events of version 1."""


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


def _has_notification(pbx: Pbx, entries: list[str], condition: ColumnElement[bool]) -> bool:
    where = (Notification.portal_id == pbx.portal_id, Notification.pbx_id == pbx.id, Notification.entry_id.in_(entries))
    return db.session.scalars(select(Notification.id).where(*where, condition).limit(1)).first() is not None
