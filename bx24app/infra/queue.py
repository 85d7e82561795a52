"""The alarm clock: RQ queues and wake-ups.

The tables are the truth; a job carries one id and may run twice, late, or never: `sweep` rings again for everything that is due.
Wake-ups of a portal coalesce: at most one is queued besides those that run, and none is lost, since a drain takes the flag away
before it looks.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

import redis
from rq import Queue
from rq.serializers import JSONSerializer

from bx24app.infra.clock import utcnow
from bx24app.infra.logs import get_logger
from bx24app.infra.runtime import runtime

CALLS, RECORDINGS, BACKGROUND = "calls", "recordings", "background"
QUEUES = (CALLS, RECORDINGS, BACKGROUND)
WAKE_FLAG_SECONDS = 30
"""A wake-up flag whose job was lost (Redis restarted between both) stands in nobody's way for longer than this."""
JOB_TIMEOUT_SECONDS = 900
"""Death penalty of a job; use cases bound themselves far below it."""

_log = get_logger(__name__)


def _open_queue(name: str) -> Queue:
    return Queue(name, connection=runtime().redis, serializer=JSONSerializer)


def _enqueue_by_name(queue: str, job: str, *args: Any, at: datetime | None = None) -> bool:
    """Queue a job by the name of its function; False where Redis does not answer (the sweep will ring instead).

    Each job has an id of its own: RQ deletes a finished job by its id, and would take one of the same name, queued meanwhile, with it.
    """
    options: dict[str, Any] = {"result_ttl": 0, "failure_ttl": 86400, "job_timeout": JOB_TIMEOUT_SECONDS}
    try:
        if at is not None:
            _open_queue(queue).enqueue_at(at, job, *args, **options)
        else:
            _open_queue(queue).enqueue(job, *args, **options)
    except redis.RedisError as error:
        _log.warning("wake-up not queued, the sweep will ring", job=job, error=type(error).__name__)
        return False
    return True


def wake_portal(portal_id: int, *, force: bool = False) -> None:
    """Let a worker look at this portal at once. Call it after the commit. Never raises for Redis' sake."""
    try:
        fresh = runtime().redis.set(f"wake:{portal_id}", b"1", nx=not force, ex=WAKE_FLAG_SECONDS)
    except redis.RedisError as error:
        _log.warning("wake-up not queued, the sweep will ring", job="drain", error=type(error).__name__)
        return
    if fresh:
        _enqueue_by_name(CALLS, "bx24app.jobs.drain", portal_id)


def clear_wake(portal_id: int) -> None:
    """A drain begins: whatever is said from now on needs a wake-up of its own."""
    try:
        runtime().redis.delete(f"wake:{portal_id}")
    except redis.RedisError as error:
        _log.warning("Redis does not answer", error=type(error).__name__)


def wake_at(portal_id: int, when: datetime) -> None:
    """Let a worker look at this portal at `when`; an earlier time that is already set stays."""
    if when <= utcnow():
        wake_portal(portal_id)
        return
    # RQ counts in whole seconds: rounded down, the alarm would ring before anything is due.
    stamp, key = float(math.ceil(when.timestamp())), f"alarm:{portal_id}"
    try:
        client = runtime().redis
        held = client.get(key)
        if held is not None and utcnow().timestamp() < float(held) <= stamp:
            return
        client.set(key, stamp, ex=max(60, int(stamp - utcnow().timestamp()) + 60))
    except redis.RedisError as error:
        _log.warning("alarm not set, the sweep will ring", error=type(error).__name__)
        return
    _enqueue_by_name(CALLS, "bx24app.jobs.drain", portal_id, at=datetime.fromtimestamp(stamp, UTC))


def wake_recording(recording_id: int, when: datetime | None = None) -> None:
    """Let a worker fetch and attach this recording, at once or at `when`."""
    later = None
    if when is not None and when > utcnow():
        later = datetime.fromtimestamp(math.ceil(when.timestamp()), UTC)
    _enqueue_by_name(RECORDINGS, "bx24app.jobs.carry_recording", recording_id, at=later)


def enqueue_background(job: str, *args: Any, when: datetime | None = None) -> None:
    """Queue any other deferred piece of work (`bx24app.jobs.<job>`)."""
    _enqueue_by_name(BACKGROUND, f"bx24app.jobs.{job}", *args, at=when)
