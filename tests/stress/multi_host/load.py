"""A steady load: a fixed number of calls at once; the next begins when one is complete in the portal."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from tests.end_to_end.test_random_calls import tell
from tests.support.offices import Outcome
from tests.support.random_calls import Day, DrawnCall
from tests.support.stack import World


class Load:
    """Sends calls in threads. `begun`: indexes of the calls begun; `whole`: when each complete call was first seen."""

    def __init__(
        self, world: World, day: Day, predicted: list[Outcome], hooks: dict[str, str], at_once: int, apart: float = 0.0
    ) -> None:
        """`apart`: minimum seconds between the beginnings of two calls."""
        self._world, self._day, self._predicted, self._hooks = world, day, predicted, hooks
        self._apart, self._next = apart, 0.0
        self.begun: list[int] = []
        self.whole: list[float] = []
        self._open: dict[int, threading.Event] = {}
        self._lock, self._ended = threading.Lock(), threading.Event()
        self._pool = ThreadPoolExecutor(at_once + 1)
        self._running: list[Future[None]] = [self._pool.submit(self._send_calls) for _ in range(at_once)]
        self._running.append(self._pool.submit(self._watch))

    @property
    def exhausted(self) -> bool:
        """Whether every call of the day has begun."""
        return len(self.begun) == len(self._day.calls)

    def wait(self, count: int, seconds: float = 120) -> None:
        """Wait until `count` more calls are complete, or the day is exhausted.

        Raises:
            RuntimeError: not enough calls complete within `seconds`.
        """
        wanted, end = len(self.whole) + count, time.monotonic() + seconds
        while len(self.whole) < wanted and not self.exhausted:
            if time.monotonic() > end:
                raise RuntimeError(
                    f"{wanted - len(self.whole)} of {count} calls not whole in {seconds:.0f} s: {self._stuck()}"
                )
            self.look()
            time.sleep(0.05)

    def end(self) -> tuple[Day, list[Outcome]]:
        """Begin no further call, and finish those begun. Returns the calls sent and their predicted outcomes."""
        self._ended.set()
        for event in self._open.copy().values():
            event.set()
        for future in self._running:
            future.result()
        self._pool.shutdown()
        calls = [self._day.calls[at] for at in self.begun]
        return Day(self._day.ways, calls), [self._predicted[at] for at in self.begun]

    def _stuck(self) -> str:
        return f"pending {self._world.pending()}, waited for {[self._day.calls[at].scene.entry for at in self._open]}"

    def look(self) -> None:
        """Raise the exception of a thread that failed."""
        for future in self._running:
            if future.done():
                future.result()

    def _begin(self) -> tuple[int, threading.Event] | None:
        while not self._ended.is_set():
            with self._lock:
                if self.exhausted:
                    return None
                if (now := time.monotonic()) >= self._next:
                    self._next, at, event = now + self._apart, len(self.begun), threading.Event()
                    self.begun.append(at)
                    self._open[at] = event
                    return at, event
            time.sleep(0.02)
        return None

    def _send_calls(self) -> None:
        while (started := self._begin()) is not None:
            at, event = started
            call = self._day.calls[at]
            tell(self._hooks[call.scene.office.key], call)
            if self._predicted[at].own is None:
                self._open.pop(at, None)  # the portal gets no call
                continue
            while not event.wait(0.5) and not self._ended.is_set():
                pass

    def _watch(self) -> None:
        while not self._ended.wait(0.1):
            waiting = list(self._open)
            for at in self._world.sandbox.call(self._arrived, waiting):
                self.whole.append(time.monotonic())
                if event := self._open.pop(at, None):
                    event.set()

    def _arrived(self, waiting: list[int]) -> list[int]:
        """Runs in the sandbox's loop."""
        rows_by_id = self._world.portal.by_external
        return [at for at in waiting if _whole(rows_by_id, self._day.calls[at], self._predicted[at])]


def _whole(rows_by_id: dict[str, list[Any]], call: DrawnCall, outcome: Outcome) -> bool:
    """Whether the portal has the call's first row, which comes with its end, and its recording if it has one."""
    rows = rows_by_id.get(f"{call.scene.office.key}:{call.scene.entry}")
    return outcome.own is not None and bool(rows) and bool(rows[0].file_id) == bool(outcome.own.recording)
