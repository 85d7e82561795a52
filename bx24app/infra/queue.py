"""RQ queues and wake-ups: lets a worker do something now or at a given time.

Use cases call this after their commit. The tables are the truth: a job carries one id and may run twice, late, or
never, and the sweep queues again whatever is due. Wake-ups of a portal coalesce: at most one is queued besides those
that run. None is lost, since a drain clears the flag before it reads.
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
"""A wake-up flag whose job was lost (Redis restarted between both) holds back further wake-ups for at most this
long."""
JOB_TIMEOUT_SECONDS = 900
"""RQ ends a job after this time; use cases bound themselves far below it."""

_log = get_logger(__name__)


def _open_queue(name: str) -> Queue:
    return Queue(name, connection=runtime().redis, serializer=JSONSerializer)


def _enqueue_by_name(queue: str, job: str, *args: Any, at: datetime | None = None) -> bool:
    """Queue a job by the name of its function; False if Redis does not answer. Then the sweep queues it later.

    Each job has its own id: RQ deletes a finished job by its id, and would delete a job with the same id that was
    queued meanwhile.
    """
    options: dict[str, Any] = {"result_ttl": 0, "failure_ttl": 86400, "job_timeout": JOB_TIMEOUT_SECONDS}
    try:
        if at is not None:
            _open_queue(queue).enqueue_at(at, job, *args, **options)
        else:
            _open_queue(queue).enqueue(job, *args, **options)
    except redis.RedisError as error:
        _log.warning("wake-up not queued, the next sweep will wake the portal", job=job, error=type(error).__name__)
        return False
    return True


def wake_portal(portal_id: int, *, force: bool = False) -> None:
    """Let a worker drain this portal at once. Call it after the commit. Does not raise if Redis does not answer."""
    try:
        is_new = runtime().redis.set(f"wake:{portal_id}", b"1", nx=not force, ex=WAKE_FLAG_SECONDS)
    except redis.RedisError as error:
        _log.warning("wake-up not queued, the next sweep will wake the portal", job="drain", error=type(error).__name__)
        return
    if is_new:
        _enqueue_by_name(CALLS, "bx24app.jobs.drain", portal_id)


def clear_wake(portal_id: int) -> None:
    """A drain begins: whatever is committed from now on needs a new wake-up."""
    try:
        runtime().redis.delete(f"wake:{portal_id}")
    except redis.RedisError as error:
        _log.warning("Redis does not answer", error=type(error).__name__)


def wake_at(portal_id: int, when: datetime) -> None:
    """Let a worker drain this portal at `when`; an earlier time that is already set stays."""
    if when <= utcnow():
        wake_portal(portal_id)
        return
    # RQ schedules by whole seconds: rounded down, the job would run before anything is due.
    stamp, key = float(math.ceil(when.timestamp())), f"alarm:{portal_id}"
    try:
        client = runtime().redis
        current = client.get(key)
        if current is not None and utcnow().timestamp() < float(current) <= stamp:
            return
        client.set(key, stamp, ex=max(60, int(stamp - utcnow().timestamp()) + 60))
    except redis.RedisError as error:
        _log.warning("wake-up time not set, the next sweep will wake the portal", error=type(error).__name__)
        return
    _enqueue_by_name(CALLS, "bx24app.jobs.drain", portal_id, at=datetime.fromtimestamp(stamp, UTC))


def wake_recording(recording_id: int, when: datetime | None = None) -> None:
    """Let a worker fetch and attach this recording, at once or at `when`."""
    at = None
    if when is not None and when > utcnow():
        at = datetime.fromtimestamp(math.ceil(when.timestamp()), UTC)
    _enqueue_by_name(RECORDINGS, "bx24app.jobs.carry_recording", recording_id, at=at)


def enqueue_background(job: str, *args: Any, when: datetime | None = None) -> None:
    """Queue any other deferred piece of work (`bx24app.jobs.<job>`)."""
    _enqueue_by_name(BACKGROUND, f"bx24app.jobs.{job}", *args, at=when)
