"""Time from the notification of the first ringing person to `register` at the portal, on an idle system, without the
portal's own time.
"""

from __future__ import annotations

import statistics
import time
from functools import partial

import requests

from benchmarks.measure import Figure, Measure
from benchmarks.rig import Rig, call, post, rig, until

CALLS = 200
P50_MS, P95_MS = 30, 100
APART = 0.6
"""Seconds between calls, so that they do not use up the budget of an ordinary tariff."""
RINGS = 3
"""Index of the first person's notification in the first sequence, after the menu and the queue."""


def once(made: Rig, session: requests.Session, number: int = 0) -> float:
    """Milliseconds of one call, from the moment its notification leaves Mango."""
    sequence = call()
    for notice in sequence.notices[:RINGS]:
        post(session, made.hooks[number], notice)
    made.settle(60)
    since = time.time()
    post(session, made.hooks[number], sequence.notices[RINGS])
    seen: list[tuple[float, float, bool]] = []

    def registered() -> bool:
        seen[:] = made.cloud.ask("requests", number, since)
        return any(register for _, _, register in seen)

    until(registered, "a call was never registered", 60)
    time.sleep(APART)
    return taken_off(seen, since) * 1000


def taken_off(seen: list[tuple[float, float, bool]], since: float) -> float:
    """Seconds from `since` to the arrival of the registering request, minus the portal's time for requests before it.
    """
    at = min(arrived for arrived, _, register in seen if register)
    return at - since - sum(seconds for arrived, seconds, _ in seen if arrived < at)


def percentiles(values: list[float]) -> tuple[float, float]:
    """(p50, p95)."""
    cuts = statistics.quantiles(values, n=20, method="inclusive")
    return statistics.median(values), cuts[18]


def _run(quick: bool) -> list[Figure]:
    with rig(RECORDING_RETRY="0") as made, requests.Session() as session:
        take = partial(once, made, session)
        for _ in range(3 if quick else 5):  # warm: connections, caches, tokens
            take()
        times = [take() for _ in range(6 if quick else CALLS)]
    p50, p95 = percentiles(times)
    note = f"{len(times)} calls"
    return [
        Figure("ring to register, p50", p50, "ms", f"under {P50_MS} ms", p50 < P50_MS, note=note),
        Figure("ring to register, p95", p95, "ms", f"under {P95_MS} ms", p95 < P95_MS, note=note),
    ]


MEASURES = (Measure("latency", "a ring's way to the portal, idle", _run, 4),)
