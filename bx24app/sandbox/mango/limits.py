"""Request limits of the VPBX API: token buckets per product and for all products, and the two-minute lock-out."""

from __future__ import annotations

import time
from collections.abc import Callable

# path -> (per product, for all), requests a second; None = no limit of this kind. Documentation of 2026, section on limits.
EVERYTHING: tuple[float, float] = (10, 100)
LIMITS: dict[str, tuple[float | None, float | None]] = {
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


class Bucket:
    """Holds at most one second's worth of tokens, and at least one token."""

    def __init__(self, rate: float, clock: Callable[[], float]) -> None:
        self.rate = rate
        self.clock = clock
        self.room = max(1.0, rate)
        self.tokens = self.room
        self.seen = clock()

    def take(self) -> float:
        """0 when the request may pass, else the seconds until it might."""
        now = self.clock()
        self.tokens = min(self.room, self.tokens + (now - self.seen) * self.rate)
        self.seen = now
        if self.tokens >= 1:
            self.tokens -= 1
            return 0.0
        return (1 - self.tokens) / self.rate


class Limits:
    """All buckets and lock-outs of one cloud. `enabled` and `lockout` switch the two off."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.enabled = True
        self.lockout = True
        self._buckets: dict[tuple[str, str], Bucket] = {}
        self._faults: dict[str, tuple[float, int]] = {}

    def wait(self, api_key: str, path: str) -> float:
        """0 when this request may pass, else the seconds to wait (the answer is 429)."""
        if not self.enabled:
            return 0.0
        per_product, for_all = LIMITS.get(path, (None, None))
        for owner, name, rate in (
            (api_key, path, per_product),
            ("", path, for_all),
            (api_key, "", EVERYTHING[0]),
            ("", "", EVERYTHING[1]),
        ):
            if rate is not None:
                bucket = self._buckets.setdefault((owner, name), Bucket(rate, self.clock))
                if seconds := bucket.take():
                    return seconds
        return 0.0

    def malformed(self, who: str) -> None:
        """Counts a malformed request of a key (or, where the key is unknown, of an address)."""
        first, count = self._faults.get(who, (0.0, 0))
        if not count or self.clock() - first >= LOCKOUT_SECONDS:
            first, count = self.clock(), 0
        self._faults[who] = (first, count + 1)

    def locked(self, who: str) -> bool:
        """Whether more than one malformed request came within two minutes; lasts until two minutes after the first."""
        first, count = self._faults.get(who, (0.0, 0))
        return self.lockout and count > 1 and self.clock() - first < LOCKOUT_SECONDS
