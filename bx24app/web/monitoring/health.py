"""`/healthz`, `/readyz` and `/metrics`, for load balancers and Prometheus.

All numbers come from the tables and from Redis, so every web process reports the same.
"""

from __future__ import annotations

import tempfile

import redis
from flask import Blueprint, Response, jsonify
from sqlalchemy.exc import SQLAlchemyError

from bx24app.infra.runtime import runtime
from bx24app.models import db, utcnow
from bx24app.operations.system_counts import count_pending
from bx24app.web.monitoring import metrics

blueprint = Blueprint("health", __name__)
PROBE_BYTES = 64 * 1024


@blueprint.get("/healthz")
def check_alive() -> Response:
    """200 while the process lives."""
    return Response("ok\n", mimetype="text/plain")


@blueprint.get("/readyz")
def check_ready() -> tuple[Response, int]:
    """200 when database and Redis answer and the disk has room, else 503; the body says what, and how much waits.

    For alarms. A load balancer asks `/healthz`: without Redis, or with a full spool, notifications are still taken.
    """
    try:
        pending, oldest = count_pending(utcnow())
        database = "ok"
    except SQLAlchemyError:
        db.session.rollback()
        pending, oldest, database = dict.fromkeys(("notifications", "deliveries", "recordings")), None, "down"
    queue = "ok" if redis_answers() else "down"
    disk = "ok" if disk_has_room() else "full"
    is_ready = database == queue == disk == "ok"
    answer = {"status": "ok" if is_ready else "unavailable", "database": database, "redis": queue, "disk": disk}
    return jsonify(answer | {"pending": pending, "oldest_pending_seconds": oldest}), 200 if is_ready else 503


@blueprint.get("/metrics")
def scrape_metrics() -> Response:
    """Prometheus text."""
    return Response(metrics.render_text(), content_type=metrics.CONTENT_TYPE)


def disk_has_room() -> bool:
    """Can a file of 64 KiB be written beside the spool and SQLite's database?"""
    try:
        with tempfile.TemporaryFile(dir=runtime().config.data_dir) as probe:
            probe.write(bytes(PROBE_BYTES))
    except FileNotFoundError:
        return True  # a web machine of its own: nothing is kept here
    except OSError:
        return False
    return True


def redis_answers() -> bool:
    """Does Redis answer a ping?"""
    try:
        return bool(runtime().redis.ping())
    except (redis.RedisError, RuntimeError):
        return False
