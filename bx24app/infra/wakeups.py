"""Wake-ups said together: while one thread of a process says some, all that others ask for wait for the next who says them, and share one.

A wake-up says only "look at this portal", so one that is said after the last of several commits serves them all.
"""

from __future__ import annotations

import threading
import time

from bx24app.infra import queue
from bx24app.infra.runtime import runtime

PAUSE = 0.01
"""Seconds that the next round waits for company, once rounds are shared at all: a lone notification wakes at once."""


class Bell:
    """Who says wake-ups, and for which portals."""

    def __init__(self) -> None:
        self._lock, self._turn = threading.Lock(), threading.Lock()
        self._next: set[int] | None = None
        """What the next round says; None: nobody stands for one."""
        self._shared = self._busy = False

    def ring(self, portal_id: int) -> None:
        with self._lock:
            if self._next is not None:
                self._next.add(portal_id)
                self._shared = True
                return
            self._next = {portal_id}
        with self._turn:
            if self._busy:
                time.sleep(PAUSE)
            with self._lock:
                portals, self._next = self._next, None
                self._busy, self._shared = self._shared, False
            for one in portals:
                queue.wake(one)


def ring(portal_id: int) -> None:
    """Let a worker look at this portal, within milliseconds. Call it after the commit. Never raises for Redis' sake.

    A process that dies before somebody else said it takes it with it, as one does that dies after its commit; the sweep rings.
    """
    bell: Bell = runtime().cache.get("bell") or runtime().cache.setdefault("bell", Bell())
    bell.ring(portal_id)
