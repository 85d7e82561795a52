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

TRIPS = 3
FIRST, LONGEST = 5.0, 300.0
"""Seconds; the time doubles with each failed trial."""
TRIAL_SECONDS = 45
"""Longer than a request can take: meanwhile nobody else tries."""
OPEN = "circuits"
"""Sorted set of the names of open circuits, for the metric."""
FORGET = 3600
"""Seconds after which failures that did not open it are forgotten."""
KEEP = 86400
"""Seconds for which an open one is kept though nobody tries: only an answer tells that it is over."""

_ASK = """
local held = redis.call('HMGET', KEYS[1], 'failures', 'until')
local now = redis.call('TIME'); local at = tonumber(now[1]) + tonumber(now[2]) / 1000000
return {tostring(held[1] or 0), tostring(math.max(0, tonumber(held[2] or 0) - at))}
"""
_TRY = """
local now = redis.call('TIME'); local at = tonumber(now[1]) + tonumber(now[2]) / 1000000
if tonumber(redis.call('HGET', KEYS[1], 'until') or 0) > at then return 0 end
redis.call('HSET', KEYS[1], 'until', at + tonumber(ARGV[1]), 'trial', 1)
return 1
"""
_FAIL = """
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
class State:
    """`pause`: seconds for which nothing may leave. `failures` in a row; `tripped` with no pause: one request may try."""

    failures: int = 0
    pause: float = 0.0

    @property
    def tripped(self) -> bool:
        return self.failures >= TRIPS


class Circuit:
    """One circuit by its name: ``portal:7``, ``pbx:3``."""

    def __init__(self, name: str) -> None:
        self.name, self._key = name, f"circuit:{name}"

    def state(self) -> State:
        """Read only; costs one round trip."""
        try:
            failures, pause = runtime().redis.eval(_ASK, 1, self._key)
        except redis.RedisError:
            return State()
        return State(int(failures), float(pause))

    def trial(self) -> bool:
        """Of a tripped circuit whose time is over: may this caller try? The others wait for what becomes of it."""
        try:
            return bool(runtime().redis.eval(_TRY, 1, self._key, TRIAL_SECONDS))
        except redis.RedisError:
            return True

    def failed(self) -> None:
        """No connection, no answer, or one that no application gave. Of requests that were under way together the first ones count."""
        jitter = uniform(1.0, 1.1)  # noqa: S311 - jitter, not a secret
        try:
            runtime().redis.eval(_FAIL, 2, self._key, OPEN, TRIPS, FIRST, LONGEST, FORGET, jitter, self.name, KEEP)
        except redis.RedisError:
            return

    def open_for(self) -> float:
        """Seconds since it opened; 0: it is closed.

        Raises:
            redis.RedisError: nobody knows.
        """
        since: Any = runtime().redis.hget(self._key, "since")
        if since is None:
            return 0.0
        now: Any = runtime().redis.time()
        return max(0.0, float(now[0]) - float(since))

    def worked(self) -> None:
        """It answers: closed."""
        try:
            runtime().redis.delete(self._key)
            runtime().redis.zrem(OPEN, self.name)
        except redis.RedisError:
            return


def of_portal(portal_id: int) -> Circuit:
    return Circuit(f"portal:{portal_id}")


def of_pbx(pbx_id: int) -> Circuit:
    return Circuit(f"pbx:{pbx_id}")


def open_now() -> dict[str, int]:
    """How many circuits are open, by kind. Raises redis.RedisError."""
    found = {"portal": 0, "pbx": 0}
    client = runtime().redis
    seconds, _ = client.time()
    names: Any = client.zrangebyscore(OPEN, seconds, "+inf")
    for name in names:
        found[name.decode().partition(":")[0]] += 1
    return found


def names() -> list[str]:
    """Of all circuits that were open within a day and have not closed. Raises redis.RedisError."""
    client = runtime().redis
    seconds, _ = client.time()
    client.zremrangebyscore(OPEN, "-inf", seconds - KEEP)
    found: Any = client.zrange(OPEN, 0, -1)
    return [name.decode() for name in found]


__all__ = ["Circuit", "State", "names", "of_pbx", "of_portal", "open_now"]
