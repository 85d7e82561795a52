"""Limits how many requests a hook and an address may send: counted in Redis over all processes, in this process while
Redis is away.

The webhooks ask before they read a notification. Mango Office never repeats a notification, so the limits are far above
what a busy PBX sends; they stop floods.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterable

import redis

from bx24app.infra.clock import utcnow
from bx24app.infra.redis_client import SilentRedis
from bx24app.infra.runtime import Runtime, runtime

WINDOW_SECONDS = 10
"""Seconds over which requests are counted."""
_REDIS_RETRY_SECONDS = 5.0
"""Seconds that Redis is not asked after a failure: a hanging Redis must not delay every notification."""
_MAX_NAMES = 10_000


SHARES_PER_LIMIT = 100
"""A process reserves a hundredth of a limit at a time, so that not every request asks Redis. What it has not used when
the window ends counts all the same: the limit is exact to a hundredth for each process."""


class LocalCounter:
    """The counts of one process: the rest of its reserves, and all requests while Redis is away. Starts anew with each
    window; bounded.
    """

    def __init__(self) -> None:
        self._lock, self._window, self._counts = threading.Lock(), 0, dict[str, int]()
        self._reserves: dict[str, int] = {}

    def count_requests(self, names: tuple[str, ...], window: int) -> list[int]:
        with self._lock:
            self._start_window(window)
            for name in names:
                self._counts[name] = self._counts.get(name, 0) + 1
            return [self._counts[name] for name in names]

    def use_reserves(self, names: Iterable[str], window: int) -> list[str]:
        """Take one request from each reserve; returns the names whose reserve was empty."""
        with self._lock:
            self._start_window(window)
            missing = []
            for name in names:
                remaining = self._reserves.get(name, 0)
                if remaining:
                    self._reserves[name] = remaining - 1
                else:
                    missing.append(name)
            return missing

    def use_all_reserves(self, names: Iterable[str], window: int) -> bool:
        """Take one request from each reserve, or, if one is empty, from none; was it possible?"""
        with self._lock:
            self._start_window(window)
            names = list(names)
            if not all(self._reserves.get(name) for name in names):
                return False
            for name in names:
                self._reserves[name] -= 1
            return True

    def add_reserve(self, name: str, window: int, count: int) -> None:
        with self._lock:
            self._start_window(window)
            self._reserves[name] = self._reserves.get(name, 0) + count

    def _start_window(self, window: int) -> None:
        if window != self._window or len(self._counts) > _MAX_NAMES or len(self._reserves) > _MAX_NAMES:
            self._window, self._counts, self._reserves = window, {}, {}


def is_over_limit(hook_key: str, address: str) -> bool:
    """Count one request; is it more than its hook or its address may send? Does not raise if Redis does not answer."""
    return exceeds_limits(_limits(runtime(), hook_key, address))


def exceeds_limits(limits: dict[str, int]) -> bool:
    """Count one request under each name; is it more than one of the names may have in a window? `limits`: name ->
    requests in a window.
    """
    local, window = runtime().get(LocalCounter), _window()
    silence = runtime().get(SilentRedis)
    if silence.is_recent(_REDIS_RETRY_SECONDS):
        return _is_over_locally(local, limits, window)
    missing = local.use_reserves(limits, window)
    if not missing:
        return False
    try:
        return not _reserve_shares(local, {name: limits[name] for name in missing}, window)
    except (redis.RedisError, RuntimeError):
        silence.note()
        return _is_over_locally(local, limits, window)


def spend_reserve(owner: Runtime, hook_key: str, address: str) -> bool:
    """Count one request if this process has reserved it already, without asking Redis; False: ask `is_over_limit`."""
    return owner.get(LocalCounter).use_all_reserves(_limits(owner, hook_key, address), _window())


def _window() -> int:
    return int(utcnow().timestamp()) // WINDOW_SECONDS


def _limits(owner: Runtime, hook_key: str, address: str) -> dict[str, int]:
    """Names of the counters of this hook and this address, with their limits for a window."""
    config, limits = owner.config, {}
    if config.hook_rate:
        # Redis must not hold the key itself.
        hook = hashlib.sha256(hook_key.encode(errors="surrogatepass")).hexdigest()[:24]
        limits[f"flood:hook:{hook}"] = config.hook_rate * WINDOW_SECONDS
    if config.address_rate:
        limits[f"flood:address:{address}"] = config.address_rate * WINDOW_SECONDS
    return limits


def _is_over_locally(local: LocalCounter, limits: dict[str, int], window: int) -> bool:
    counts = local.count_requests(tuple(limits), window)
    return any(count > limit for count, limit in zip(counts, limits.values(), strict=True))


def _reserve_shares(local: LocalCounter, limits: dict[str, int], window: int) -> bool:
    """Reserve another share of each limit in Redis; is this request within all of them?"""
    pipe = runtime().redis.pipeline(transaction=False)
    for name, limit in limits.items():
        pipe.incrby(f"{name}:{window}", _share_size(limit))
        pipe.expire(f"{name}:{window}", 2 * WINDOW_SECONDS)
    counts, is_allowed = pipe.execute()[::2], True
    for count, (name, limit) in zip(counts, limits.items(), strict=True):
        # A share that reaches beyond the limit is cut.
        share = _share_size(limit) - max(0, int(count) - limit)
        is_allowed = is_allowed and share > 0
        if share > 1:
            local.add_reserve(name, window, share - 1)
    return is_allowed


def _share_size(limit: int) -> int:
    return max(1, limit // SHARES_PER_LIMIT)
