"""The requests that wait for their answers in a process, each in a thread, with a share of the threads for each portal.

`calls.drain` has one `RequestsInFlight` for its run. The shares are counted for the process, not for a drain: a drain
that hands over leaves its successor only what is free.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeVar

from bx24app.infra.runtime import runtime

T = TypeVar("T")
TO_PORTAL, TO_MANGO = "portal", "mango"
SHARES = {TO_PORTAL: 6, TO_MANGO: 4}
"""Requests of one portal that are under way at once, by receiver: a portal that answers slowly holds no more threads,
whatever licence it names, and its employees' clicks are dialled all the same."""
THREADS = 256
"""Of a process: more than the drains of 24 call threads can fill (`cli.up.size_workers`)."""
LINGER_SECONDS, BACKLOG_LINGER_SECONDS = 0.005, 0.03
"""How long the first of several answers waits for the others, to share a transaction with them; the second, where more
waits than may leave, so that a step has room for several requests."""


class SenderPool:
    """The threads of one application in one process. They start as they are needed."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(max_workers=THREADS, thread_name_prefix="send")
        self._lock = threading.Lock()
        self._busy: Counter[tuple[int, str]] = Counter()

    def count_free(self, portal_id: int, receiver: str) -> int:
        """How many more requests of this portal may leave now."""
        with self._lock:
            return max(0, SHARES[receiver] - self._busy[portal_id, receiver])

    def submit(self, portal_id: int, receiver: str, work: Callable[[], T]) -> Future[T]:
        """Start a request. Its place is free again before later callbacks of the future run."""
        key = portal_id, receiver
        with self._lock:
            self._busy[key] += 1
        future = self._threads.submit(work)
        future.add_done_callback(lambda _: self._free_place(key))
        return future

    def _free_place(self, key: tuple[int, str]) -> None:
        with self._lock:
            self._busy[key] -= 1
            if not self._busy[key]:
                del self._busy[key]


class RequestsInFlight(Generic[T]):
    """The requests of one drain that are under way."""

    def __init__(self, portal_id: int) -> None:
        self._portal_id, self._pool = portal_id, runtime().get(SenderPool)
        self._mailbox: SimpleQueue[Future[T] | None] = SimpleQueue()
        self.count = 0
        """Those whose outcome `wait` has not returned yet."""

    def count_free(self, receiver: str) -> int:
        """How many more requests may leave now."""
        return self._pool.count_free(self._portal_id, receiver)

    def submit(self, receiver: str, work: Callable[..., T], *args: Any) -> None:
        """Start a request; `work` returns its outcome."""
        self.count += 1
        future = self._pool.submit(self._portal_id, receiver, lambda: work(*args))
        future.add_done_callback(self._mailbox.put)

    def nudge(self) -> None:
        """End the wait of `wait`. Any thread may call this."""
        self._mailbox.put(None)

    @contextmanager
    def retain_unstored(self, outcomes: Sequence[T]) -> Iterator[None]:
        """While these outcomes of `wait` are stored: if that fails, the next `wait` returns them again."""
        try:
            yield
        except BaseException:
            for outcome in outcomes:
                future: Future[T] = Future()
                future.set_result(outcome)
                self.count += 1
                self._mailbox.put(future)
            raise

    def wait(
        self, seconds: float, is_nudged: Callable[[], bool] = lambda: False, linger: float = LINGER_SECONDS
    ) -> list[T]:
        """The outcomes that come next; perhaps none after `seconds`, or after a nudge that `is_nudged` confirms."""
        done: list[T] = []
        until = time.monotonic() + seconds
        while self.count:
            try:
                future = self._mailbox.get(timeout=max(0.0, until - time.monotonic()))
            except Empty:
                break
            if future is None:
                until = 0.0 if is_nudged() else until
                continue
            if not done:
                until = min(until, time.monotonic() + linger)
            self.count -= 1
            done.append(future.result())
        return done
