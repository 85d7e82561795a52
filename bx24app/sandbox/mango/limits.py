"""Request limits of the VPBX API: token buckets per product and for all products, and the two-minute lock-out."""

from __future__ import annotations

import time
from collections.abc import Callable

# path -> (per product, for all), requests a second; None = no limit of this kind. Documentation of 2026, section on limits.
TOTAL_LIMITS: tuple[float, float] = (10, 100)
PATH_LIMITS: dict[str, tuple[float | None, float | None]] = {
    "commands/callback": (4, 10),
    "commands/call/hangup": (4, 10),
    "commands/recording/start": (4, 10),
    "commands/transfer": (0.5, None),
    "commands/route": (0.5, 10),
    "stats/request": (0.5, 10),
    "stats/calls/request": (0.5, 10),
    "stats/result": (None, 50),
    "stats/calls/result": (None, 50),
    "queries/recording/post": (10, 120),
    "queries/recording/link": (10, 120),
    "config/users/request": (0.5, 10),
    "account/balance": (2, 10),
}
LOCKOUT_SECONDS = 120.0


class TokenBucket:
    """Holds at most one second's worth of tokens, and at least one token."""

    def __init__(self, rate: float, clock: Callable[[], float]) -> None:
        self.rate = rate
        self.clock = clock
        self.capacity = max(1.0, rate)
        self.tokens = self.capacity
        self.updated_at = clock()

    def take_token(self) -> float:
        """0 when the request may pass, else the seconds until it might."""
        now = self.clock()
        self.tokens = min(self.capacity, self.tokens + (now - self.updated_at) * self.rate)
        self.updated_at = now
        if self.tokens >= 1:
            self.tokens -= 1
            return 0.0
        return (1 - self.tokens) / self.rate


class Limits:
    """All buckets and lock-outs of one cloud. `enabled` and `lockout` switch the two off."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.is_enabled = True
        self.has_lockout = True
        self._buckets: dict[tuple[str, str], TokenBucket] = {}
        self._faults: dict[str, tuple[float, int]] = {}

    def seconds_to_wait(self, api_key: str, path: str) -> float:
        """0 when this request may pass, else the seconds to wait (the answer is 429)."""
        if not self.is_enabled:
            return 0.0
        per_product, for_all = PATH_LIMITS.get(path, (None, None))
        for owner, name, rate in (
            (api_key, path, per_product),
            ("", path, for_all),
            (api_key, "", TOTAL_LIMITS[0]),
            ("", "", TOTAL_LIMITS[1]),
        ):
            if rate is not None:
                bucket = self._buckets.setdefault((owner, name), TokenBucket(rate, self.clock))
                if seconds := bucket.take_token():
                    return seconds
        return 0.0

    def count_malformed(self, who: str) -> None:
        """Counts a malformed request of a key (or, where the key is unknown, of an address)."""
        first, count = self._faults.get(who, (0.0, 0))
        if not count or self.clock() - first >= LOCKOUT_SECONDS:
            first, count = self.clock(), 0
        self._faults[who] = (first, count + 1)

    def is_locked_out(self, who: str) -> bool:
        """Whether more than one malformed request came within two minutes; lasts until two minutes after the first."""
        first, count = self._faults.get(who, (0.0, 0))
        return self.has_lockout and count > 1 and self.clock() - first < LOCKOUT_SECONDS
