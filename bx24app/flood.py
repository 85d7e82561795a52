"""How many requests a hook and an address may send: counted in Redis over all processes, in this process where Redis does not answer.

Mango repeats nothing, so the bounds are far above what a PBX says; they stop floods, not busy days.
"""

from __future__ import annotations

import hashlib
import threading
import time

import redis

from bx24app.runtime import runtime

WINDOW = 10
"""Seconds over which requests are counted."""
_SHY_SECONDS = 5.0
"""So long Redis is not asked again after a failure: a hanging one must not hold up every notification."""
_MOST_NAMES = 10_000


class Local:
    """Counts of this process, for the time without Redis. Forgets each window with the next; bounded, whoever knocks."""

    def __init__(self) -> None:
        self._lock, self._window, self._counts = threading.Lock(), 0, dict[str, int]()
        self.shy_until = 0.0

    def count(self, names: tuple[str, ...], window: int) -> list[int]:
        with self._lock:
            if window != self._window or len(self._counts) > _MOST_NAMES:
                self._window, self._counts = window, {}
            for name in names:
                self._counts[name] = self._counts.get(name, 0) + 1
            return [self._counts[name] for name in names]


def too_many(hook_key: str, address: str) -> bool:
    """Count one request; is it more than its hook or its address may send? Never raises for Redis' sake."""
    config, window = runtime().config, int(time.time()) // WINDOW
    # The key itself must not stand in Redis.
    hook = hashlib.sha256(hook_key.encode(errors="surrogatepass")).hexdigest()[:24]
    names = (f"flood:hook:{hook}", f"flood:address:{address}")
    bounds = (config.hook_rate * WINDOW, config.address_rate * WINDOW)
    return any(bound and count > bound for count, bound in zip(_counts(names, window), bounds, strict=True))


def _counts(names: tuple[str, ...], window: int) -> list[int]:
    local: Local = runtime().cache.setdefault("flood", Local())
    if time.monotonic() < local.shy_until:
        return local.count(names, window)
    try:
        pipe = runtime().redis.pipeline(transaction=False)
        for name in names:
            pipe.incr(f"{name}:{window}")
            pipe.expire(f"{name}:{window}", 2 * WINDOW)
        return [int(one) for one in pipe.execute()[::2]]
    except (redis.RedisError, RuntimeError):
        local.shy_until = time.monotonic() + _SHY_SECONDS
        return local.count(names, window)
