"""RQ queues and wake-ups: lets a worker do something now or at a given time.

Use cases call this after their commit. The tables are the truth: a job carries one id and may run twice, late, or
never, and the sweep queues again whatever is due. A wake-up of a portal is no job: it is an entry of a list
(`wake_list`) that the portal threads of the workers take (`portal_worker`), at most one of a portal besides those that
run.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

import redis
from rq import Queue
from rq.serializers import JSONSerializer

from bx24app.infra import wake_list
from bx24app.infra.clock import utcnow
from bx24app.infra.logs import get_logger
from bx24app.infra.runtime import runtime
from bx24app.infra.wake_list import BACKGROUND as BACKGROUND
from bx24app.infra.wake_list import CALLS as CALLS
from bx24app.infra.wake_list import RECORDINGS as RECORDINGS
from bx24app.infra.wake_timers import WakeTimers

QUEUES = (CALLS, RECORDINGS, BACKGROUND)
JOB_TIMEOUT_SECONDS = 900
"""RQ ends a job after this time; use cases bound themselves far below it."""

_DEFERRED_JOBS = {CALLS: "bx24app.jobs.drain", RECORDINGS: "bx24app.jobs.carry_recordings"}
_ALARM_KEYS = {CALLS: "alarm", RECORDINGS: "alarm-recordings"}
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


def wake_portal(portal_id: int) -> bool:
    """Let a worker drain this portal at once. Call it after the commit. Returns whether Redis answered."""
    return _wake(CALLS, portal_id)


def wake_at(portal_id: int, when: datetime) -> None:
    """Let a worker drain this portal at `when`; an earlier time that is already set stays."""
    _wake_at(CALLS, portal_id, when)


def wake_recordings(portal_id: int, when: datetime | None = None) -> None:
    """Give this portal's recordings a turn, at once or at `when`; an earlier time that is already set stays, so a turn
    must ask for the next one.
    """
    if when is None:
        _wake(RECORDINGS, portal_id)
    else:
        _wake_at(RECORDINGS, portal_id, when)


def _wake(name: str, portal_id: int) -> bool:
    try:
        wake_list.add(name, portal_id)
    except redis.RedisError as error:
        _log.warning(_NOT_QUEUED, list=name, error=type(error).__name__)
        return False
    return True


def _wake_at(name: str, portal_id: int, when: datetime) -> None:
    seconds = (when - utcnow()).total_seconds()
    if seconds <= 0:
        _wake(name, portal_id)
    elif not runtime().get(WakeTimers).set_timer(name, portal_id, seconds):
        _defer_wake(name, portal_id, when)


def _defer_wake(name: str, portal_id: int, when: datetime) -> None:
    """By RQ: the time is far away, or this process keeps no timers."""
    # RQ schedules by whole seconds: rounded down, the job would run before anything is due.
    stamp, key = float(math.ceil(when.timestamp())), f"{_ALARM_KEYS[name]}:{portal_id}"
    try:
        client = runtime().redis
        current = client.get(key)
        if current is not None and utcnow().timestamp() < float(current) <= stamp:
            return
        client.set(key, stamp, ex=max(60, int(stamp - utcnow().timestamp()) + 60))
    except redis.RedisError as error:
        _log.warning("wake-up time not set, the next sweep will wake the portal", error=type(error).__name__)
        return
    _enqueue_by_name(name, _DEFERRED_JOBS[name], portal_id, at=datetime.fromtimestamp(stamp, UTC))


def enqueue_background(job: str, *args: Any, when: datetime | None = None) -> None:
    """Queue any other deferred piece of work (`bx24app.jobs.<job>`)."""
    _enqueue_by_name(BACKGROUND, f"bx24app.jobs.{job}", *args, at=when)
