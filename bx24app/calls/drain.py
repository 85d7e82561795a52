"""USE CASE: everything that is due for one portal: fold, claim, send, store, and again until nothing is left to do now.

Jobs call `drain` at every wake-up of a portal. Several drains of a portal may run at once: each step is one short
transaction under the portal's lock, which stores answers, folds calls and claims the next batches. Requests leave
between the steps, with no database connection in use, so a portal that is slow to answer holds a thread and nothing
else.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from bx24app.bitrix24.budget import Priority, RequestBudget
from bx24app.bitrix24.client import Bitrix24Client
from bx24app.calls import click_to_call, concurrency
from bx24app.calls.click_to_call import DialOrder, DialOutcome
from bx24app.calls.fold.portal_fold import fold_portal
from bx24app.calls.outbox import batches, pacing, sender
from bx24app.calls.outbox.batch import Batch
from bx24app.calls.outbox.ledger import FoldedCalls
from bx24app.calls.outbox.sender import BatchOutcome
from bx24app.infra import circuit_breaker, mango_clients, queue, tracing
from bx24app.infra.circuit_breaker import CircuitBreaker, CircuitState
from bx24app.infra.logs import get_logger
from bx24app.infra.runtime import runtime
from bx24app.models import Call, Portal, db, utcnow
from bx24app.models.base import is_sqlite
from bx24app.models.locking import portal_lock
from bx24app.portals import clients, lifecycle

_log = get_logger(__name__)

MAX_DRAIN_SECONDS = 120
"""A drain that is still busy after this long hands over to a fresh job, so that portals take turns."""
LINGER_SECONDS = 0.005
"""How long the first of several answers waits for the others, to share a transaction with them."""

Outcome = BatchOutcome | DialOutcome


def drain(portal_id: int) -> None:
    """Do what is due for this portal. Returns when nothing is, or when other portals should have their turn."""
    queue.clear_wake(portal_id)
    if concurrency.portal_gate(portal_id).has_waiter:
        return
    started, stop_event = time.monotonic(), runtime().stop_event
    requests = _Requests(portal_id)
    outcomes: Sequence[Outcome] = []
    while True:
        _record_portal_stops(portal_id, outcomes)
        step = _run_step(portal_id, outcomes, claim=not stop_event.is_set())
        outcomes = requests.send(step)
        if outcomes:
            continue
        may_go_on = step.has_more or (step.wait_seconds and pacing.wait_for_budget(portal_id, step.wait_seconds))
        if stop_event.is_set() or not may_go_on:
            return
        if time.monotonic() - started > MAX_DRAIN_SECONDS:
            queue.wake_portal(portal_id, force=True)
            return


@dataclass(slots=True)
class _DrainStep:
    """What one transaction claimed, and what is left."""

    claimed_batches: list[Batch]
    dial_orders: list[DialOrder]
    has_more: bool = False
    """More notifications are waiting than one fold takes."""
    wait_seconds: float = 0.0
    """Something could leave, but only after this time: the portal's budget is used up, or calls gather for a batch."""
    next_claim_at: datetime | None = None
    """When to claim again; None: only a wake-up makes that necessary."""


def _run_step(portal_id: int, outcomes: Sequence[Outcome], claim: bool) -> _DrainStep:
    """One transaction: store the outcomes, fold the calls, claim what may leave next."""
    route = _read_route(portal_id, outcomes) if claim else None
    step = _DrainStep([], [])
    with concurrency.portal_gate(portal_id).enter(), _lock_for_fold(portal_id) as (session, portal):
        if portal is None:
            return step
        touched = _store_outcomes(session, portal, outcomes)
        wakes = fold_portal(session, portal, touched)
        step.has_more = wakes.has_more
        recordings = [(row.id, row.due_at) for row in wakes.recordings if row.due_at is not None]
        if route is not None and portal.state in ("active", "pending"):
            _claim(session, portal, route, wakes.folded_calls, step)
            wakes.wake_times += [order.answer_due_at for order in step.dial_orders]
    _schedule_wakeups(portal_id, wakes.wake_times, recordings, step.next_claim_at)
    return step


@contextmanager
def _lock_for_fold(portal_id: int) -> Iterator[tuple[Session, Portal | None]]:
    """The portal's lock, and a fold slot.

    On PostgreSQL the lock comes first: its holder may be a machine that has frozen, and drains of three such portals
    that waited with a slot in hand would stop all others. On SQLite all portals share one lock anyway.
    """
    slot = concurrency.fold_slot(db.engine.dialect.name, runtime().config.data_dir)
    if is_sqlite():
        with slot, portal_lock(portal_id) as locked:
            yield locked
    else:
        with portal_lock(portal_id) as locked, slot:
            yield locked


def _store_outcomes(session: Session, portal: Portal, outcomes: Iterable[Outcome]) -> set[int]:
    """Write what became of the requests. Returns the calls to fold again."""
    touched: set[int] = set()
    answered: list[BatchOutcome] = []
    for outcome in outcomes:
        if isinstance(outcome, DialOutcome):
            touched |= click_to_call.store_dial_outcome(session, outcome)
        else:
            answered.append(outcome)
    if answered:
        touched |= sender.store_outcomes(session, portal, *answered)
    session.flush()
    return touched


@dataclass(frozen=True, slots=True)
class _Route:
    """Whether requests may leave for the portal now, and how many."""

    breaker: CircuitBreaker
    circuit: CircuitState
    budget: RequestBudget
    level: float
    """Requests that the budget holds."""


def _read_route(portal_id: int, outcomes: Iterable[Outcome]) -> _Route:
    breaker, budget = circuit_breaker.of_portal(portal_id), clients.portal_budget(portal_id)
    circuit = _update_circuit(breaker, outcomes)
    return _Route(breaker, circuit, budget, budget.available_requests())


def _update_circuit(breaker: CircuitBreaker, outcomes: Iterable[Outcome]) -> CircuitState:
    """Record on the circuit breaker whether the portal answered the last requests.

    One answer closes it, whatever the others met.
    """
    unanswered = [outcome.is_unanswered for outcome in outcomes if isinstance(outcome, BatchOutcome)]
    if all(unanswered):
        for _ in unanswered:
            breaker.record_failure()
        return breaker.read_state()
    if breaker.read_state().failures:
        breaker.record_success()
    return CircuitState()


def _claim(session: Session, portal: Portal, route: _Route, folded: FoldedCalls, step: _DrainStep) -> None:
    """Put into `step` what may leave now: dials to Mango always, batches when the circuit and the budget allow them."""
    step.dial_orders = click_to_call.claim_dial_orders(session, portal)
    if route.circuit.pause > 0:
        step.next_claim_at = utcnow() + timedelta(seconds=route.circuit.pause)
        return
    pause = pacing.seconds_until_send(session, portal, route.budget, route.level)
    if pause > 0:
        step.wait_seconds = pause if batches.has_due(session, portal) else 0.0
        return
    step.claimed_batches, step.next_claim_at = _claim_batches(session, portal, route, folded)
    if step.claimed_batches and route.level <= pacing.AMPLE_BUDGET:
        pacing.delay_next_batch(portal.id, route.budget.rate)
    if tracing.is_enabled():
        _add_entry_ids(session, step.claimed_batches)


def _claim_batches(
    session: Session, portal: Portal, route: _Route, folded: FoldedCalls
) -> tuple[list[Batch], datetime | None]:
    """A portal that has not answered gets one batch as a trial; all others wait for its answer."""
    is_trial = route.circuit.is_tripped
    if is_trial and not (batches.has_due(session, portal) and route.breaker.acquire_trial()):
        return [], utcnow() + timedelta(seconds=circuit_breaker.TRIAL_SECONDS)
    return batches.claim(
        session,
        portal,
        shared=route.level <= pacing.AMPLE_BUDGET,
        background=route.level > Priority.BACKGROUND + 1,
        most=1 if is_trial else None,
        folded=folded,
    )


def _add_entry_ids(session: Session, claimed: list[Batch]) -> None:
    """For the spans of tracing."""
    calls = {item.call_id for batch in claimed for item in batch.items}
    rows = session.execute(select(Call.id, Call.entry_id).where(Call.id.in_(calls)))
    entry_ids: dict[int, str] = {row.id: row.entry_id for row in rows}
    for batch in claimed:
        batch_calls = dict.fromkeys(item.call_id for item in batch.items)
        batch.entry_ids = [entry_ids[call_id] for call_id in batch_calls if call_id in entry_ids]


def _schedule_wakeups(
    portal_id: int, times: list[datetime], recordings: list[tuple[int, datetime]], next_claim_at: datetime | None
) -> None:
    """After the commit: a wake-up for what becomes due by itself, jobs for recordings (row id, when)."""
    times = [*times, *([next_claim_at] if next_claim_at else [])]
    if times:
        queue.wake_at(portal_id, max(min(times), utcnow() + timedelta(milliseconds=50)))
    for recording_id, due_at in recordings:
        queue.wake_recording(recording_id, due_at)


class _SenderPool(ThreadPoolExecutor):
    """The threads of a process in which requests wait for their answers."""

    def __init__(self) -> None:
        super().__init__(max_workers=64, thread_name_prefix="send")


class _Requests:
    """The requests of one drain that are under way."""

    def __init__(self, portal_id: int) -> None:
        self._portal_id = portal_id
        self._client: Bitrix24Client | None = None
        self._running: set[Future[Outcome]] = set()

    def send(self, step: _DrainStep) -> list[Outcome]:
        """Send what a step claimed. Returns the outcomes that come next; none if nothing is under way."""
        pool = runtime().get(_SenderPool)
        for order in step.dial_orders:
            mango = mango_clients.build_client(order.api_key, order.api_salt)
            self._running.add(pool.submit(click_to_call.send_dial_order, order, mango))
        if step.claimed_batches:
            client = self._client = self._client or clients.client_by_id(self._portal_id)
            if len(step.claimed_batches) == 1 and not self._running:
                return [_send_batch(self._portal_id, client, step.claimed_batches[0])]
            for batch in step.claimed_batches:
                self._running.add(pool.submit(_send_batch, self._portal_id, client, batch))
        return self._wait_for_next()

    def _wait_for_next(self) -> list[Outcome]:
        if not self._running:
            return []
        done, self._running = wait(self._running, return_when=FIRST_COMPLETED)
        if self._running:
            more, self._running = wait(self._running, timeout=LINGER_SECONDS)
            done |= more
        return [future.result() for future in done]


def _send_batch(portal_id: int, client: Bitrix24Client, batch: Batch) -> BatchOutcome:
    """One request, with its line in the log and its span in the calls' traces."""
    kinds = ["look-up"] if batch.verification is not None else [type(item.command).__name__ for item in batch.items]
    started = time.monotonic()
    with tracing.shared_span("ask portal", portal_id, batch.entry_ids, **{"bx24app.commands": kinds}):
        outcome = sender.send(client, batch)
    facts = {"commands": kinds, "calls": len({item.call_id for item in batch.items}), "met": _result_name(outcome)}
    _log.info("portal asked", portal=portal_id, **facts, ms=round((time.monotonic() - started) * 1e3))
    return outcome


def _result_name(outcome: BatchOutcome) -> str:
    """In a word: `ok`, or the first error's name."""
    errors = (outcome.error, *outcome.answers.values())
    return next((type(error).__name__ for error in errors if isinstance(error, Exception)), "ok")


def _record_portal_stops(portal_id: int, outcomes: Iterable[Outcome]) -> None:
    """If the portal refuses requests until somebody acts, its state says so before the next step."""
    for outcome in outcomes:
        if isinstance(outcome, BatchOutcome) and outcome.blocking_error is not None:
            lifecycle.mark_needs_admin(portal_id, outcome.blocking_error)
