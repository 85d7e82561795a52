"""The limits of a portal: requests per source address (a leaky bucket), seconds of work per method and application.

The defaults are those of the documentation: 2 requests a second with a bucket of 50 (Enterprise: 5 and 250), and 480
seconds of work of one method within ten minutes.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from bx24app.sandbox.bitrix.registry import RestError

BASKETS = 10


@dataclass
class Limits:
    """The limits and their state. `rate` 0 means no request limit, `operating` 0 no limit of work."""

    rate: float = 2.0
    threshold: int = 50
    operating: float = 480.0
    window: float = 600.0
    """Seconds over which work is summed, in ten baskets."""
    refused_count: int = 0
    _levels: dict[str, tuple[float, float]] = field(default_factory=dict)
    _work_by_minute: defaultdict[tuple[int, str], dict[float, float]] = field(default_factory=lambda: defaultdict(dict))

    def bucket_level(self, address: str, now: float) -> float:
        """The number of requests in the bucket of an address."""
        level, at = self._levels.get(address, (0.0, now))
        return max(0.0, level - (now - at) * self.rate)

    def fill_bucket(self, level: float, now: float) -> None:
        """Sets the bucket of this machine, for a test or a benchmark that starts with a full one."""
        self._levels["127.0.0.1"] = (level, now)

    def count_request(self, address: str, now: float) -> None:
        """Counts one HTTP request. A batch counts as one, a refused request does not count.

        Raises:
            RestError: QUERY_LIMIT_EXCEEDED, HTTP 503.
        """
        if not self.rate:
            return
        level = self.bucket_level(address, now)
        if level + 1 > self.threshold:
            self.refused_count += 1
            raise RestError("QUERY_LIMIT_EXCEEDED", "Too many requests", 503)
        self._levels[address] = (level + 1, now)

    def work_seconds(self, app_id: int, method: str, now: float) -> tuple[float, int]:
        """The seconds of work within the window, and the time when its oldest minute leaves the window."""
        baskets = self._work_by_minute.get((app_id, method))
        if not baskets:
            return 0.0, int(now + self.window)
        for minute in [minute for minute in baskets if minute <= now - self.window]:
            del baskets[minute]
        return sum(baskets.values()), int((min(baskets) if baskets else now) + self.window)

    def check_work_limit(self, app_id: int, method: str, now: float) -> None:
        """Checks before a method runs that its work is below the limit.

        Raises:
            RestError: OPERATION_TIME_LIMIT, HTTP 429, with `operating_reset_at`.
        """
        if not self.operating or (app_id, method) not in self._work_by_minute:
            return
        used, reset = self.work_seconds(app_id, method, now)
        if used >= self.operating:
            raise RestError(
                "OPERATION_TIME_LIMIT", "Method is blocked due to operation time limit.", 429, operating_reset_at=reset
            )

    def add_work(self, app_id: int, method: str, seconds: float, now: float) -> None:
        """Adds the time that a method took. Less than 0.1 s does not count."""
        if seconds >= 0.1:
            baskets = self._work_by_minute[app_id, method]
            minute = now // (self.window / BASKETS) * (self.window / BASKETS)
            baskets[minute] = baskets.get(minute, 0.0) + seconds
