"""Serves a wake-up list: takes the portals off it, and gives each a thread.

A worker process has one of these for calls and one for recordings. To RQ each is a worker of the queue of that name, so
`rq info` shows it; but a portal that is woken costs one command to add and one to take, where a job costs forty.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import redis
from flask import Flask
from rq import Queue
from rq.exceptions import StopRequested
from rq.job import Job
from rq.utils import import_attribute
from rq.worker import WorkerStatus

from bx24app.infra import wake_list
from bx24app.infra.logs import get_logger
from bx24app.infra.thread_worker import ThreadWorker
from bx24app.infra.wake_list import CALLS, RECORDINGS

SERVING = {CALLS: "bx24app.jobs.serve_calls", RECORDINGS: "bx24app.jobs.serve_recordings"}
"""List -> the function that a portal of it gets, with the portal's row id."""
WAIT_SECONDS = 5.0
"""One wait for a portal; `rq info` is at most so old."""
BEAT_SECONDS = 30.0
"""How often RQ sees that the worker lives; it counts as dead two minutes later (`worker_ttl`)."""
_log = get_logger(__name__)


class PortalWorker(ThreadWorker):
    """Serves the portals of one wake-up list, as many at a time as it has threads.

    A portal is taken only for a free thread; what waits stays in Redis, where other processes can take it.
    """

    def __init__(self, app: Flask, list_name: str, threads: int, client: redis.Redis, **options: Any) -> None:
        super().__init__(app, [list_name], **options)
        self._list_name, self._client = list_name, client
        self._serve_portal = import_attribute(SERVING[list_name])
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=list_name)
        self._free = threading.Semaphore(threads)
        self._lock, self._served = threading.Lock(), 0
        self._beat_at = self._state_at = float("-inf")

    @property
    def is_busy(self) -> bool:  # type: ignore[override]
        """Is a portal being served?"""
        return self._served > 0

    def dequeue_job_and_maintain_ttl(
        self, timeout: int | None, max_idle_time: int | None = None
    ) -> tuple[Job, Queue] | None:
        """Serve portals until the worker is stopped. RQ's loop calls this for the next job; there is none.

        Raises:
            StopRequested: the worker is to stop.
        """
        while not self._stop_requested:
            try:
                self._beat()
                self._take_portal(min(WAIT_SECONDS, timeout or WAIT_SECONDS))
            except redis.RedisError as error:
                _log.warning("worker waits for Redis", list=self._list_name, error=type(error).__name__)
                time.sleep(1)
        raise StopRequested

    def teardown(self) -> None:
        self._pool.shutdown(wait=False)
        super().teardown()  # type: ignore[no-untyped-call]

    def _beat(self) -> None:
        state = WorkerStatus.BUSY if self.is_busy else WorkerStatus.IDLE
        now = time.monotonic()
        if now - self._beat_at >= BEAT_SECONDS:
            self._beat_at = now
            self.heartbeat()
            self.set_state(state)
        elif state != self._state and now - self._state_at >= 1:
            self.set_state(state)

    def set_state(self, state: str, pipeline: Any = None) -> None:
        self._state_at = time.monotonic()
        super().set_state(state, pipeline)

    def _take_portal(self, seconds: float) -> None:
        if not self._free.acquire(timeout=seconds):
            return
        portal_id = None
        try:
            portal_id = wake_list.take(self._client, self._list_name, seconds)
            if portal_id is not None and self._stop_requested:
                self._give_back(portal_id)
                portal_id = None
        finally:
            if portal_id is None:
                self._free.release()
        if portal_id is not None:
            with self._lock:
                self._served += 1
            self._pool.submit(self._serve, portal_id)

    def _give_back(self, portal_id: int) -> None:
        """A process that stops sends nothing more: another one shall serve the portal now, not after the next sweep."""
        with self._app.app_context():
            wake_list.add(self._list_name, portal_id)

    def _serve(self, portal_id: int) -> None:
        try:
            with self._app.app_context():
                self._serve_portal(portal_id)
        except Exception as error:  # noqa: BLE001 - the thread serves the next portal; the sweep wakes this one again
            _log.exception("portal not served", list=self._list_name, portal=portal_id, error=type(error).__name__)
        finally:
            with self._lock:
                self._served -= 1
                self.jobs_done += 1
            self._free.release()
