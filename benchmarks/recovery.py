"""How long a portal needs for the calls that waited: with the cloud's cut after 60 s, and without it.

python -m benchmarks recovery [--quick]

Real time: each command takes what the documentation's samples say for a request with it alone, the portal's store of
requests is used up at the beginning, and the workers begin when all notifications are accepted.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import redis
import requests

from benchmarks.backlog import PATIENCE, resting
from benchmarks.contact_centre import RATE, RECORDING, STORE, installation
from benchmarks.measure import Figure, Measure
from benchmarks.rig import Rig, call, post, until
from bx24app.bitrix24.budget import MARGIN_SECONDS

CALLS, QUICK_CALLS = 120, 20
CUT, WITHOUT_CUT = 60.0, 0.0
REACH = 1.5


@dataclass(frozen=True, slots=True)
class Recovered:
    """Seconds until the portal has all calls, its requests meanwhile, those that it cut, and the longest in seconds."""

    seconds: float
    hits: int
    cut: int
    longest: float


def recover(made: Rig, client: redis.Redis, number: int, count: int, cut_after: float) -> Recovered:
    """Lets calls of one portal wait, then looks how long it takes until all have landed."""
    before, calls = made.cloud.ask("landed", number)[0], [call() for _ in range(count)]

    def send(sequence: list[int]) -> None:
        with requests.Session() as session:
            for index in sequence:
                for notice in calls[index].notices:
                    post(session, made.hooks[number], notice)

    made.cloud.ask("sized", RECORDING)
    for each in calls:
        made.cloud.ask("absorb", each.notices)
    with resting(made):
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(send, [list(range(first, count, 4)) for first in range(4)]))
        made.cloud.ask("documented", number, {"scale": 1.0, "whole": True, "cut_after": cut_after})
        made.cloud.ask("limit", number, RATE, 0.0, True)
        seconds, microseconds = client.time()
        budget = {"filled": STORE - RATE * MARGIN_SECONDS, "at": seconds + microseconds / 1e6}
        client.hset(f"budget:{made.cloud.ask('member_id', number)}", mapping=budget)
        hits, started = made.cloud.ask("hits", number)[0], time.monotonic()
    until(lambda: made.cloud.ask("landed", number)[0] >= before + count, "the calls never landed", PATIENCE, 0.2)
    took, hits = time.monotonic() - started, made.cloud.ask("hits", number)[0] - hits
    made.cloud.ask("limit", number, 0.0, 0.0)
    cut, longest = made.cloud.ask("documented", number, {"scale": 0.0})
    made.settle(PATIENCE)
    if (landed := made.cloud.ask("landed", number)[0]) != before + count:
        raise RuntimeError(f"{landed - before} calls landed, not {count}")
    return Recovered(took, hits, cut, longest)


def _run(quick: bool) -> list[Figure]:
    count = QUICK_CALLS if quick else CALLS
    with installation(2) as (made, client):
        without = recover(made, client, 0, count, WITHOUT_CUT)
        ours = recover(made, client, 1, count, CUT)
    note = (
        f"{count} calls; {ours.hits} requests, {ours.cut} of them cut, the longest {ours.longest:.0f} s; "
        f"without the cut {without.hits} requests, the longest {without.longest:.0f} s"
    )
    ratio = ours.seconds / without.seconds
    return [
        Figure("waiting calls, to the same without the cut", ours.seconds, "s", f"at most {REACH} times",
               ratio <= REACH, without.seconds, note),
        Figure("requests that the portal cut", ours.cut, "requests", "none", ours.cut == 0),
    ]  # fmt: skip


MEASURES = (Measure("recovery", "calls that waited for the portal, with the cut after 60 s and without it", _run),)
