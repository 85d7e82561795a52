"""Shortens the program's waits for stress tests. Only durations change, not decisions."""

from __future__ import annotations

from datetime import timedelta

from bx24app.bitrix24 import answer_size, transport
from bx24app.calls import sweep
from bx24app.calls.fold import recording_rows
from bx24app.calls.outbox import batches, portal_request, sender
from bx24app.calls.recordings import attempts, outcomes
from bx24app.domain.calls import outcome
from bx24app.infra import circuit_breaker, key_guard, redis_marker, worker
from bx24app.operations import adoption

WORDS = (
    "Waits shortened: answer of the portal 4 s (75), a slow one 2 s (20), request of a dead worker given up after 12 s "
    "(120), recording of a dead worker after 20 s (1200), back-off at most 5 s (900), trial of a silent portal 3 s "
    "(45), full disk checked again after 2 s (60), sweep every second (15)."
)
"""Printed below every table: the seconds to recover depend on these waits and not on those of an installation."""
RETRY = (0, 2, 3, *(5,) * 20)
"""BX24APP_RECORDING_RETRY."""


def shorten_waits() -> None:
    """Shorten the waits in this process and its children."""
    transport.TIMEOUT, answer_size.TOTAL_TIMEOUT = (2.0, 3.0), 4.0  # type: ignore[misc]
    portal_request.SLOW_SECONDS = 2.0
    batches.SEND_WITHIN_SECONDS = 4.0  # type: ignore[misc]
    sweep.ANSWER_TIMEOUT = timedelta(seconds=12)
    attempts.CLAIM_LIFETIME = timedelta(seconds=20)
    outcomes.SPOOL_RETRY_SECONDS = outcomes.NOT_YET_RETRY_SECONDS = 2.0
    key_guard.LOCK_SECONDS, recording_rows.CONFIRM_SECONDS = 2.0, 1.0
    sender.BACKOFF = (1, 2, 3, *(5,) * 40)  # type: ignore[assignment]
    circuit_breaker.TRIAL_SECONDS = 3
    redis_marker.ALIVE_SECONDS, adoption.BEAT_SECONDS = 6, 2.0
    outcome.SETTLE_SECONDS = 120  # type: ignore[attr-defined]  # delays of a busy machine are not tested here
    quick = {"sweep": 1, "reconcile": 0, "look_after_portals": 3, "probe_portals": 3}
    worker.PERIODIC_JOBS = tuple((job, quick.get(job, every), queue) for job, every, queue in worker.PERIODIC_JOBS)
