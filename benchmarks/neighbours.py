"""Time from a ring to portal B while portal A is flooded, while A's recordings wait, and while A is slow, hung or
hostile, against B alone on an idle system.
"""

from __future__ import annotations

from benchmarks import bad_neighbours
from benchmarks.contact_centre import COMMAND_SECONDS, RATE, RECORDING, installation
from benchmarks.latency import percentiles
from benchmarks.left import leave
from benchmarks.measure import Figure, Measure
from benchmarks.neighbour_load import A, Neighbours
from benchmarks.rig import until

FLOOD, RECORDINGS, SAMPLES = (5000, 1500), (1000, 20), (100, 5)
"""Notifications, recordings, and calls of B at most: (full run, quick run)."""
FEWEST = 3
TIMES = 2.0


def _run(quick: bool) -> list[Figure]:
    count, recordings, most = FLOOD[quick], RECORDINGS[quick], SAMPLES[quick]
    with installation(2) as (made, client):
        both = Neighbours(made, client)
        both.sample(5)  # warm: connections, caches, tokens
        idle = both.sample(most)
        leave(made, A, recordings, RECORDING)
        made.cloud.ask("limit", A, RATE, COMMAND_SECONDS)
        until(lambda: both.waiting() < recordings, "no recording was ever attached", 120, 0.2)
        beside_recordings = both.sample(most, lambda: bool(both.waiting()))
        left = both.waiting()
        until(lambda: not both.waiting(), "recordings were never attached", 900, 1)
        with both.flood(count) as going:
            flooded = both.sample(most, going)
    return [
        *_figures("while a neighbour is flooded", flooded, idle, f"{count} notifications"),
        *_figures(
            "while a neighbour's recordings wait",
            beside_recordings,
            idle,
            f"{recordings} recordings, {left} left at the end",
        ),
        *bad_neighbours.figures(quick),
    ]


def _figures(name: str, times: list[float], idle: list[float], note: str) -> list[Figure]:
    """The figures of one situation.

    Raises:
        RuntimeError: too few calls were measured.
    """
    if len(times) < FEWEST:
        raise RuntimeError(f"{name}: it was over after {len(times)} calls")
    (p50, p95), (idle_p50, idle_p95) = percentiles(times), percentiles(idle)
    return [
        Figure(
            f"ring to register {name}, p95",
            p95,
            "ms",
            f"{TIMES:.0f} times the idle one",
            p95 <= TIMES * idle_p95,
            idle_p95,
            f"p50 {p50:.0f} ms, idle {idle_p50:.0f} ms; {len(times)} calls; {note}",
        )
    ]


MEASURES = (Measure("neighbours", "a ring's way to a portal beside a busy one", _run, 5),)
