"""Wake-ups at a given time, kept by the process that set them.

A worker process keeps those of the next ten minutes, so they cost Redis nothing. They end with the process: the columns
that they follow are found by the sweep, within 15 s.
"""

from __future__ import annotations

import heapq
import threading
import time

from flask import Flask

from bx24app.infra import wake_list
from bx24app.infra.logs import get_logger

LONGEST_SECONDS = 600.0
_RETRY_SECONDS = 1.0
"""After a try that failed: Redis does not answer, say."""
_log = get_logger(__name__)


class WakeTimers:
    """The timers of one application in one process, the earliest one of each portal and list. Only workers start
    them."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._timers: list[tuple[float, str, int]] = []
        self._earliest: dict[tuple[str, int], float] = {}
        """(list, portal) -> when it is due (monotonic). An entry of `_timers` with another time is out of date."""
        self._is_running = False

    def start(self, app: Flask, stopped: threading.Event) -> None:
        """Serve the timers in a thread until `stopped`, which is looked at every second."""
        self._is_running = True
        threading.Thread(target=self._serve, args=(app, stopped), name="wake-timers", daemon=True).start()

    def set_timer(self, name: str, portal_id: int, seconds: float) -> bool:
        """Add the portal to the list in so many seconds; an earlier timer that is already set stays.

        False: this process serves no timers, or the time is too far away.
        """
        if not self._is_running or seconds > LONGEST_SECONDS:
            return False
        due = time.monotonic() + seconds
        with self._changed:
            if self._earliest.get((name, portal_id), float("inf")) > due:
                self._earliest[name, portal_id] = due
                heapq.heappush(self._timers, (due, name, portal_id))
                if self._timers[0][0] == due:
                    self._changed.notify()
        return True

    def _serve(self, app: Flask, stopped: threading.Event) -> None:
        while not stopped.is_set():
            for name, portal_id in self._take_due():
                with app.app_context():
                    self._ring(name, portal_id)
        self._is_running = False

    def _take_due(self) -> list[tuple[str, int]]:
        """Wait for the next timer, a second at most; those that are due."""
        with self._changed:
            pause = self._timers[0][0] - time.monotonic() if self._timers else 1.0
            if pause > 0:
                self._changed.wait(min(1.0, pause))
            due, now = [], time.monotonic()
            while self._timers and self._timers[0][0] <= now:
                at, name, portal_id = heapq.heappop(self._timers)
                if self._earliest.get((name, portal_id)) == at:
                    del self._earliest[name, portal_id]
                    due.append((name, portal_id))
            return due

    def _ring(self, name: str, portal_id: int) -> None:
        try:
            wake_list.add(name, portal_id)
        except Exception as error:  # noqa: BLE001 - the timers of all portals run in this thread
            _log.warning("wake-up not queued, it is tried again", list=name, error=type(error).__name__)
            self.set_timer(name, portal_id, _RETRY_SECONDS)
