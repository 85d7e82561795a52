"""A portal's request budget: one leaky bucket in Redis, shared by all workers and machines, with priorities.

Bitrix24 counts requests per portal and source address: every request, a batch too, fills the bucket by one; it drains
at 2 a second and overflows at 50 (Enterprise: 5 and 250; official page "limits"). `client` takes one request from the
budget before each POST. The program stays a little below both figures, since the portal counts a request when it
arrives, not when it leaves.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from enum import IntEnum

import redis
import structlog

_log = structlog.get_logger(__name__)


class Priority(IntEnum):
    """Which requests may use the rest of a budget. The value is the reserve that must be left for more urgent requests.
    """

    CARD = 0
    FINISH = 1
    RECORD = 6
    BACKGROUND = 12
    VIEW = 20


MARGIN_SECONDS = 1.5
"""The requests of this many seconds are never used: requests that leave apart arrive together when the network delays
the first."""
BUDGET_USED_UP = "the portal's request budget is used up"
"""The text of the error, for people."""
LOCAL_SHARE = 0.25
"""Share of the capacity, and of each reserve, that one process uses while Redis does not answer."""
ESTIMATE_SECONDS = 1.0
REDIS_PAUSE = 1.0
"""Seconds that the program waits before it asks a Redis again that did not answer: a call must not wait for it
twice."""

_BUCKET_SCRIPT = """
local now = redis.call('TIME'); local at = tonumber(now[1]) + tonumber(now[2]) / 1000000
local held = redis.call('HMGET', KEYS[1], 'filled', 'at', 'blocked')
local rate, capacity, cost = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local filled = math.max(0, tonumber(held[1] or 0) - rate * (at - tonumber(held[2] or at)))
local blocked = math.max(0, tonumber(held[3] or 0) - at)
local free = capacity - filled
if ARGV[4] == 'level' then
  if blocked > 0 then return '0' end
  return tostring(free)
end
if ARGV[4] == 'block' then
  redis.call('HSET', KEYS[1], 'filled', capacity, 'at', at, 'blocked', at + cost)
  redis.call('EXPIRE', KEYS[1], 600)
  return '0'
end
local wait = math.max(blocked, (1 + cost - free) / rate)
if wait > 0 then return tostring(wait) end
redis.call('HSET', KEYS[1], 'filled', filled + 1, 'at', at)
redis.call('EXPIRE', KEYS[1], 600)
return '0'
"""


@dataclass
class _LocalBucket:
    """The bucket of this process alone, used while Redis does not answer: half the rate, a quarter of the capacity.

    Reserves are a quarter too; otherwise the lowest priority's reserve would be larger than the capacity, and it would
    never get a turn.
    """

    fill_level: float = 0.0
    updated_at: float = field(default_factory=time.monotonic)
    lock: threading.Lock = field(default_factory=threading.Lock)
    redis_retry_at: float = 0.0
    """When Redis may be asked again (monotonic seconds)."""


class RequestBudget:
    """The bucket of one portal.

    Args:
        name: key of the portal (its member id); all clients of the portal share the bucket.
        rate: requests a second that drain; 0 means no limit (on-premise).
        capacity: requests at which the bucket overflows.
    """

    def __init__(self, client: redis.Redis, name: str, rate: float = 2.0, capacity: float = 50.0) -> None:
        self.name, self.rate, self.capacity = name, rate, capacity
        self._redis, self._script, self._local_bucket = client, client.register_script(_BUCKET_SCRIPT), _LocalBucket()
        self._estimate = 0.0, 0.0
        """What `estimate_requests` said last, and until when it counts (monotonic)."""

    def acquire(self, priority: Priority = Priority.CARD) -> float:
        """Take one request. Returns 0.0 if it may leave now, else the seconds to wait; then nothing was taken."""
        if self.rate <= 0:
            return 0.0
        level, until = self._estimate
        self._estimate = level - 1, until
        return self._run_command(float(priority), "take")

    def available_requests(self) -> float:
        """How many requests could leave now at once."""
        if self.rate <= 0:
            return 1000.0
        return self._run_command(0.0, "level")

    def estimate_requests(self) -> float:
        """`available_requests` of up to a second ago, less what this process has taken since, while more than half of
        the budget is left: enough to choose how calls leave, since `acquire` alone lets requests leave.
        """
        level, until = self._estimate
        if time.monotonic() >= until or level < self.capacity / 2:
            level = self.available_requests()
            self._estimate = level, time.monotonic() + ESTIMATE_SECONDS
        return level

    def seconds_until_free(self, priority: Priority) -> float:
        """Seconds until `acquire` would succeed, 0.0 if now. Takes nothing."""
        if self.rate <= 0:
            return 0.0
        return max(0.0, (1 + float(priority) - self.available_requests()) / self.rate)

    def block_for(self, seconds: float) -> None:
        """Let nothing leave for `seconds`, since the portal said that the limit was exceeded; the bucket then counts as
        full.
        """
        self._estimate = 0.0, 0.0
        if self.rate > 0:
            self._run_command(seconds, "block")

    def _run_command(self, cost: float, action: str) -> float:
        if time.monotonic() >= self._local_bucket.redis_retry_at:
            try:
                usable = self.capacity - self.rate * MARGIN_SECONDS
                answer: bytes = self._script(keys=[f"budget:{self.name}"], args=[self.rate, usable, cost, action])
                return float(answer)
            except redis.RedisError as error:
                self._local_bucket.redis_retry_at = time.monotonic() + REDIS_PAUSE
                _log.warning("budget kept by this process alone", error=type(error).__name__)
        return self._run_locally(cost, action)

    def _run_locally(self, cost: float, action: str) -> float:
        local = self._local_bucket
        with local.lock:
            now, rate, capacity = time.monotonic(), self.rate / 2, self.capacity * LOCAL_SHARE
            local.fill_level = max(0.0, local.fill_level - rate * (now - local.updated_at))
            local.updated_at = now
            if action == "level":
                return max(0.0, capacity - local.fill_level)
            if action == "block":
                local.fill_level = capacity + cost * rate
                return 0.0
            wait = (1 + cost * LOCAL_SHARE - (capacity - local.fill_level)) / rate
            if wait > 0:
                return wait
            local.fill_level += 1
            return 0.0
