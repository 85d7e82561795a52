"""How many requests a hook and an address may send: counted in Redis over all processes, in this process where Redis does not answer.

Mango repeats nothing, so the bounds are far above what a PBX says; they stop floods, not busy days.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterable

import redis

from bx24app.infra.clock import utcnow
from bx24app.infra.runtime import runtime

WINDOW_SECONDS = 10
"""Seconds over which requests are counted."""
_REDIS_RETRY_SECONDS = 5.0
"""So long Redis is not asked again after a failure: a hanging one must not hold up every notification."""
_MAX_NAMES = 10_000


SHARES_PER_LIMIT = 100
"""A process takes leave for a hundredth of a bound at a time, so that Redis is not asked at every request. What it does not use of it when the
window ends is counted all the same: the bound is exact to one hundredth a process."""


class LocalCounter:
    """Counts of this process: what is left of its leaves, and all of it while Redis is away. Forgets each window with the next; bounded, whoever knocks."""

    def __init__(self) -> None:
        self._lock, self._window, self._counts = threading.Lock(), 0, dict[str, int]()
        self._reserves: dict[str, int] = {}
        self.redis_retry_at = 0.0

    def count_requests(self, names: tuple[str, ...], window: int) -> list[int]:
        with self._lock:
            self._start_window(window)
            for name in names:
                self._counts[name] = self._counts.get(name, 0) + 1
            return [self._counts[name] for name in names]

    def use_reserves(self, names: Iterable[str], window: int) -> list[str]:
        """Take one of each leave; gives those of which none was left."""
        with self._lock:
            self._start_window(window)
            out = []
            for name in names:
                left = self._reserves.get(name, 0)
                if left:
                    self._reserves[name] = left - 1
                else:
                    out.append(name)
            return out

    def add_reserve(self, name: str, window: int, more: int) -> None:
        with self._lock:
            self._start_window(window)
            self._reserves[name] = self._reserves.get(name, 0) + more

    def _start_window(self, window: int) -> None:
        if window != self._window or len(self._counts) > _MAX_NAMES or len(self._reserves) > _MAX_NAMES:
            self._window, self._counts, self._reserves = window, {}, {}


def is_over_limit(hook_key: str, address: str) -> bool:
    """Count one request; is it more than its hook or its address may send? Never raises for Redis' sake."""
    config, window = runtime().config, int(utcnow().timestamp()) // WINDOW_SECONDS
    bounds = {}
    if config.hook_rate:
        # The key itself must not stand in Redis.
        hook = hashlib.sha256(hook_key.encode(errors="surrogatepass")).hexdigest()[:24]
        bounds[f"flood:hook:{hook}"] = config.hook_rate * WINDOW_SECONDS
    if config.address_rate:
        bounds[f"flood:address:{address}"] = config.address_rate * WINDOW_SECONDS
    local = runtime().get(LocalCounter)
    if time.monotonic() < local.redis_retry_at:
        return _is_over_locally(local, bounds, window)
    out = local.use_reserves(bounds, window)
    if not out:
        return False
    try:
        return not _reserve_shares(local, {name: bounds[name] for name in out}, window)
    except (redis.RedisError, RuntimeError):
        local.redis_retry_at = time.monotonic() + _REDIS_RETRY_SECONDS
        return _is_over_locally(local, bounds, window)


def _is_over_locally(local: LocalCounter, bounds: dict[str, int], window: int) -> bool:
    counts = local.count_requests(tuple(bounds), window)
    return any(count > bound for count, bound in zip(counts, bounds.values(), strict=True))


def _reserve_shares(local: LocalCounter, bounds: dict[str, int], window: int) -> bool:
    """Ask Redis for another share of each; is there one of each for this request?"""
    pipe = runtime().redis.pipeline(transaction=False)
    for name, bound in bounds.items():
        pipe.incrby(f"{name}:{window}", _share_size(bound))
        pipe.expire(f"{name}:{window}", 2 * WINDOW_SECONDS)
    counts, good = pipe.execute()[::2], True
    for count, (name, bound) in zip(counts, bounds.items(), strict=True):
        # What lies beyond the bound is nobody's.
        share = _share_size(bound) - max(0, int(count) - bound)
        good = good and share > 0
        if share > 1:
            local.add_reserve(name, window, share - 1)
    return good


def _share_size(bound: int) -> int:
    return max(1, bound // SHARES_PER_LIMIT)
