"""Time from a ring to the portal while a hundred other portals are slow at once, against the idle system.

The slow ones answer after 20.5 seconds where a call is registered or a recording attached, and each has calls under way
all the time. They are self-hosted, so no request budget holds them back.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import requests

from benchmarks.bad_neighbours import SLOW_SECONDS
from benchmarks.contact_centre import installation
from benchmarks.latency import percentiles
from benchmarks.measure import Figure, Measure
from benchmarks.neighbour_load import B, Neighbours
from benchmarks.rig import Rig, call, post, until

SLOW, SAMPLES = (100, 20), (40, 8)
"""Slow portals, and calls of the good one: (full, quick)."""
TIMES = 2.0
PAUSE_SECONDS, SENDERS = 20.0, 16
"""From a slow portal's call to its next; connections that send them."""


@contextmanager
def _slow(both: Neighbours, numbers: list[int]) -> Iterator[None]:
    """The portals are slow and have calls. Yields when each has had a request for its first call."""
    made, done = both.made, threading.Event()
    before = {number: _hits(made, number) for number in numbers}
    for number in numbers:
        made.cloud.ask("slow", number, SLOW_SECONDS)
    with ThreadPoolExecutor(SENDERS) as pool:
        sending = [pool.submit(_send_calls, made, numbers[place::SENDERS], done) for place in range(SENDERS)]
        try:
            until(lambda: _have_begun(made, before), "the slow portals' calls were never sent", 300, 0.5)
            yield
        finally:
            done.set()
        for future in sending:
            future.result()


def _send_calls(made: Rig, numbers: list[int], done: threading.Event) -> None:
    with requests.Session() as session:
        while not done.is_set():
            for number in numbers:
                for notice in call().notices:
                    post(session, made.hooks[number], notice)
            done.wait(PAUSE_SECONDS)


def _have_begun(made: Rig, before: dict[int, int]) -> bool:
    return all(_hits(made, number) > count for number, count in before.items())


def _hits(made: Rig, number: int) -> int:
    return int(made.cloud.ask("hits", number)[0])


def _run(quick: bool) -> list[Figure]:
    count, samples = SLOW[quick], SAMPLES[quick]
    numbers = [number for number in range(count + 1) if number != B]
    with installation(count + 1, "selfhosted", RECORDING_RETRY="0") as (made, client):
        both = Neighbours(made, client)
        both.sample(5)  # warm: connections, caches, tokens
        idle = both.sample(samples)
        with _slow(both, numbers):
            beside = both.sample(samples)
    (p50, p95), (idle_p50, idle_p95) = percentiles(beside), percentiles(idle)
    name = f"ring to register beside {count} slow portals, p95"
    note = f"p50 {p50:.0f} ms, idle {idle_p50:.0f} ms; {samples} calls; slow: {SLOW_SECONDS} s an answer"
    reach = f"{TIMES:.0f} times the idle one"
    return [Figure(name, p95, "ms", reach, p95 <= TIMES * idle_p95, idle_p95, note)]


MEASURES = (Measure("slow-portals", "a ring's way to a portal beside a hundred slow ones", _run, 15, False),)
