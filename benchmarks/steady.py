"""Sends whole calls at a steady pace as a PBX would: many at once, the stages of each some seconds apart."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count

import requests

from benchmarks.latency import RINGS
from benchmarks.rig import Rig, call, post
from tests.support.scenarios import Notice

STAGES = ((0.0, 0, 5), (3.0, 5, 9), (8.0, 9, 12), (10.0, 12, 13))
"""(seconds after the call came in, first notification, end): it rings, somebody answers, it ends, its recording is
there.
"""
LENGTH = STAGES[-1][0]
SENDERS = 16
Look = tuple[float, Callable[[], None]]
"""Seconds after the beginning, and what is done then."""


@dataclass
class Player:
    """Sends calls to one portal's hook. Only the thread that runs `play` uses the sandbox."""

    made: Rig
    number: int = 0
    rang: dict[str, float] = field(default_factory=dict)
    """Digits of a client's number -> when the notification of the first ringing person left."""
    late: float = 0.0
    """The largest delay of a stage in seconds, which is the machine's fault and not the program's."""

    def play(self, rate: float, seconds: float, looks: Sequence[Look]) -> None:
        """Sends `rate` calls a second for `seconds`. Raises the exception of a failed post."""
        due: list[tuple[float, int, Callable[[], None]]] = []
        order, sent, local = count(), list[Future[None]](), threading.local()

        def plan(at: float, what: Callable[[], None]) -> None:
            heappush(due, (at, next(order), what))

        with ThreadPoolExecutor(SENDERS) as pool:

            def begin(at: float) -> None:
                sequence = call()
                self.made.cloud.ask("absorb", sequence.notices)
                for after, first, end in STAGES:
                    args = (local, sequence.client.lstrip("+"), sequence.notices, range(first, end))
                    plan(at + after, lambda args=args: sent.append(pool.submit(self._tell, *args)))  # type: ignore[misc]

            for at, what in looks:
                plan(at, what)
            for number in range(int(rate * seconds)):
                plan(number / rate, lambda at=number / rate: begin(at))  # type: ignore[misc]
            began = time.time()
            while due:
                at, _, what = heappop(due)
                wait = began + at - time.time()
                self.late = max(self.late, -wait)
                time.sleep(max(0.0, wait))
                what()
        for future in sent:
            future.result()

    def _tell(self, local: threading.local, client: str, notices: list[Notice], which: range) -> None:
        session = local.__dict__.setdefault("session", requests.Session())
        for index in which:
            if index == RINGS:
                self.rang[client] = time.time()
            post(session, self.made.hooks[self.number], notices[index])
