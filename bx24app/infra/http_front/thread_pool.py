"""Threads of one group of requests: they begin when they are needed and end when they were idle for a while."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue

import structlog

_log = structlog.get_logger(__name__)
IDLE_SECONDS = 30.0


class RequestThreads:
    """At most `threads` threads and `waiting` jobs that no thread has begun. `submit` is called by one thread only."""

    def __init__(self, name: str, threads: int, waiting: int) -> None:
        self._name, self._most, self._waiting = name, threads, waiting
        self._jobs: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._lock = threading.Lock()
        self._threads = self._under_way = 0

    def submit(self, job: Callable[[], None]) -> bool:
        """Let a thread do it soon; False: too many wait already."""
        if self._jobs.qsize() >= self._waiting:
            return False
        with self._lock:
            self._under_way += 1
            is_short = self._under_way > self._threads < self._most
            self._threads += is_short
        self._jobs.put(job)
        if is_short:
            threading.Thread(target=self._work, name=self._name, daemon=True).start()
        return True

    @property
    def under_way(self) -> int:
        """Jobs that are done or wait."""
        return self._under_way

    def _work(self) -> None:
        while True:
            try:
                job = self._jobs.get(timeout=IDLE_SECONDS)
            except Empty:
                with self._lock:
                    if self._jobs.empty():
                        self._threads -= 1
                        return
                continue
            try:
                job()
            except Exception as error:  # noqa: BLE001 - the thread must serve the next request
                _log.error("request failed outside the application", exc_info=error)
            finally:
                del job
                with self._lock:
                    self._under_way -= 1
