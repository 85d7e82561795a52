"""RQ queues and wake-ups: lets a worker do something now or at a given time.

Use cases call this after their commit. The tables are the truth: a job carries one id and may run twice, late, or
never, and the sweep queues again whatever is due. Wake-ups of a portal coalesce, those of its drain and those of its
recordings: at most one is queued besides those that run. None is lost, since a drain clears the flag before it reads.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
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

_NOT_QUEUED = "wake-up not queued, the next sweep will wake the portal"
_log = get_logger(__name__)


def _open_queue(name: str) -> Queue:
    return Queue(name, connection=runtime().queue_redis, serializer=JSONSerializer)


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
        _log.warning(_NOT_QUEUED, job=job, error=type(error).__name__)
        return False
    return True


@dataclass(frozen=True, slots=True)
class _WakeUp:
    """A job of a portal that waits in its queue at most once; `flag` and `alarm` begin the names of its keys."""

    queue: str
    job: str
    flag: str
    alarm: str


_DRAIN = _WakeUp(CALLS, "bx24app.jobs.drain", "wake", "alarm")
_CARRY = _WakeUp(RECORDINGS, "bx24app.jobs.carry_recordings", "wake-recordings", "alarm-recordings")


def wake_portal(portal_id: int, *, force: bool = False) -> bool:
    """Let a worker drain this portal at once. Call it after the commit. Returns whether Redis answered."""
    return _wake(_DRAIN, portal_id, force=force)


def clear_wake(portal_id: int) -> None:
    """A drain begins: whatever is committed from now on needs a new wake-up."""
    _clear(_DRAIN, portal_id)


def wake_at(portal_id: int, when: datetime) -> None:
    """Let a worker drain this portal at `when`; an earlier time that is already set stays."""
    _wake_at(_DRAIN, portal_id, when)


def wake_recordings(portal_id: int, when: datetime | None = None) -> None:
    """Give this portal's recordings a turn, at once or at `when`; an earlier time that is already set stays, so a turn
    must ask for the next one.
    """
    if when is None:
        _wake(_CARRY, portal_id)
    else:
        _wake_at(_CARRY, portal_id, when)


def clear_recordings_wake(portal_id: int) -> None:
    """A turn of this portal's recordings begins."""
    _clear(_CARRY, portal_id)


def _wake(wake_up: _WakeUp, portal_id: int, *, force: bool = False) -> bool:
    try:
        is_new = runtime().redis.set(f"{wake_up.flag}:{portal_id}", b"1", nx=not force, ex=WAKE_FLAG_SECONDS)
    except redis.RedisError as error:
        _log.warning(_NOT_QUEUED, job=wake_up.job, error=type(error).__name__)
        return False
    return not is_new or _enqueue_by_name(wake_up.queue, wake_up.job, portal_id)


def _clear(wake_up: _WakeUp, portal_id: int) -> None:
    try:
        runtime().redis.delete(f"{wake_up.flag}:{portal_id}")
    except redis.RedisError as error:
        _log.warning("Redis does not answer", error=type(error).__name__)


def _wake_at(wake_up: _WakeUp, portal_id: int, when: datetime) -> None:
    if when <= utcnow():
        _wake(wake_up, portal_id)
        return
    # RQ schedules by whole seconds: rounded down, the job would run before anything is due.
    stamp, key = float(math.ceil(when.timestamp())), f"{wake_up.alarm}:{portal_id}"
    try:
        client = runtime().redis
        current = client.get(key)
        if current is not None and utcnow().timestamp() < float(current) <= stamp:
            return
        client.set(key, stamp, ex=max(60, int(stamp - utcnow().timestamp()) + 60))
    except redis.RedisError as error:
        _log.warning("wake-up time not set, the next sweep will wake the portal", error=type(error).__name__)
        return
    _enqueue_by_name(wake_up.queue, wake_up.job, portal_id, at=datetime.fromtimestamp(stamp, UTC))


def enqueue_background(job: str, *args: Any, when: datetime | None = None) -> None:
    """Queue any other deferred piece of work (`bx24app.jobs.<job>`)."""
    _enqueue_by_name(BACKGROUND, f"bx24app.jobs.{job}", *args, at=when)
