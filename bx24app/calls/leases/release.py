"""Frees what a dead worker had in hand: requests to the portal, dials, recordings, intents, locks, a circuit's trial.

Nothing is repeated blindly. A request is looked up at the portal first, a dial is never sent again, and the portal is
asked for a recording that was on its way. Should the worker live after all (it was frozen), its late answers change
nothing, or only what is still open (`outbox.sender`).
"""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import delete, text, update

from bx24app.calls import click_to_call
from bx24app.calls.outbox import lost_requests
from bx24app.calls.recordings import attempts
from bx24app.infra import circuit_breaker, leases, queue
from bx24app.infra.logs import get_logger
from bx24app.models import Intent, db, utcnow
from bx24app.models.base import is_sqlite
from bx24app.models.workers import WorkerProcess

_log = get_logger(__name__)


LOCK_TIMEOUT = "2s"
"""A transaction of a lost machine may hold rows until PostgreSQL notices. Whoever frees them must go on beating, so it
tries again at the next beat."""


def release_worker(name: str) -> None:
    """Free everything that this worker process had in hand, and wake who goes on with it. Commits."""
    session, now = db.session(), utcnow()
    if not is_sqlite():
        session.execute(text(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'"))
    requests = lost_requests.free_requests_of(session, name)
    dials = click_to_call.recover_lost_dials(session, name)
    recordings = attempts.free_recordings_of(name)
    intents = session.execute(update(Intent).where(Intent.owner == name).values(owner=None, due_at=now))
    session.execute(delete(WorkerProcess).where(WorkerProcess.name == name))
    session.commit()
    db.session.remove()
    locks, circuits = leases.release_leases_of(name), circuit_breaker.release_trials_of(name)
    _wake_portals(requests, dials | {int(number) for kind, number in circuits if kind == "portal"})
    for portal_id, due_at in recordings:
        queue.wake_recordings(portal_id, due_at)
    if leases.STATISTICS in locks:
        queue.enqueue_background("count_figures")
    counts = {"requests": len(requests), "dials": len(dials), "recordings": len(recordings), "locks": len(locks)}
    _log.info("worker gone, its work goes on", worker=name, **counts, intents=intents.rowcount)  # type: ignore[attr-defined]


def _wake_portals(requests: dict[int, timedelta], others: set[int]) -> None:
    """`requests`: portal -> when its requests may be looked up; it is woken now too, for what need not be looked up."""
    now = utcnow()
    for portal_id in {*requests, *others}:
        queue.wake_portal(portal_id)
    for portal_id, pause in requests.items():
        queue.wake_at(portal_id, now + pause)
