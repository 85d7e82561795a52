"""Two portals of one installation: the good one, B, whose calls are timed, and the bad one, A."""

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

from benchmarks.latency import RINGS, taken_off
from benchmarks.left import pbx_of
from benchmarks.rig import Rig, call, post, until
from bx24app.infra.processes.child_process import die_with_parent
from bx24app.models import Notification, Recording, db
from tests.support.scenarios import Notice

A, B = 0, 1
CONNECTIONS = 8


BEFORE_RING = 0.5
"""Seconds from the menu to the ring."""


@dataclass
class Neighbours:
    """Two portals of one installation, and a client for the app's own keys in its Redis."""

    made: Rig
    client: redis.Redis

    def once(self, session: requests.Session) -> float:
        """Milliseconds of one call of B, from the moment its notification leaves Mango."""
        # B is a small office with a full budget: its own earlier calls must not count.
        self.client.delete(f"budget:{self.made.cloud.ask('member_id', B)}")
        sequence = call()
        for notice in sequence.notices[:RINGS]:
            post(session, self.made.hooks[B], notice)
        time.sleep(BEFORE_RING)  # what changes nothing may wait two seconds for its step: the ring overtakes it
        since = time.time()
        post(session, self.made.hooks[B], sequence.notices[RINGS])
        seen: list[tuple[float, float, bool]] = []

        def registered() -> bool:
            seen[:] = self.made.cloud.ask("requests", B, since)
            return any(register for _, _, register in seen)

        until(registered, "a call was never registered", 120)
        return taken_off(seen, since) * 1000

    def sample(self, most: int, going: Callable[[], bool] = lambda: True) -> list[float]:
        """`most` calls of B, or fewer when `going` ends earlier."""
        times: list[float] = []
        with requests.Session() as session:
            while len(times) < most and going():
                times.append(self.once(session))
        return times

    def unread(self, number: int) -> int:
        """The portal's notifications that no drain has read."""
        with self.made.app.app_context():
            portal_id = pbx_of(self.made, number).portal_id
            count = db.session.query(Notification).filter_by(portal_id=portal_id, state="new").count()
            db.session.remove()
            return count

    @contextmanager
    def flood(self, count: int) -> Iterator[Callable[[], bool]]:
        """Sends notifications to A from a process of its own. Yields a function that says whether the flood goes on."""
        context = multiprocessing.get_context("spawn")
        process = context.Process(target=_flood, args=(self.made.hooks[A], count, os.getpid()))
        process.start()
        try:
            until(lambda: self.unread(A) or not process.is_alive(), "the flood never began")
            yield lambda: process.is_alive() or bool(self.unread(A))
        finally:
            process.join()

    def waiting(self) -> int:
        """The number of recordings that are not attached yet."""
        with self.made.app.app_context():
            count = db.session.query(Recording).filter_by(state="waiting").count()
            db.session.remove()
            return count


def _flood(hook: str, count: int, parent: int) -> None:
    """Sends whole calls as fast as they are accepted. They have no recordings: Mango has no files of them, and each
    "not found" would hold the questions of A's key for two minutes (`infra.key_guard`).
    """
    die_with_parent(parent)
    length = len(_without_recordings(call().notices))
    calls = [_without_recordings(call().notices) for _ in range(-(-count // length))]

    def one(notices: list[Notice]) -> None:
        with requests.Session() as session:
            for notice in notices:
                post(session, hook, notice)

    with ThreadPoolExecutor(CONNECTIONS) as pool:
        list(pool.map(one, calls))


def _without_recordings(notices: list[Notice]) -> list[Notice]:
    return [notice for notice in notices if not notice.name.startswith("events/record")]
