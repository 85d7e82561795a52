"""The portal's limits: a leaky bucket of requests per source address, and seconds of work per method and application.

Numbers are those of the documentation: 2 requests a second and 50 in store (Enterprise: 5 and 250); 480 s of one method in ten minutes.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from bx24app.sandbox.bitrix.registry import RestError

_WINDOW_SECONDS, _BUCKET_SECONDS = 600, 60


@dataclass
class Limits:
    """`rate` 0: no request limit. `operating` 0: no limit of work. Times are epoch seconds."""

    rate: float = 2.0
    threshold: int = 50
    operating: float = 480.0
    refused_count: int = 0
    _levels: dict[str, tuple[float, float]] = field(default_factory=dict)
    _work_by_minute: defaultdict[tuple[int, str], dict[int, float]] = field(default_factory=lambda: defaultdict(dict))

    def bucket_level(self, address: str, now: float) -> float:
        """How full the bucket of an address is."""
        level, at = self._levels.get(address, (0.0, now))
        return max(0.0, level - (now - at) * self.rate)

    def fill_bucket(self, level: float, now: float) -> None:
        """Uses up a bucket, for a test or a benchmark that starts with an empty store."""
        self._levels["127.0.0.1"] = (level, now)

    def count_request(self, address: str, now: float) -> None:
        """Counts one HTTP request (a batch is one).

        Raises:
            RestError: QUERY_LIMIT_EXCEEDED, HTTP 503. A refused request does not count.
        """
        if not self.rate:
            return
        level = self.bucket_level(address, now)
        if level + 1 > self.threshold:
            self.refused_count += 1
            raise RestError("QUERY_LIMIT_EXCEEDED", "Too many requests", 503)
        self._levels[address] = (level + 1, now)

    def work_seconds(self, app_id: int, method: str, now: float) -> tuple[float, int]:
        """Seconds of work in the window, and when its oldest minute leaves it."""
        baskets = self._work_by_minute.get((app_id, method))
        if not baskets:
            return 0.0, int(now) + _WINDOW_SECONDS
        for minute in [minute for minute in baskets if minute <= now - _WINDOW_SECONDS]:
            del baskets[minute]
        reset = (min(baskets) if baskets else int(now)) + _WINDOW_SECONDS
        return sum(baskets.values()), reset

    def check_work_limit(self, app_id: int, method: str, now: float) -> None:
        """Asked before a method runs.

        Raises:
            RestError: OPERATION_TIME_LIMIT, HTTP 429, until `operating_reset_at`.
        """
        if not self.operating or (app_id, method) not in self._work_by_minute:
            return
        used, reset = self.work_seconds(app_id, method, now)
        if used >= self.operating:
            raise RestError(
                "OPERATION_TIME_LIMIT", "Method is blocked due to operation time limit.", 429, operating_reset_at=reset
            )

    def add_work(self, app_id: int, method: str, seconds: float, now: float) -> None:
        """Adds what a method took; less than 0.1 s is not counted."""
        if seconds >= 0.1:
            baskets = self._work_by_minute[app_id, method]
            minute = int(now // _BUCKET_SECONDS) * _BUCKET_SECONDS
            baskets[minute] = baskets.get(minute, 0.0) + seconds
