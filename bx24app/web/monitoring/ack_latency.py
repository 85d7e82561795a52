"""How long notifications wait for their answer: a histogram over all web processes, for the objective "p99 under 25
ms".

Each process counts for itself and adds its counts to Redis every few seconds, so no request waits for its own
measurement. Counts that a process had not added when it ended are lost; if Redis loses its data, Prometheus sees a
counter reset.
"""

from __future__ import annotations

import threading
import time
from bisect import bisect_left
from collections import Counter

import redis
from prometheus_client.core import HistogramMetricFamily

from bx24app.infra.redis_client import SilentRedis
from bx24app.infra.runtime import runtime

BUCKET_BOUNDS = (0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds in seconds."""
FLUSH_SECONDS = 5.0
"""Seconds between two flushes of a process."""
REDIS_KEY = "bx24app:acks"


class AckCounter:
    """What this process has measured since it last added its counts to Redis."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._total_seconds = 0.0
        self._flushed_at = time.monotonic()

    def add(self, counts: Counter[str], seconds: float) -> bool:
        """Count latencies by bucket; returns whether a flush is due."""
        with self._lock:
            self._counts += counts
            self._total_seconds += seconds
            return time.monotonic() - self._flushed_at > FLUSH_SECONDS

    def take(self) -> tuple[Counter[str], float]:
        """The counts by bucket and the sum of seconds, which start again from zero."""
        with self._lock:
            counts, seconds = self._counts, self._total_seconds
            self._counts, self._total_seconds, self._flushed_at = Counter(), 0.0, time.monotonic()
            return counts, seconds


def record_latency(seconds: float) -> None:
    """Count one notification that was answered after `seconds`."""
    bucket = str(bisect_left(BUCKET_BOUNDS, seconds))
    is_due = runtime().get(AckCounter).add(Counter({bucket: 1}), seconds)
    if is_due and not runtime().get(SilentRedis).is_recent(FLUSH_SECONDS):
        flush_counts()


def flush_counts() -> None:
    """Add this process's counts to the sum of all. While Redis does not answer, they are kept for the next time."""
    counter = runtime().get(AckCounter)
    counts, seconds = counter.take()
    if not counts:
        return
    try:
        pipe = runtime().redis.pipeline()
        for bucket, count in counts.items():
            pipe.hincrby(REDIS_KEY, bucket, count)
        pipe.hincrbyfloat(REDIS_KEY, "seconds", seconds)
        pipe.execute()
    except redis.RedisError:
        runtime().get(SilentRedis).note()
        counter.add(counts, seconds)


def collect_histogram() -> HistogramMetricFamily:
    """The histogram of all processes.

    Raises:
        redis.RedisError: Redis does not answer.
    """
    flush_counts()
    stored = {name.decode(): float(value) for name, value in runtime().redis.hgetall(REDIS_KEY).items()}  # type: ignore[union-attr]
    family = HistogramMetricFamily("bx24app_ack_seconds", "From a notification's last byte to its answer")
    buckets, total = [], 0.0
    for bucket in range(len(BUCKET_BOUNDS) + 1):
        total += stored.get(str(bucket), 0.0)
        buckets.append((str(BUCKET_BOUNDS[bucket]) if bucket < len(BUCKET_BOUNDS) else "+Inf", total))
    family.add_metric([], buckets, stored.get("seconds", 0.0))
    return family
