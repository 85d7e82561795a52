"""Batches the wake-ups of a process: while one thread queues a portal's, other threads that ask for the same portal
wait for its next round.

The inbox calls `wake` after each commit. A wake-up only means "drain this portal", so one that is queued after the last
of several commits serves them all. Each portal has rounds of its own: a portal that is flooded delays no other one's.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field

from bx24app.infra import queue
from bx24app.infra.redis_client import SilentRedis
from bx24app.infra.runtime import runtime

PAUSE_SECONDS = 0.01
"""Seconds that a round waits for more requests if the last one was shared. A lone notification wakes its portal at
once."""

SILENCE_SECONDS = 1.0
"""For so long after a failure Redis is not asked: one notification in a second waits for it, the others do not."""
MAX_MISSED = 10_000


@dataclass(slots=True)
class _Rounds:
    """The rounds of one portal; kept for the process's life, two hundred bytes a portal."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    """Held by the thread whose round it is."""
    has_next: bool = False
    """A thread waits to begin the next round."""
    is_shared: bool = False
    should_pause: bool = False


class WakeupBatcher:
    """Queues the wake-ups of one process in rounds."""

    def __init__(self) -> None:
        self.silence = SilentRedis()
        self._lock = threading.Lock()
        self._rounds: dict[int, _Rounds] = {}
        self._missed: set[int] = set()
        """Portals that Redis did not take; while there are any, one thread tries (`_is_trying`)."""
        self._is_trying = False

    def wake(self, portal_id: int) -> None:
        with self._lock:
            rounds = self._rounds.setdefault(portal_id, _Rounds())
            if rounds.has_next:
                rounds.is_shared = True
                return
            rounds.has_next = True
        with rounds.lock:
            if rounds.should_pause:
                time.sleep(PAUSE_SECONDS)
            with self._lock:
                rounds.has_next = False
                rounds.should_pause, rounds.is_shared = rounds.is_shared, False
                must_wait = bool(self._missed) or self._is_trying or self.silence.is_recent(SILENCE_SECONDS)
            if must_wait or not queue.wake_portal(portal_id):
                self._miss(portal_id, is_news=not must_wait)

    def _miss(self, portal_id: int, is_news: bool) -> None:
        """Redis is silent: the portal waits for the thread that asks it again, which may be this one."""
        with self._lock:
            self._missed.add(portal_id)
            if len(self._missed) > MAX_MISSED:
                self._missed.clear()  # the sweep wakes them
            if is_news:
                self.silence.note()
            if self._is_trying or self.silence.is_recent(SILENCE_SECONDS):
                return
            self._is_trying = True
        try:
            while self._wake_one_missed():
                pass
        finally:
            self._is_trying = False

    def _wake_one_missed(self) -> bool:
        """False: none is left, or Redis is still silent."""
        with self._lock:
            if not self._missed:
                self._is_trying = False  # in the same moment, so that whoever misses next tries again
                return False
            portal_id = self._missed.pop()
        is_taken = queue.wake_portal(portal_id)
        if not is_taken:
            with self._lock:
                self._missed.add(portal_id)
                self.silence.note()
        return is_taken


def wake(portal_id: int) -> None:
    """Let a worker drain this portal within milliseconds. Call it after the commit. Does not raise if Redis does not
    answer.

    If the process dies before the round, the wake-up is lost, as it is if the process dies right after the commit; the
    sweep follows.
    """
    batcher = runtime().get(WakeupBatcher)
    batcher.silence = runtime().get(SilentRedis)  # shared with all others who ask Redis for a notification
    batcher.wake(portal_id)
