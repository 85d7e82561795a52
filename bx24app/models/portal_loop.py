"""A wall between tenants: loops over portals or PBXs in which what fails for one stops nothing for the others.

Every periodic job that does something for each portal in turn calls `for_each`. Whatever the work raises is logged,
counted for the metrics and remembered until that tenant succeeds again; then the next one is served. Requests to the
portal end with its share of the time, and the run ends by itself: the next run continues behind the tenant where this
one stopped, even if the process died in the middle. What is remembered lies in Redis; without it nothing is held back.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Any

import redis
from rq.timeouts import BaseTimeoutException
from sqlalchemy.exc import DBAPIError

from bx24app.bitrix24 import request_deadline
from bx24app.infra.clock import utcnow
from bx24app.infra.logs import get_logger
from bx24app.infra.runtime import runtime
from bx24app.models.base import db

_log = get_logger(__name__)

RUN_SECONDS, PORTAL_SECONDS = 60.0, 15.0
"""How long a run may serve tenants, and how long requests to one of them may take."""
FAILURES_KEY = "portal_loop:failures"
"""Hash in Redis: name of the loop -> how often a tenant failed, for the metric."""
_CURSOR_SECONDS = _FAILING_SECONDS = 86400


def for_each(
    loop: str,
    ids: Sequence[int],
    work: Callable[[int], object],
    *,
    claim: Callable[[int], bool] | None = None,
    pause: timedelta | None = None,
    seconds: float = RUN_SECONDS,
    portal_seconds: float = PORTAL_SECONDS,
) -> int:
    """Do the work for each tenant; returns for how many it was done without an error.

    Args:
        loop: name of the loop, in logs and metrics.
        ids: row ids of portals or PBXs, in the order in which they should be served.
        claim: moves the tenant's due time on and commits, before anything that may fail; False leaves it out.
        pause: without a due time in the tables: how long a tenant is left alone after it was tried.
    """
    until, done, failing = time.monotonic() + seconds, 0, _known_failing(loop)
    for tenant in _behind_cursor(loop, ids):
        if time.monotonic() > until:
            _log.info("loop over portals continues in the next run", loop=loop)
            return done
        _set_cursor(loop, tenant)
        try:
            if (claim is not None and not claim(tenant)) or (pause and not _claim_in_redis(loop, tenant, pause)):
                continue
            with request_deadline.limit_seconds(min(portal_seconds, max(1.0, until - time.monotonic()))):
                work(tenant)
            done += 1
            if tenant in failing:
                _forget(loop, tenant)
        except Exception as error:
            db.session.rollback()
            db.session.remove()
            if _concerns_all(error):
                raise
            _remember(loop, tenant, error)
    _set_cursor(loop, None)
    return done


def run_parts(job: str, parts: Sequence[Callable[[], object]]) -> None:
    """Carry out the parts of a periodic job; one that raises does not stop those behind it. Raises its error then."""
    first: Exception | None = None
    for part in parts:
        try:
            part()
        except Exception as error:  # noqa: BLE001 - raised below
            db.session.rollback()
            db.session.remove()
            _log.exception("part of a periodic job failed", job=job, error=type(error).__name__)
            first = first or error
            if isinstance(error, BaseTimeoutException):
                break
    if first is not None:
        raise first


def count_failures() -> dict[str, int]:
    """Loop -> failures since Redis started. Raises redis.RedisError."""
    counts: Any = runtime().redis.hgetall(FAILURES_KEY)
    return {name.decode(): int(count) for name, count in counts.items()}


def failing_ids(loop: str) -> set[int]:
    """Row ids of the tenants whose work failed last time, within a day. Raises redis.RedisError."""
    client, since = runtime().redis, utcnow().timestamp() - _FAILING_SECONDS
    client.zremrangebyscore(_failing_key(loop), "-inf", since)
    members: Any = client.zrange(_failing_key(loop), 0, -1)
    return {int(tenant) for tenant in members}


def _concerns_all(error: Exception) -> bool:
    """Is this no fault of the tenant: the end of the job's time, a database or a Redis that is away?"""
    if isinstance(error, DBAPIError):
        return bool(error.connection_invalidated)
    return isinstance(error, BaseTimeoutException | redis.ConnectionError | redis.TimeoutError)


def _remember(loop: str, tenant: int, error: Exception) -> None:
    _log.exception("work for a portal failed", loop=loop, id=tenant, error=type(error).__name__)
    try:
        pipe = runtime().redis.pipeline()
        pipe.hincrby(FAILURES_KEY, loop, 1)
        pipe.zadd(_failing_key(loop), {str(tenant): utcnow().timestamp()})
        pipe.execute()
    except redis.RedisError:
        return


def _forget(loop: str, tenant: int) -> None:
    try:
        runtime().redis.zrem(_failing_key(loop), str(tenant))
    except redis.RedisError:
        return


def _known_failing(loop: str) -> set[int]:
    try:
        return failing_ids(loop)
    except redis.RedisError:
        return set()


def _behind_cursor(loop: str, ids: Sequence[int]) -> Iterator[int]:
    """The tenants behind the one that the last run served when it ended early, then the others."""
    try:
        stored: Any = runtime().redis.get(_cursor_key(loop))
    except redis.RedisError:
        stored = None
    at = ids.index(int(stored)) + 1 if stored is not None and int(stored) in ids else 0
    yield from (*ids[at:], *ids[:at])


def _set_cursor(loop: str, tenant: int | None) -> None:
    try:
        if tenant is None:
            runtime().redis.delete(_cursor_key(loop))
        else:
            runtime().redis.set(_cursor_key(loop), tenant, ex=_CURSOR_SECONDS)
    except redis.RedisError:
        return


def _claim_in_redis(loop: str, tenant: int, pause: timedelta) -> bool:
    try:
        return bool(runtime().redis.set(f"portal_loop:claim:{loop}:{tenant}", 1, nx=True, ex=pause))
    except redis.RedisError:
        return True


def _cursor_key(loop: str) -> str:
    return f"portal_loop:cursor:{loop}"


def _failing_key(loop: str) -> str:
    return f"portal_loop:failing:{loop}"
