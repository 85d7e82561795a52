"""The request limits of the VPBX API: token buckets per product and for all products, and the two-minute lock-out.

The REST side asks before each request and reports each malformed one. A client that keeps to Mango's published limits
is never refused.
"""

from __future__ import annotations

import time
from collections.abc import Callable

# path -> requests a second: (per product, for all products); None: no such limit.
# Source: the section on limits in Mango's API documentation of 2026.
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
"""How long a lock-out lasts, counted from the first wrong request. Tests shorten `Limits.lockout_seconds`."""


class TokenBucket:
    """Holds the tokens of one second at most, and at least one token."""

    def __init__(self, rate: float, clock: Callable[[], float]) -> None:
        self.rate = rate
        self.clock = clock
        self.capacity = max(1.0, rate)
        self.tokens = self.capacity
        self.updated_at = clock()

    def take_token(self) -> float:
        """Returns 0 when the request may pass, else the seconds until the next token."""
        now = self.clock()
        self.tokens = min(self.capacity, self.tokens + (now - self.updated_at) * self.rate)
        self.updated_at = now
        if self.tokens >= 1:
            self.tokens -= 1
            return 0.0
        return (1 - self.tokens) / self.rate


class Limits:
    """All buckets and lock-outs of one cloud.

    Attributes:
        is_enabled: False switches the limits off.
        has_lockout: False switches the lock-out off.
        every_3xxx_counts: which refusals the lock-out counts. Mango's API document (D26, 1.4.1) calls each request
            that is answered 3xxx wrong, so 3320 "recording not found" too; False: 31xx and 3400 alone.
        lockout_seconds: how long a lock-out lasts.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.is_enabled = True
        self.has_lockout = True
        self.every_3xxx_counts = False
        self.lockout_seconds = LOCKOUT_SECONDS
        self._buckets: dict[tuple[str, str], TokenBucket] = {}
        self._faults: dict[str, tuple[float, int]] = {}

    def seconds_to_wait(self, api_key: str, path: str) -> float:
        """Returns 0 when this request may pass, else the seconds to wait (the answer is then 429)."""
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

    def count_refusal(self, caller: str, code: int) -> bool:
        """Counts a request that is answered with this code, if it is a wrong one. Returns whether it is."""
        is_malformed = 3100 <= code < 3200 or code == 3400
        is_wrong = 3000 <= code < 4000 if self.every_3xxx_counts else is_malformed
        if is_wrong:
            self.count_malformed(caller)
        return is_wrong

    def count_malformed(self, caller: str) -> None:
        """Counts a wrong request of a key, or of an address where the key is unknown."""
        first, count = self._faults.get(caller, (0.0, 0))
        if not count or self.clock() - first >= self.lockout_seconds:
            first, count = self.clock(), 0
        self._faults[caller] = (first, count + 1)

    def is_locked_out(self, caller: str) -> bool:
        """Whether two wrong requests came within two minutes. The lock-out ends two minutes after the first one."""
        first, count = self._faults.get(caller, (0.0, 0))
        return self.has_lockout and count > 1 and self.clock() - first < self.lockout_seconds
