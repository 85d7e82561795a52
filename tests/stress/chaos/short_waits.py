"""The program's waits, made short for these runs. What is decided is not touched, only how long it is waited for."""

from __future__ import annotations

from datetime import timedelta

from bx24app.bitrix24 import transport
from bx24app.calls import sweep
from bx24app.calls.outbox import batches, sender
from bx24app.calls.recordings import attempts, outcomes
from bx24app.domain.calls import outcome
from bx24app.infra import circuit_breaker, worker

WORDS = (
    "Waits shortened: answer of the portal 4 s (75), request of a dead worker given up after 12 s (120), recording of a dead worker after 20 s "
    "(1200), back-off at most 5 s (900), trial of a silent portal 3 s (45), full disk looked at again after 2 s (60), sweep every second (15)."
)
"""Said under every table: seconds to recover are of these waits, not of an installation's."""
RETRY = (0, 2, 3, *(5,) * 20)
"""BX24APP_RECORDING_RETRY."""


def shorten_waits() -> None:
    """For this process and its children."""
    transport.TIMEOUT, transport.TOTAL_TIMEOUT = (2.0, 3.0), 4.0  # type: ignore[misc]
    batches.SEND_WITHIN_SECONDS = 4.0  # type: ignore[misc]
    sweep.ANSWER_TIMEOUT = timedelta(seconds=12)
    attempts.CLAIM_LIFETIME = timedelta(seconds=20)
    outcomes.SPOOL_RETRY_SECONDS = 2.0
    sender.BACKOFF = (1, 2, 3, *(5,) * 40)  # type: ignore[assignment]
    circuit_breaker.TRIAL_SECONDS = 3
    outcome.SETTLE_SECONDS = 120  # type: ignore[attr-defined]  # what is late on a busy machine is not the matter here
    quick = {"sweep": 1, "reconcile": 0, "look_after_portals": 3}
    worker.PERIODIC_JOBS = tuple((job, quick.get(job, every), queue) for job, every, queue in worker.PERIODIC_JOBS)
