"""Batches the wake-ups of a process: while one thread queues some, the portals that other threads ask for wait for the
next round.

The inbox calls `wake` after each commit. A wake-up only means "drain this portal", so one that is queued after the last
of several commits serves them all.
"""

from __future__ import annotations

import threading
import time

from bx24app.infra import queue
from bx24app.infra.redis_client import SilentRedis
from bx24app.infra.runtime import runtime

PAUSE_SECONDS = 0.01
"""Seconds that a round waits for more portals if the last one was shared. A lone notification wakes its portal at
once."""

SILENCE_SECONDS = 1.0
"""For so long after a failure Redis is not asked: one notification in a second waits for it, the others do not."""
MAX_MISSED = 10_000


class WakeupBatcher:
    """Queues the wake-ups of one process in rounds."""

    def __init__(self) -> None:
        self.silence = SilentRedis()
        self._lock, self._round_lock = threading.Lock(), threading.Lock()
        self._next_round: set[int] | None = None
        """Portals of the next round; None if no thread waits to run one."""
        self._is_shared = self._should_pause = False
        self._missed: set[int] = set()
        """Portals that Redis did not take; only within the round's lock."""

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
            self._wake_all(portals)

    def _wake_all(self, portals: set[int]) -> None:
        """Within the round's lock. While Redis is silent, the portals wait for the next round that tries again."""
        self._missed |= portals
        while self._missed and not self.silence.is_recent(SILENCE_SECONDS):
            waiting_id = self._missed.pop()
            if not queue.wake_portal(waiting_id):
                self.silence.note()
                self._missed.add(waiting_id)
        if len(self._missed) > MAX_MISSED:
            self._missed.clear()  # the sweep wakes them


def wake(portal_id: int) -> None:
    """Let a worker drain this portal within milliseconds. Call it after the commit. Does not raise if Redis does not
    answer.

    If the process dies before the round, the wake-up is lost, as it is if the process dies right after the commit; the
    sweep follows.
    """
    batcher = runtime().get(WakeupBatcher)
    batcher.silence = runtime().get(SilentRedis)  # shared with all others who ask Redis for a notification
    batcher.wake(portal_id)
