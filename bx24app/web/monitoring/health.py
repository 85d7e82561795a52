"""`/healthz`, `/readyz`, `/metrics`: for load balancers and Prometheus. All figures come from the tables, so any number of processes agrees."""

from __future__ import annotations

import redis
from flask import Blueprint, Response, jsonify
from sqlalchemy.exc import SQLAlchemyError

from bx24app.infra.runtime import runtime
from bx24app.models import db, utcnow
from bx24app.web.monitoring import metrics
from bx24app.web.monitoring.backlog import count_pending

blueprint = Blueprint("health", __name__)


@blueprint.get("/healthz")
def check_alive() -> Response:
    """200 while the process lives."""
    return Response("ok\n", mimetype="text/plain")


@blueprint.get("/readyz")
def check_ready() -> tuple[Response, int]:
    """200 when both database and Redis answer, else 503; what waits is told in numbers."""
    try:
        pending, oldest = count_pending(utcnow())
        database = "ok"
    except SQLAlchemyError:
        db.session.rollback()
        pending, oldest, database = dict.fromkeys(("notifications", "deliveries", "recordings")), None, "down"
    queue = "ok" if redis_answers() else "down"
    good = database == queue == "ok"
    said = {"status": "ok" if good else "unavailable", "database": database, "redis": queue}
    return jsonify(said | {"pending": pending, "oldest_pending_seconds": oldest}), 200 if good else 503


@blueprint.get("/metrics")
def scrape_metrics() -> Response:
    """Prometheus text."""
    return Response(metrics.render_text(), content_type=metrics.CONTENT_TYPE)


def redis_answers() -> bool:
    """Does Redis answer a ping?"""
    try:
        return bool(runtime().redis.ping())
    except (redis.RedisError, RuntimeError):
        return False
