"""A circuit per portal and per PBX: who has not answered several times in a row is left alone for a while, so that a dead one costs nothing.

It opens after `TRIPS` failures of the connection in a row (not refusals: those are answers). Then nothing leaves until its time is
over; one request tries, and closes it or opens it for longer. It lives in Redis, for all workers; without Redis nothing is held back,
the back-off of each delivery remains.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import uniform
from typing import Any

import redis

from bx24app.infra.runtime import runtime

FAILURE_THRESHOLD = 3
FIRST_PAUSE, LONGEST_PAUSE = 5.0, 300.0
"""Seconds; the time doubles with each failed trial."""
TRIAL_SECONDS = 45
"""Longer than a request can take: meanwhile nobody else tries."""
OPEN_KEY = "circuits"
"""Sorted set of the names of open circuits, for the metric."""
FAILURES_TTL = 3600
"""Seconds after which failures that did not open it are forgotten."""
OPEN_TTL = 86400
"""Seconds for which an open one is kept though nobody tries: only an answer tells that it is over."""

_STATE_SCRIPT = """
local held = redis.call('HMGET', KEYS[1], 'failures', 'until')
local now = redis.call('TIME'); local at = tonumber(now[1]) + tonumber(now[2]) / 1000000
return {tostring(held[1] or 0), tostring(math.max(0, tonumber(held[2] or 0) - at))}
"""
_TRIAL_SCRIPT = """
local now = redis.call('TIME'); local at = tonumber(now[1]) + tonumber(now[2]) / 1000000
if tonumber(redis.call('HGET', KEYS[1], 'until') or 0) > at then return 0 end
redis.call('HSET', KEYS[1], 'until', at + tonumber(ARGV[1]), 'trial', 1)
return 1
"""
_FAILURE_SCRIPT = """
local now = redis.call('TIME'); local at = tonumber(now[1]) + tonumber(now[2]) / 1000000
local held = redis.call('HMGET', KEYS[1], 'until', 'trial')
if tonumber(held[1] or 0) > at and not held[2] then return 0 end
redis.call('HDEL', KEYS[1], 'trial')
local failures = redis.call('HINCRBY', KEYS[1], 'failures', 1)
redis.call('EXPIRE', KEYS[1], ARGV[4])
if failures < tonumber(ARGV[1]) then return 0 end
redis.call('HSETNX', KEYS[1], 'since', at)
redis.call('EXPIRE', KEYS[1], ARGV[7])
local pause = math.min(tonumber(ARGV[2]) * 2 ^ (failures - tonumber(ARGV[1])), tonumber(ARGV[3])) * tonumber(ARGV[5])
redis.call('HSET', KEYS[1], 'until', at + pause)
redis.call('ZADD', KEYS[2], at + tonumber(ARGV[4]), ARGV[6])
return failures
"""


@dataclass(frozen=True, slots=True)
class CircuitState:
    """`pause`: seconds for which nothing may leave. `failures` in a row; `tripped` with no pause: one request may try."""

    failures: int = 0
    pause: float = 0.0

    @property
    def is_tripped(self) -> bool:
        return self.failures >= FAILURE_THRESHOLD


class CircuitBreaker:
    """One circuit by its name: ``portal:7``, ``pbx:3``."""

    def __init__(self, name: str) -> None:
        self.name, self._key = name, f"circuit:{name}"

    def read_state(self) -> CircuitState:
        """Read only; costs one round trip."""
        try:
            failures, pause = runtime().redis.eval(_STATE_SCRIPT, 1, self._key)
        except redis.RedisError:
            return CircuitState()
        return CircuitState(int(failures), float(pause))

    def acquire_trial(self) -> bool:
        """Of a tripped circuit whose time is over: may this caller try? The others wait for what becomes of it."""
        try:
            return bool(runtime().redis.eval(_TRIAL_SCRIPT, 1, self._key, TRIAL_SECONDS))
        except redis.RedisError:
            return True

    def record_failure(self) -> None:
        """No connection, no answer, or one that no application gave. Of requests that were under way together the first ones count."""
        jitter = uniform(1.0, 1.1)  # noqa: S311 - jitter, not a secret
        try:
            runtime().redis.eval(_FAILURE_SCRIPT, 2, self._key, OPEN_KEY, FAILURE_THRESHOLD, FIRST_PAUSE, LONGEST_PAUSE, FAILURES_TTL, jitter, self.name, OPEN_TTL)
        except redis.RedisError:
            return

    def seconds_open(self) -> float:
        """Seconds since it opened; 0: it is closed.

        Raises:
            redis.RedisError: nobody knows.
        """
        since: Any = runtime().redis.hget(self._key, "since")
        if since is None:
            return 0.0
        now: Any = runtime().redis.time()
        return max(0.0, float(now[0]) - float(since))

    def record_success(self) -> None:
        """It answers: closed."""
        try:
            runtime().redis.delete(self._key)
            runtime().redis.zrem(OPEN_KEY, self.name)
        except redis.RedisError:
            return


def of_portal(portal_id: int) -> CircuitBreaker:
    return CircuitBreaker(f"portal:{portal_id}")


def of_pbx(pbx_id: int) -> CircuitBreaker:
    return CircuitBreaker(f"pbx:{pbx_id}")


def count_open() -> dict[str, int]:
    """How many circuits are open, by kind. Raises redis.RedisError."""
    found = {"portal": 0, "pbx": 0}
    client = runtime().redis
    seconds, _ = client.time()
    names: Any = client.zrangebyscore(OPEN_KEY, seconds, "+inf")
    for name in names:
        found[name.decode().partition(":")[0]] += 1
    return found


def list_open_names() -> list[str]:
    """Of all circuits that were open within a day and have not closed. Raises redis.RedisError."""
    client = runtime().redis
    seconds, _ = client.time()
    client.zremrangebyscore(OPEN_KEY, "-inf", seconds - OPEN_TTL)
    found: Any = client.zrange(OPEN_KEY, 0, -1)
    return [name.decode() for name in found]
