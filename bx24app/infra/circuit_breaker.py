"""A circuit breaker for each portal and PBX: one that does not answer several times in a row is left alone for a while.

The drain and the recordings ask before they send, and report failures and successes. The circuit opens after
`FAILURE_THRESHOLD` failures of the connection in a row; refusals are answers and do not count. Then nothing leaves
until the pause is over; one request tries, and closes the circuit or opens it for longer. The state lives in Redis, for
all workers. Without Redis nothing is held back; the back-off of each delivery remains.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from random import uniform
from typing import Any

import redis

from bx24app.infra.leases import worker_name
from bx24app.infra.runtime import runtime

FAILURE_THRESHOLD = 3
FIRST_PAUSE, LONGEST_PAUSE = 5.0, 300.0
"""Seconds; the time doubles with each failed trial."""
TRIAL_SECONDS = 45
"""How long a trial keeps others from trying: longer than a request can take. That of a dead worker ends at once."""
TRIAL_CHECK_SECONDS = 10
"""How often those who wait for a trial look again, since it may end early."""
OPEN_KEY = "circuits"
"""Sorted set of the names of open circuits, for the metric."""
FAILURES_TTL = 3600
"""Seconds after which failures that did not open the circuit are forgotten."""
OPEN_TTL = 86400
"""Seconds that an open circuit is kept while nothing is sent: only an answer closes it."""

HEALTHY_SECONDS = 1.0
"""How long a process believes that a circuit without failures is still so. Its own failures count at once."""

_STATE_SCRIPT = """
local held = redis.call('HMGET', KEYS[1], 'failures', 'until', 'trial')
local now = redis.call('TIME'); local at = tonumber(now[1]) + tonumber(now[2]) / 1000000
local pause = math.max(0, tonumber(held[2] or 0) - at)
if held[3] then pause = math.min(pause, tonumber(ARGV[1])) end
return {tostring(held[1] or 0), tostring(pause)}
"""
_TRIAL_SCRIPT = """
local now = redis.call('TIME'); local at = tonumber(now[1]) + tonumber(now[2]) / 1000000
if tonumber(redis.call('HGET', KEYS[1], 'until') or 0) > at then return 0 end
redis.call('HSET', KEYS[1], 'until', at + tonumber(ARGV[1]), 'trial', ARGV[2])
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
_RELEASE_SCRIPT = """
if redis.call('HGET', KEYS[1], 'trial') ~= ARGV[1] then return 0 end
redis.call('HDEL', KEYS[1], 'trial')
redis.call('HSET', KEYS[1], 'until', 0)
return 1
"""


@dataclass(frozen=True, slots=True)
class CircuitState:
    """`pause` is how many seconds nothing may leave; `failures` counts those in a row. Tripped without a pause: one
    request may try.
    """

    failures: int = 0
    pause: float = 0.0

    @property
    def is_tripped(self) -> bool:
        return self.failures >= FAILURE_THRESHOLD


class HealthyCircuits:
    """The circuits that had no failures when this process read them last; name -> until when it believes that
    (monotonic). Asking Redis before each step of each call would cost more than all else that a call needs of it.
    """

    def __init__(self) -> None:
        self._until: dict[str, float] = {}

    def note(self, name: str) -> None:
        self._until[name] = time.monotonic() + HEALTHY_SECONDS

    def is_known(self, name: str) -> bool:
        return self._until.get(name, 0.0) > time.monotonic()

    def forget(self, name: str) -> None:
        self._until.pop(name, None)


class CircuitBreaker:
    """One circuit by its name: ``portal:7``, ``pbx:3``."""

    def __init__(self, name: str) -> None:
        self.name, self._key = name, f"circuit:{name}"

    def read_state(self) -> CircuitState:
        """Read the state in one round trip, unless it was healthy a moment ago; closed if Redis does not answer."""
        healthy = runtime().get(HealthyCircuits)
        if healthy.is_known(self.name):
            return CircuitState()
        try:
            failures, pause = runtime().redis.eval(_STATE_SCRIPT, 1, self._key, TRIAL_CHECK_SECONDS)
        except redis.RedisError:
            return CircuitState()
        if not int(failures):
            healthy.note(self.name)
        return CircuitState(int(failures), float(pause))

    def acquire_trial(self) -> bool:
        """May this caller try a tripped circuit whose pause is over? Only one may; the others wait for its result."""
        try:
            return bool(runtime().redis.eval(_TRIAL_SCRIPT, 1, self._key, TRIAL_SECONDS, worker_name()))
        except redis.RedisError:
            return True

    def record_failure(self) -> None:
        """Count a failure: no connection, no answer, or an answer that no application gave. Of simultaneous requests
        the first count.
        """
        runtime().get(HealthyCircuits).forget(self.name)
        jitter = uniform(1.0, 1.1)  # noqa: S311 - jitter, not a secret
        try:
            limits = (FAILURE_THRESHOLD, FIRST_PAUSE, LONGEST_PAUSE, FAILURES_TTL)
            runtime().redis.eval(_FAILURE_SCRIPT, 2, self._key, OPEN_KEY, *limits, jitter, self.name, OPEN_TTL)
        except redis.RedisError:
            return

    def record_slow_answer(self) -> None:
        """The other side is right, but so slow that it counts as a failure.

        Only the trial of an open circuit does not count: another request may try at once, so one at a time leaves.
        """
        runtime().get(HealthyCircuits).forget(self.name)
        if not self.read_state().is_tripped:
            self.record_failure()
            return
        try:
            if runtime().redis.hdel(self._key, "trial"):
                runtime().redis.hset(self._key, "until", 0)
        except redis.RedisError:
            return

    def seconds_open(self) -> float:
        """Seconds since the circuit opened, 0 if it is closed.

        Raises:
            redis.RedisError: Redis does not answer.
        """
        since: Any = runtime().redis.hget(self._key, "since")
        if since is None:
            return 0.0
        now: Any = runtime().redis.time()
        return max(0.0, float(now[0]) - float(since))

    def record_success(self) -> None:
        """The other side answered: close the circuit."""
        try:
            runtime().redis.delete(self._key)
            runtime().redis.zrem(OPEN_KEY, self.name)
        except redis.RedisError:
            return


def of_portal(portal_id: int) -> CircuitBreaker:
    """The circuit of a portal."""
    return CircuitBreaker(f"portal:{portal_id}")


def of_pbx(pbx_id: int) -> CircuitBreaker:
    """The circuit of a PBX."""
    return CircuitBreaker(f"pbx:{pbx_id}")


def count_open() -> dict[str, int]:
    """How many circuits are open, by kind (`portal`, `pbx`). Raises redis.RedisError."""
    counts = {"portal": 0, "pbx": 0}
    client = runtime().redis
    seconds, _ = client.time()
    names: Any = client.zrangebyscore(OPEN_KEY, seconds, "+inf")
    for name in names:
        counts[name.decode().partition(":")[0]] += 1
    return counts


def release_trials_of(owner: str) -> list[tuple[str, str]]:
    """A worker has died: others may try the circuits that it was trying. Returns (kind, id) of each."""
    client = runtime().redis
    try:
        names = [name for name in list_open_names() if client.eval(_RELEASE_SCRIPT, 1, f"circuit:{name}", owner)]
    except redis.RedisError:
        return []
    return [(kind, number) for kind, _, number in (name.partition(":") for name in names)]


def list_open_names() -> list[str]:
    """The names of all circuits that opened within a day and have not closed. Raises redis.RedisError."""
    client = runtime().redis
    seconds, _ = client.time()
    client.zremrangebyscore(OPEN_KEY, "-inf", seconds - OPEN_TTL)
    names: Any = client.zrange(OPEN_KEY, 0, -1)
    return [name.decode() for name in names]
