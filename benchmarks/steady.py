"""Whole calls told at a steady pace, as a PBX would: each with its stages some seconds apart, many at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from heapq import heappop, heappush

import requests

from benchmarks.latency import RINGS
from benchmarks.rig import Rig, call, post
from tests.mango.scenarios import Notice

STAGES = ((0.0, 0, 5), (3.0, 5, 9), (8.0, 9, 12), (10.0, 12, 13))
"""(seconds after the call came in, first notification, end): it rings, somebody answers, it ends, its recording is there."""
LENGTH = STAGES[-1][0]
SENDERS = 16


@dataclass
class Player:
    """Tells calls to one portal's hook. Only the thread that plays talks to the sandbox."""

    made: Rig
    number: int = 0
    rang: dict[str, float] = field(default_factory=dict)
    """Digits of a client's number -> when the notification of the first ringing person left."""
    late: float = 0.0
    """Seconds by which a stage left late at the most: the machine, not the program."""

    def play(self, rate: float, seconds: float, looks: list[tuple[float, Callable[[], None]]]) -> None:
        """So many calls a second for so many seconds; `looks`: what is done when, in seconds from the beginning, the last one ends it.

        Raises: what a post met.
        """
        began, count = time.time(), 0
        due: list[tuple[float, int, Callable[[], Future[None] | None]]] = []
        local = threading.local()
        futures: list[Future[None]] = []
        with ThreadPoolExecutor(SENDERS) as pool:

            def stage(notices: list[Notice], client: str) -> Callable[[], Future[None]]:
                return lambda: pool.submit(self._tell, local, notices, client)

            for at, look in looks:
                count += 1
                heappush(due, (at, count, look))  # type: ignore[arg-type]
            for index in range(int(rate * seconds)):
                count += 1
                heappush(due, (index / rate, count, lambda: None))
            while due:
                at, number, what = heappop(due)
                wait = began + at - time.time()
                if wait > 0:
                    time.sleep(wait)
                if number > len(looks) and number <= len(looks) + int(rate * seconds):
                    told = call()
                    self.made.cloud.ask("absorb", told.notices)
                    for after, first, end in STAGES:
                        count += 1
                        heappush(due, (at + after, count, stage(told.notices[first:end], told.client.lstrip("+"))))
                    continue
                self.late = max(self.late, -wait)
                made = what()
                if made is not None:
                    futures.append(made)
        for future in futures:
            future.result()

    def _tell(self, local: threading.local, notices: list[Notice], client: str) -> None:
        session = local.__dict__.setdefault("session", requests.Session())
        for index, notice in enumerate(notices):
            if index == RINGS and client not in self.rang:
                self.rang[client] = time.time()
            post(session, self.made.hooks[self.number], notice)
