"""A contact centre on one portal of the ordinary tariff: calls a second, time to the card, requests per call.

The baseline is the naive flow with one request per step.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import redis
import requests

from benchmarks.latency import percentiles
from benchmarks.measure import Figure, Measure
from benchmarks.naive import STEPS, Naive
from benchmarks.rig import Rig, call, post, rig
from benchmarks.steady import LENGTH, Player
from bx24app.bitrix24.budget import MARGIN_SECONDS
from tests.support.servers import postgres, valkey

RATE, STORE, COMMAND_SECONDS = 2.0, 50, 0.1
"""The ordinary tariff (requests a second, and in store), and the seconds that each command takes the portal."""
RECORDING, LARGE = 300_000, 4_000_000
"""Bytes. The large one is uploaded on its own."""
OFFERED = 3.2
"""Calls a second that are sent."""
SECONDS, QUICK_SECONDS = (600.0, 60.0), (6.0, 4.0)
"""Ours, and the naive flow's, whose rate does not change with time."""
TIMES, CARD_SECONDS, HITS = 9, 2.0, 0.66
SECOND_PHONE = (4, 7)
"""Notifications of the first sequence about the second ringing phone."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What the portal saw of a steady stream of calls. `cards`: seconds from the notification of the first ringing
    person to the card.
    """

    rate: float
    hits: float
    refused: int
    cards: list[float]
    note: str


@contextmanager
def installation(portals: int = 1, license: str = "", **variables: str) -> Iterator[tuple[Rig, redis.Redis]]:
    """An installation over PostgreSQL, as a contact centre has it, and a client for the app's own keys in its Redis,
    which stores the request budgets.
    """
    with (
        tempfile.TemporaryDirectory() as folder,
        postgres(Path(folder)) as database,
        valkey(Path(folder)) as url,
        rig(portals, license, DATABASE_URL=database, REDIS_URL=url, **variables) as made,
    ):
        yield made, made.app.extensions["bx24app"].redis


def spend(made: Rig, client: redis.Redis, number: int = 0) -> None:
    """Uses up the portal's store of requests and records that in the program's budget."""
    made.cloud.ask("limit", number, RATE, COMMAND_SECONDS, True)
    seconds, microseconds = client.time()
    budget = {"filled": STORE - RATE * MARGIN_SECONDS, "at": seconds + microseconds / 1e6}
    client.hset(f"budget:{made.cloud.ask('member_id', number)}", mapping=budget)


def idle(made: Rig, size: int, without: Sequence[int] = ()) -> float:
    """Requests of one call on an idle system. Notifications of the same second are sent together."""
    made.cloud.ask("sized", size)
    sequence = call()
    made.cloud.ask("absorb", sequence.notices)
    before, _ = made.cloud.ask("hits", 0)
    notices = [notice for index, notice in enumerate(sequence.notices) if index not in without]
    with requests.Session() as session:
        for _, group in groupby(notices, lambda one: one.content.get("timestamp") or one.content.get("end_time")):
            for notice in group:
                post(session, made.hooks[0], notice)
            made.settle(60)
    after, _ = made.cloud.ask("hits", 0)
    return float(after - before)


def sustained(made: Rig, client: redis.Redis, seconds: float) -> Seen:
    """Sends a steady stream of calls. Counts for `seconds`, from the time at which the first call can be complete."""
    made.cloud.ask("sized", RECORDING)
    marks: list[tuple[float, int, int]] = []

    def look() -> None:
        hits, _ = made.cloud.ask("hits", 0)
        marks.append((time.time(), made.cloud.ask("landed", 0)[1], hits))

    began, player = time.time(), Player(made)
    spend(made, client)
    player.play(OFFERED, seconds, [(LENGTH, look), (LENGTH + seconds, look)])
    made.settle(300)
    settled = time.time() - began - seconds - LENGTH
    (first, landed, hits), (last, landed_then, hits_then) = marks
    cards, done = made.cloud.ask("cards", 0, began), landed_then - landed
    lost = [one for one in player.rang if one not in cards]
    note = (
        f"{done} of {len(player.rang)} calls had landed with their recordings in {last - first:.0f} s, the rest {settled:.0f} s later; "  # noqa: E501
        f"{len(lost)} without a card; told at most {player.late:.1f} s late"
    )
    waits = [cards[one] - at for one, at in player.rang.items() if one in cards]
    return Seen(done / (last - first), (hits_then - hits) / max(1, done), made.cloud.ask("hits", 0)[1], waits, note)


def _run(quick: bool) -> list[Figure]:
    seconds, naive_seconds = QUICK_SECONDS if quick else SECONDS
    with installation() as (made, client):
        made.cloud.ask("limit", 0, RATE, 0.0)
        for _ in range(1 if quick else 2):  # warm: connections, caches, tokens
            idle(made, RECORDING)
        single = idle(made, RECORDING, SECOND_PHONE)
        small, large = idle(made, RECORDING), idle(made, LARGE)
        seen = sustained(made, client, seconds)
        spend(made, client)
        naive = Naive(made, 0, RATE, RECORDING).calls_a_second(naive_seconds)
    p50, p95 = percentiles(seen.cards)
    return [
        Figure(
            "calls sustained on one portal",
            seen.rate,
            "/s",
            f"{TIMES} times",
            seen.rate >= TIMES * naive,
            naive,
            seen.note,
        ),
        Figure("refused by the portal's limit", seen.refused, "requests", "none", seen.refused == 0),
        Figure(
            "ring to card under load, p95",
            p95,
            "s",
            f"{CARD_SECONDS:.0f} s",
            p95 <= CARD_SECONDS,
            note=f"p50 {p50:.2f} s",
        ),
        Figure("requests a call under load", seen.hits, "requests", f"{HITS}", seen.hits <= HITS, float(STEPS)),
        Figure("requests of the first sequence, idle", large, "requests", "5", large <= 5, note="recording uploaded"),
        Figure("the same, small recording", small, "requests", "4", small <= 4),
        Figure("one ringing phone, small recording", single, "requests", "3", single <= 3),
    ]


MEASURES = (Measure("contact-centre", "calls sustained on one portal of the ordinary tariff", _run, 3),)
