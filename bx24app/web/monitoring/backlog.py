"""What waits, in numbers: for `/readyz` and `/metrics`."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import func, select

from bx24app.models import Delivery, Notification, Recording, db

OPEN_STATES = ("waiting", "sent")


def count_pending(now: datetime) -> tuple[dict[str, Any], float]:
    """What waits: counts, and the age of the oldest in seconds. Each query runs on a partial index."""
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
