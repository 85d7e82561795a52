"""USE CASE: whose recording is next. Portals take turns, so that one with a thousand of them, or one whose answers take
20 s, delays no other.

RQ's queue holds at most one turn of each portal. A turn chooses from the table what is due longest, first tries before
further ones, and puts the portal at the end of the queue again if more is due. At most two turns of a portal run in a
process.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import select

from bx24app.calls.recordings import attempts, transfer
from bx24app.infra import circuit_breaker, queue
from bx24app.infra.runtime import runtime
from bx24app.models import Portal, Recording, db, utcnow
from bx24app.models.connections import open_reader

THREADS_PER_PORTAL = 2
TURN_SECONDS = 1.0
"""A turn begins no further recording after this time."""
_CANDIDATES = 8
"""How many recordings a turn reads: other turns of the portal may claim the first of them meanwhile."""


class RecordingTurns:
    """The turns that run in a process, by portal."""

    def __init__(self) -> None:
        self._lock, self._running = threading.Lock(), Counter[int]()

    def enter(self, portal_id: int) -> bool:
        """Begin a turn. False: the portal has as many threads as it may have."""
        with self._lock:
            is_free = self._running[portal_id] < THREADS_PER_PORTAL
            self._running[portal_id] += is_free
            return is_free

    def has_room(self, portal_id: int) -> bool:
        """May another turn of the portal begin?"""
        with self._lock:
            return self._running[portal_id] < THREADS_PER_PORTAL

    def leave(self, portal_id: int) -> None:
        with self._lock:
            self._running[portal_id] -= 1
            if not self._running[portal_id]:
                del self._running[portal_id]


def take_turn(portal_id: int) -> None:
    """Transfer recordings of this portal for a second, each claimed for itself; then queue the portal's next turn.

    Does nothing if two turns of the portal run in this process: each of them queues the next one at its end.
    """
    turns = runtime().get(RecordingTurns)
    if not turns.enter(portal_id):
        return
    try:
        _transfer_due(portal_id, turns)
    finally:
        turns.leave(portal_id)
        _queue_next_turn(portal_id)


def take_turn_of(recording_id: int) -> None:
    """A turn of the portal that has this recording (row id): the job of versions that queued each recording."""
    portal_id = db.session.scalar(select(Recording.portal_id).where(Recording.id == recording_id))
    db.session.remove()
    if portal_id is not None:
        take_turn(portal_id)


def _transfer_due(portal_id: int, turns: RecordingTurns) -> None:
    until, stop_event = time.monotonic() + TURN_SECONDS, runtime().stop_event
    while time.monotonic() < until and not stop_event.is_set():
        if circuit_breaker.of_portal(portal_id).read_state().pause > 0:
            return
        due = [row_id for row_id, due_at in _read_waiting(portal_id) if due_at <= utcnow()]
        if len(due) > 1 and turns.has_room(portal_id):
            queue.wake_recordings(portal_id)
        if not any(transfer.transfer_recording(row_id) for row_id in due):
            return


def _queue_next_turn(portal_id: int) -> None:
    """At once if something is due; a portal that does not answer waits for its circuit."""
    waiting = _read_waiting(portal_id)
    if waiting and not runtime().stop_event.is_set():
        ready_at = utcnow() + timedelta(seconds=circuit_breaker.of_portal(portal_id).read_state().pause)
        queue.wake_recordings(portal_id, max(waiting[0][1], ready_at))


def _read_waiting(portal_id: int) -> Sequence[tuple[int, datetime]]:
    """(row id, when it is due) of the recordings that no living worker has; of a paused portal none.

    The longest due first. Those that failed before come behind all others that are due: Mango's "not found" holds back
    the questions of its key for two minutes (`infra.key_guard`), so whoever is likely to get it asks last.
    """
    is_due = Recording.due_at <= utcnow()
    query = (
        select(Recording.id, Recording.due_at)
        .join(Portal, Portal.id == Recording.portal_id)
        .where(
            Recording.portal_id == portal_id,
            Portal.state.in_(("active", "pending")),
            Recording.state == "waiting",
            Recording.bitrix_call_id.is_not(None),
            Recording.due_at.is_not(None),
            (Recording.claimed_at.is_(None)) | (Recording.claimed_at < utcnow() - attempts.CLAIM_LIFETIME),
        )
        .order_by(~is_due, is_due & (Recording.tries > 0), Recording.due_at, Recording.id)
        .limit(_CANDIDATES)
    )
    with open_reader() as connection:
        return [(row.id, row.due_at) for row in connection.execute(query)]
