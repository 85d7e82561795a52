"""Wake-ups said together: while one thread of a process says some, all that others ask for wait for the next who says them, and share one.

A wake-up says only "look at this portal", so one that is said after the last of several commits serves them all.
"""

from __future__ import annotations

import threading
import time

from bx24app.infra import queue
from bx24app.infra.runtime import runtime

PAUSE_SECONDS = 0.01
"""Seconds that the next round waits for company, once rounds are shared at all: a lone notification wakes at once."""


class WakeupBatcher:
    """Who says wake-ups, and for which portals."""

    def __init__(self) -> None:
        self._lock, self._round_lock = threading.Lock(), threading.Lock()
        self._next_round: set[int] | None = None
        """What the next round says; None: nobody stands for one."""
        self._is_shared = self._should_pause = False

    def wake(self, portal_id: int) -> None:
        with self._lock:
            if self._next_round is not None:
                self._next_round.add(portal_id)
                self._is_shared = True
                return
            self._next_round = {portal_id}
        with self._round_lock:
            if self._should_pause:
                time.sleep(PAUSE_SECONDS)
            with self._lock:
                portals, self._next_round = self._next_round, None
                self._should_pause, self._is_shared = self._is_shared, False
            for one in portals:
                queue.wake_portal(one)


def wake(portal_id: int) -> None:
    """Let a worker look at this portal, within milliseconds. Call it after the commit. Never raises for Redis' sake.

    A process that dies before somebody else said it takes it with it, as one does that dies after its commit; the sweep rings.
    """
    runtime().get(WakeupBatcher).wake(portal_id)
