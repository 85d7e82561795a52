"""A ring's way to portal B while portal A is flooded, and while A's recordings wait; against B alone on an idle system."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import redis
import requests

from benchmarks.contact_centre import COMMAND_SECONDS, RATE, RECORDING, installation
from benchmarks.latency import RINGS, percentiles, taken_off
from benchmarks.left import leave, pbx_of
from benchmarks.measure import Figure, Measure
from benchmarks.rig import Rig, call, post, until
from bx24app.infra.processes.child_process import die_with_parent
from bx24app.models import Notification, Recording, db
from tests.support.scenarios import Notice

A, B = 0, 1
FLOOD, RECORDINGS, SAMPLES = (5000, 350), (1000, 20), (100, 5)
"""Notifications, recordings, and calls of B at the most; whole and quick."""
FEWEST = 3
TIMES = 2.0
CONNECTIONS = 8


@dataclass
class Neighbours:
    """Two portals of one installation; `client`: its Redis."""

    made: Rig
    client: redis.Redis

    def once(self, session: requests.Session) -> float:
        """Milliseconds of one call of B, from the moment its notification leaves Mango."""
        # B is a small office whose budget is full: not its own calls are measured here.
        self.client.delete(f"budget:{self.made.cloud.ask('member_id', B)}")
        told = call()
        for notice in told.notices[:RINGS]:
            post(session, self.made.hooks[B], notice)
        until(lambda: not self.unread(B), "what was told to B before its ring was never read", 120, 0.1)
        since = time.time()
        post(session, self.made.hooks[B], told.notices[RINGS])
        seen: list[tuple[float, float, bool]] = []

        def registered() -> bool:
            seen[:] = self.made.cloud.ask("requests", B, since)
            return any(register for _, _, register in seen)

        until(registered, "a call was never registered", 120)
        return taken_off(seen, since) * 1000

    def sample(self, most: int, going: Callable[[], bool] = lambda: True) -> list[float]:
        """So many calls of B, or as many as there is time for while it goes on."""
        found: list[float] = []
        with requests.Session() as session:
            while len(found) < most and going():
                found.append(self.once(session))
        return found

    def unread(self, number: int) -> int:
        """Notifications of a portal that no drain has taken yet."""
        with self.made.app.app_context():
            found = db.session.query(Notification).filter_by(portal_id=pbx_of(self.made, number).portal_id, state="new").count()
            db.session.remove()
            return found

    @contextmanager
    def flood(self, count: int) -> Iterator[Callable[[], bool]]:
        """A is told so many notifications from a process of its own; the answer of what it gives: does it go on?"""
        context = multiprocessing.get_context("spawn")
        process = context.Process(target=_flood, args=(self.made.hooks[A], count, os.getpid()))
        process.start()
        try:
            until(lambda: self.unread(A) or not process.is_alive(), "the flood never began")
            yield lambda: process.is_alive() or bool(self.unread(A))
        finally:
            process.join()

    def waiting(self) -> int:
        """Recordings that are not attached yet."""
        with self.made.app.app_context():
            found = db.session.query(Recording).filter_by(state="waiting").count()
            db.session.remove()
            return found


def _flood(hook: str, count: int, parent: int) -> None:
    """Whole calls, as fast as they are taken."""
    die_with_parent(parent)
    calls = [call().notices for _ in range(-(-count // 13))]

    def one(notices: list[Notice]) -> None:
        with requests.Session() as session:
            for notice in notices:
                post(session, hook, notice)

    with ThreadPoolExecutor(CONNECTIONS) as pool:
        list(pool.map(one, calls))


def _run(quick: bool) -> list[Figure]:
    count, recordings, most = FLOOD[quick], RECORDINGS[quick], SAMPLES[quick]
    with installation(2) as (made, client):
        both = Neighbours(made, client)
        both.sample(5)  # warm: connections, caches, tokens
        idle = both.sample(most)
        leave(made, A, recordings, RECORDING)
        made.cloud.ask("limit", A, RATE, COMMAND_SECONDS)
        until(lambda: both.waiting() < recordings, "no recording was ever attached", 120, 0.2)
        tapes = both.sample(most, lambda: bool(both.waiting()))
        left = both.waiting()
        until(lambda: not both.waiting(), "recordings were never attached", 900, 1)
        with both.flood(count) as going:
            flooded = both.sample(most, going)
    return [
        *_figures("while a neighbour is flooded", flooded, idle, f"{count} notifications"),
        *_figures(
            "while a neighbour's recordings wait", tapes, idle, f"{recordings} recordings, {left} left at the end"
        ),
    ]


def _figures(name: str, found: list[float], idle: list[float], note: str) -> list[Figure]:
    """Raises: RuntimeError, where too few calls were measured to say anything."""
    if len(found) < FEWEST:
        raise RuntimeError(f"{name}: it was over after {len(found)} calls")
    (p50, p95), (idle_p50, idle_p95) = percentiles(found), percentiles(idle)
    return [
        Figure(
            f"ring to register {name}, p95", p95, "ms", f"{TIMES:.0f} times the idle one", p95 <= TIMES * idle_p95, idle_p95,
            f"p50 {p50:.0f} ms, idle {idle_p50:.0f} ms; {len(found)} calls; {note}",
        )
    ]  # fmt: skip


MEASURES = (Measure("neighbours", "a ring's way to a portal beside a busy one", _run, 5),)
