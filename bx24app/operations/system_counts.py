"""Numbers of the whole installation, over all portals: what waits, what was received, what failed, how long it took.

`/readyz` and `/metrics` report them. Each query runs on a partial index or a primary key, so a scrape stays quick on
large tables.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, select

from bx24app.models import Call, Delivery, Notification, Pbx, Portal, Recording, SetAside, db

OPEN_STATES = ("waiting", "sent")
DELAY_WINDOW = timedelta(minutes=15)
NEWEST_ROWS = 5000
"""Rows at the end of the table that delays are taken from, however large the table is."""


def count_pending(now: datetime) -> tuple[dict[str, Any], float]:
    """What waits: counts by kind, and the age of the oldest in seconds."""
    db.session.connection(execution_options={"read_only": True})
    due = (Recording.due_at <= now, Recording.state == "waiting")
    counts = {
        "notifications": select(func.count(), func.min(Notification.received_at)).where(Notification.state == "new"),
        "deliveries": select(func.count(), func.min(Delivery.created_at)).where(Delivery.state.in_(OPEN_STATES)),
        "recordings": select(func.count(), func.min(Recording.due_at)).where(*due),
    }
    pending: dict[str, Any] = {}
    oldest = 0.0
    for name, query in counts.items():
        count, since = db.session.execute(query).one()
        pending[name] = count
        if since is not None:
            oldest = max(oldest, (now - since).total_seconds())
    db.session.rollback()
    return pending, round(oldest, 1)


def highest_ids() -> dict[str, int]:
    """The highest row id of each table: what was ever taken in, read from the primary key."""
    columns = {
        "notifications": Notification.id,
        "calls": Call.id,
        "deliveries": Delivery.id,
        "recordings": Recording.id,
    }
    return {name: db.session.scalar(select(func.max(column))) or 0 for name, column in columns.items()}


def count_refused_notifications() -> int:
    """Notifications with a wrong key or signature since the last good one, over all PBXs."""
    return db.session.scalar(select(func.sum(Pbx.refused_count))) or 0


def count_missing_calls() -> int:
    """Calls, ends and recordings that only Mango's statistics told of."""
    return db.session.scalar(select(func.sum(Pbx.lost_found))) or 0


def count_failing_statistics() -> int:
    """PBXs whose statistics could not be read last time."""
    return db.session.scalar(select(func.count()).where(Pbx.ask_failures > 0)) or 0


def count_portals_by_state() -> dict[str, int]:
    """State -> portals."""
    query = select(Portal.state, func.count()).group_by(Portal.state)
    return {row[0]: row[1] for row in db.session.execute(query)}


def count_dead_deliveries() -> int:
    """Commands that a portal refused for good."""
    return db.session.scalar(select(func.count()).where(Delivery.state == "dead")) or 0


def count_set_aside() -> dict[str, int]:
    """Kind -> rows on which the program failed and that nobody is trying again now."""
    query = select(SetAside.kind, func.count()).where(SetAside.is_waiting.is_(False)).group_by(SetAside.kind)
    return {row[0]: row[1] for row in db.session.execute(query)}


def card_delays(now: datetime) -> list[float]:
    """Seconds from the notification that decided a registration to the portal's answer, of the last 15 minutes."""
    # The last notification of the call that was there when the registration was decided is the one that decided it.
    cause = (
        select(func.max(Notification.received_at))
        .where(
            Notification.portal_id == Call.portal_id,
            Notification.pbx_id == Call.pbx_id,
            Notification.entry_id == Call.entry_id,
            Notification.received_at <= Delivery.created_at,
        )
        .scalar_subquery()
    )
    registered = (
        _among_newest(Delivery.id),
        Delivery.kind == "Register",
        Delivery.state == "done",
        Delivery.done_at > now - DELAY_WINDOW,
    )
    query = select(cause, Delivery.done_at).join(Call, Call.id == Delivery.call_id).where(*registered)
    return [(done - received).total_seconds() for received, done in db.session.execute(query) if received and done]


def recording_delays(now: datetime) -> list[float]:
    """Seconds from the notice of a recording to its attachment, of the last 15 minutes."""
    lag = Recording.lag_seconds
    query = select(lag).where(lag.is_not(None), Recording.attached_at > now - DELAY_WINDOW)
    return [value for value in db.session.scalars(query) if value is not None]


def _among_newest(column: Any) -> Any:
    return column > select(func.coalesce(func.max(column), 0) - NEWEST_ROWS).scalar_subquery()
