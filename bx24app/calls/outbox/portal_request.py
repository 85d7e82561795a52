"""One request of a drain to the portal: with its line in the log and its span, and what it shows about the portal.

`calls.drain` sends each claimed batch with `send_batch`, in a thread, and reports the outcomes with `update_circuit`
and `judge_problem`.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from bx24app.bitrix24.client import Bitrix24Client
from bx24app.bitrix24.commands import COMMAND_METHODS
from bx24app.bitrix24.errors import AnswerLost
from bx24app.calls.outbox import sender
from bx24app.calls.outbox.batch import Batch
from bx24app.calls.outbox.sender import BatchOutcome
from bx24app.infra import tracing
from bx24app.infra.circuit_breaker import CircuitBreaker, CircuitState
from bx24app.infra.logs import get_logger
from bx24app.infra.row_errors import blames_row
from bx24app.models import Call, Portal
from bx24app.portals import lifecycle

_log = get_logger(__name__)

SLOW_SECONDS = 20.0
"""An answer that took longer counts as a failure: a portal that is always right, but after 20 s, is asked for one thing
at a time. A batch may take twice as long as its commands were expected to."""

UNFORESEEN_PAUSE, MACHINERY_PAUSE = 60.0, 5.0
"""Seconds before a request is tried again in which the program failed, or its database was away."""


def send_batch(portal_id: int, client: Bitrix24Client, batch: Batch) -> BatchOutcome:
    """Send a batch; every failure of the portal is in the outcome."""
    kinds = ["look-up"] if batch.verification is not None else [type(item.command).__name__ for item in batch.items]
    started = time.monotonic()
    with tracing.shared_span("ask portal", portal_id, batch.entry_ids, **{"bx24app.commands": kinds}):
        try:
            outcome = sender.send(client, batch)
        except Exception as error:  # noqa: BLE001 - else one request would end the whole drain
            _log.exception("request failed in the program", portal=portal_id, commands=kinds)
            outcome = BatchOutcome(batch, error=_unforeseen(error))
    outcome.seconds = time.monotonic() - started
    if isinstance(outcome.error, AnswerLost) and batch.verification is None:
        methods = [COMMAND_METHODS[kind] for kind in kinds]
        client.method_load.seconds.learn_from_loss(methods, outcome.seconds)
    facts = {"commands": kinds, "calls": len({item.call_id for item in batch.items}), "met": _result_name(outcome)}
    _log.info("portal asked", portal=portal_id, **facts, ms=round(outcome.seconds * 1e3))
    return outcome


def _unforeseen(error: Exception) -> AnswerLost:
    """Nobody knows whether the request left. The pause says that the portal is not to blame."""
    pause = UNFORESEEN_PAUSE if blames_row(error) else MACHINERY_PAUSE
    return AnswerLost(f"the program failed: {type(error).__name__}", retry_after=pause)


def _result_name(outcome: BatchOutcome) -> str:
    """In a word: `ok`, or the first error's name."""
    errors = (outcome.error, *outcome.answers.values())
    return next((type(error).__name__ for error in errors if isinstance(error, Exception)), "ok")


def update_circuit(breaker: CircuitBreaker, outcomes: Sequence[BatchOutcome]) -> CircuitState:
    """Record on the circuit breaker whether the portal answered the last requests, and in time.

    One answer in time closes it, whatever the others met.
    """
    if any(not outcome.is_unanswered and outcome.seconds <= _prompt_seconds(outcome.batch) for outcome in outcomes):
        if breaker.read_state().failures:
            breaker.record_success()
        return CircuitState()
    for outcome in outcomes:
        if outcome.is_unanswered:
            breaker.record_failure()
        else:
            breaker.record_slow_answer()
    return breaker.read_state()


def _prompt_seconds(batch: Batch) -> float:
    """An answer within this time is prompt. A command alone has no excuse: a slow portal's batches shrink to that."""
    return max(SLOW_SECONDS, 2 * batch.expected_seconds) if len(batch.items) > 1 else SLOW_SECONDS


def judge_problem(portal: Portal, outcomes: Iterable[object]) -> None:
    """A problem of a single method ends with a delivery that succeeds. A portal that is asked seldom is asked soon,
    since it has news. The caller commits.
    """
    if portal.trouble is None:
        return
    if portal.state == "needs_admin":
        lifecycle.hurry_probe(portal)
    elif any(isinstance(outcome, BatchOutcome) and outcome.is_accepted for outcome in outcomes):
        lifecycle.end_problem(portal)


def add_entry_ids(session: Session, claimed: list[Batch]) -> None:
    """For the spans of tracing."""
    calls = {item.call_id for batch in claimed for item in batch.items}
    rows = session.execute(select(Call.id, Call.entry_id).where(Call.id.in_(calls)))
    entry_ids: dict[int, str] = {row.id: row.entry_id for row in rows}
    for batch in claimed:
        batch_calls = dict.fromkeys(item.call_id for item in batch.items)
        batch.entry_ids = [entry_ids[call_id] for call_id in batch_calls if call_id in entry_ids]
