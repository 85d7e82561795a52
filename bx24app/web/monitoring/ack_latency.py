"""How long notifications wait for their answer: a histogram over all web processes, for the objective "p99 under 25 ms".

A process counts for itself and adds its counts to Redis every few seconds, so that no request waits for its own measurement. What was not
added when a process ends is lost; what Redis forgets, Prometheus takes as a restart of the counter.
"""

from __future__ import annotations

import threading
import time
from bisect import bisect_left
from collections import Counter

import redis
from prometheus_client.core import HistogramMetricFamily

from bx24app.infra.runtime import runtime

BUCKET_BOUNDS = (0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds in seconds."""
FLUSH_SECONDS = 5.0
"""Seconds between two additions of a process."""
REDIS_KEY = "bx24app:acks"

_lock = threading.Lock()
_counts: Counter[str] = Counter()
_total_seconds = 0.0
_flushed_at = time.monotonic()


def record_latency(seconds: float) -> None:
    """One notification was answered after so many seconds."""
    global _total_seconds
    place = bisect_left(BUCKET_BOUNDS, seconds)
    with _lock:
        _counts[str(place)] += 1
        _total_seconds += seconds
        due = time.monotonic() - _flushed_at > FLUSH_SECONDS
    if due:
        flush_counts()


def flush_counts() -> None:
    """Add what this process has counted to the sum of all. Where Redis does not answer, it is kept for the next time."""
    global _counts, _total_seconds, _flushed_at
    with _lock:
        counts, seconds = _counts, _total_seconds
        _counts, _total_seconds, _flushed_at = Counter(), 0.0, time.monotonic()
    if not counts:
        return
    try:
        pipe = runtime().redis.pipeline()
        for place, count in counts.items():
            pipe.hincrby(REDIS_KEY, place, count)
        pipe.hincrbyfloat(REDIS_KEY, "seconds", seconds)
        pipe.execute()
    except redis.RedisError:
        with _lock:
            _counts += counts
            _total_seconds += seconds


def collect_histogram() -> HistogramMetricFamily:
    """The histogram of all processes.

    Raises:
        redis.RedisError: Redis does not answer.
    """
    flush_counts()
    held = {name.decode(): float(value) for name, value in runtime().redis.hgetall(REDIS_KEY).items()}  # type: ignore[union-attr]
    found = HistogramMetricFamily("bx24app_ack_seconds", "From a notification's last byte to its answer")
    buckets, total = [], 0.0
    for place in range(len(BUCKET_BOUNDS) + 1):
        total += held.get(str(place), 0.0)
        buckets.append((str(BUCKET_BOUNDS[place]) if place < len(BUCKET_BOUNDS) else "+Inf", total))
    found.add_metric([], buckets, held.get("seconds", 0.0))
    return found
