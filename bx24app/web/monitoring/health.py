"""`/healthz`, `/readyz` and `/metrics`, for load balancers and Prometheus.

All numbers come from the tables and from Redis, so every web process reports the same.
"""

from __future__ import annotations

import redis
from flask import Blueprint, Response, jsonify
from sqlalchemy.exc import SQLAlchemyError

from bx24app.infra.runtime import runtime
from bx24app.models import db, utcnow
from bx24app.operations.system_counts import count_pending
from bx24app.web.monitoring import metrics

blueprint = Blueprint("health", __name__)


@blueprint.get("/healthz")
def check_alive() -> Response:
    """200 while the process lives."""
    return Response("ok\n", mimetype="text/plain")


@blueprint.get("/readyz")
def check_ready() -> tuple[Response, int]:
    """200 when both database and Redis answer, else 503; the body says how much waits."""
    try:
        pending, oldest = count_pending(utcnow())
        database = "ok"
    except SQLAlchemyError:
        db.session.rollback()
        pending, oldest, database = dict.fromkeys(("notifications", "deliveries", "recordings")), None, "down"
    queue = "ok" if redis_answers() else "down"
    is_ready = database == queue == "ok"
    answer = {"status": "ok" if is_ready else "unavailable", "database": database, "redis": queue}
    return jsonify(answer | {"pending": pending, "oldest_pending_seconds": oldest}), 200 if is_ready else 503


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
