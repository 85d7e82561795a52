"""Batches the wake-ups of a process: while one thread queues some, the portals that other threads ask for wait for the
next round.

The inbox calls `wake` after each commit. A wake-up only means "drain this portal", so one that is queued after the last
of several commits serves them all.
"""

from __future__ import annotations

import threading
import time

from bx24app.infra import queue
from bx24app.infra.runtime import runtime

PAUSE_SECONDS = 0.01
"""Seconds that a round waits for more portals if the last one was shared. A lone notification wakes its portal at
once."""


class WakeupBatcher:
    """Queues the wake-ups of one process in rounds."""

    def __init__(self) -> None:
        self._lock, self._round_lock = threading.Lock(), threading.Lock()
        self._next_round: set[int] | None = None
        """Portals of the next round; None if no thread waits to run one."""
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
            for waiting_id in portals:
                queue.wake_portal(waiting_id)


def wake(portal_id: int) -> None:
    """Let a worker drain this portal within milliseconds. Call it after the commit. Does not raise if Redis does not
    answer.

    If the process dies before the round, the wake-up is lost, as it is if the process dies right after the commit; the
    sweep follows.
    """
    runtime().get(WakeupBatcher).wake(portal_id)
