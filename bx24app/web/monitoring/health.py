"""`/healthz`, `/readyz`, `/metrics`: for load balancers and Prometheus. All figures come from the tables, so any number of processes agrees."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import redis
from flask import Blueprint, Response, jsonify
from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError

from bx24app.infra.runtime import runtime
from bx24app.models import Delivery, Notification, Recording, db, utcnow
from bx24app.web.monitoring import metrics

blueprint = Blueprint("health", __name__)
OPEN = ("waiting", "sent")


@blueprint.get("/healthz")
def alive() -> Response:
    """200 while the process lives."""
    return Response("ok\n", mimetype="text/plain")


@blueprint.get("/readyz")
def ready() -> tuple[Response, int]:
    """200 when both database and Redis answer, else 503; what waits is told in numbers."""
    try:
        pending, oldest = pending_now(utcnow())
        database = "ok"
    except SQLAlchemyError:
        db.session.rollback()
        pending, oldest, database = dict.fromkeys(("notifications", "deliveries", "recordings")), None, "down"
    queue = "ok" if redis_answers() else "down"
    good = database == queue == "ok"
    said = {"status": "ok" if good else "unavailable", "database": database, "redis": queue}
    return jsonify(said | {"pending": pending, "oldest_pending_seconds": oldest}), 200 if good else 503


@blueprint.get("/metrics")
def scrape() -> Response:
    """Prometheus text."""
    return Response(metrics.text(), content_type=metrics.CONTENT_TYPE)


def redis_answers() -> bool:
    """Does Redis answer a ping?"""
    try:
        return bool(runtime().redis.ping())
    except (redis.RedisError, RuntimeError):
        return False


def pending_now(now: datetime) -> tuple[dict[str, Any], float]:
    """What waits: counts, and the age of the oldest in seconds. Each query runs on a partial index."""
    db.session.connection(execution_options={"read_only": True})
    due = (Recording.due_at <= now, Recording.state == "waiting")
    counts = {
        "notifications": select(func.count(), func.min(Notification.received_at)).where(Notification.state == "new"),
        "deliveries": select(func.count(), func.min(Delivery.created_at)).where(Delivery.state.in_(OPEN)),
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
