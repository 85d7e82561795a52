"""A tenant beside a slow, a hung and a hostile one: time from a ring to the portal, and from a recording's turn to its
file in the portal, against the same on the idle system.

The bad neighbours are self-hosted by their own word, so no request budget holds them back.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from benchmarks.contact_centre import RECORDING, installation
from benchmarks.latency import percentiles
from benchmarks.left import leave
from benchmarks.measure import Figure
from benchmarks.neighbour_load import A, B, Neighbours
from benchmarks.rig import until
from bx24app.infra.queue import wake_recordings
from bx24app.models import Recording, db

SLOW_SECONDS, HOSTILE_SECONDS = 20.5, 19.0
"""How long the portals take for an answer: more than counts as a failure, and a little less."""
CALLS, LEFT, FLOOD, SAMPLES = (40, 15), (40, 10), (5000, 600), (40, 6)
"""The bad neighbour's calls and recordings, notifications of the hostile one, calls of the good one: (full, quick)."""
CARD_TIMES, RECORDING_TIMES = 2.0, 3.0
Bad = Callable[[Neighbours, bool], Iterator[None]]


def figures(quick: bool) -> list[Figure]:
    """Cards and recordings of B beside each bad neighbour."""
    made: list[Figure] = []
    with installation(2, "selfhosted", RECORDING_RETRY="0") as (rig, client):
        both = Neighbours(rig, client)
        both.sample(5)  # warm: connections, caches, tokens
        for name, bad in (("slow", _slow), ("hung", _hung), ("hostile", _hostile)):
            idle = both.sample(SAMPLES[quick]), _recordings(both, SAMPLES[quick])  # right before: machines change
            with contextmanager(bad)(both, quick):
                cards, recordings = both.sample(SAMPLES[quick]), _recordings(both, SAMPLES[quick])
            made += _compare(name, (cards, recordings), idle)
            rig.settle(600)
    return made


def _slow(both: Neighbours, quick: bool) -> Iterator[None]:
    leave(both.made, A, LEFT[quick], RECORDING)
    both.made.cloud.ask("slow", A, SLOW_SECONDS)
    _ring(both, quick)
    yield
    both.made.cloud.ask("slow", A, 0.0)


def _hung(both: Neighbours, quick: bool) -> Iterator[None]:
    leave(both.made, A, LEFT[quick], RECORDING)
    both.made.cloud.ask("hang", A, True)
    _ring(both, quick)
    yield
    both.made.cloud.ask("hang", A, False)
    for key in both.client.keys("*circuit:*"):
        both.client.delete(b"circuit:" + key.partition(b"circuit:")[2])


def _hostile(both: Neighbours, quick: bool) -> Iterator[None]:
    """A flood, and answers that are just not slow enough to count."""
    leave(both.made, A, LEFT[quick], RECORDING)
    both.made.cloud.ask("slow", A, HOSTILE_SECONDS)
    with both.flood(FLOOD[quick]):
        yield
    both.made.cloud.ask("slow", A, 0.0)


def _ring(both: Neighbours, quick: bool) -> None:
    """The calls of A, and the time in which its recordings have their turn too."""
    with both.flood(CALLS[quick] * 13):
        pass
    time.sleep(15)


def _recordings(both: Neighbours, count: int) -> list[float]:
    """Milliseconds of recordings of B, each from its turn to the row with the state attached."""
    times = []
    for _ in range(count):
        [row_id] = leave(both.made, B, 1, RECORDING)
        began = time.monotonic()
        with both.made.app.app_context():
            wake_recordings(db.session.get_one(Recording, row_id).portal_id)
            db.session.remove()
        until(lambda row_id=row_id: _is_attached(both, row_id), "a recording was never attached", 600, 0.01)  # type: ignore[misc]
        times.append((time.monotonic() - began) * 1000)
    return times


def _is_attached(both: Neighbours, row_id: int) -> bool:
    with both.made.app.app_context():
        state = db.session.get_one(Recording, row_id).state
        db.session.remove()
    return state == "attached"


def _compare(name: str, beside: tuple[list[float], list[float]], idle: tuple[list[float], list[float]]) -> list[Figure]:
    made = []
    kinds = (("ring to register", CARD_TIMES), ("recording to attached", RECORDING_TIMES))
    for (what, times), values, idle_values in zip(kinds, beside, idle, strict=True):
        (p50, p95), (idle_p50, idle_p95) = percentiles(values), percentiles(idle_values)
        title, note = f"{what} beside a {name} neighbour, p95", f"p50 {p50:.0f} ms, idle {idle_p50:.0f} ms"
        reach = f"{times:.0f} times the idle one"
        made.append(Figure(title, p95, "ms", reach, p95 <= times * idle_p95, idle_p95, f"{note}; {len(values)} times"))
    return made
