"""USE CASE: everything that is due for one portal: decide, deliver, and again until nothing is left to do now.

Several drains of a portal may run at once: deciding is serialised by the database (one short transaction under the portal's
lock), deliveries are claimed there, and no HTTP happens inside it. So a waiting portal holds a thread and nothing else.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

import redis
from sqlalchemy import select
from sqlalchemy.orm import Session

from bx24app.bitrix24.budget import Priority, RequestBudget
from bx24app.bitrix24.client import Bitrix24Client
from bx24app.calls import click_to_call, concurrency
from bx24app.calls.click_to_call import DialOrder, DialOutcome
from bx24app.calls.fold.portal_fold import fold_portal
from bx24app.calls.outbox import batches, sender
from bx24app.calls.outbox.batches import Batch
from bx24app.calls.outbox.ledger import FoldedCalls
from bx24app.calls.outbox.sender import BatchOutcome
from bx24app.infra import circuit_breaker, mango_clients, queue, tracing
from bx24app.infra.logs import get_logger
from bx24app.infra.runtime import runtime
from bx24app.models import Call, Portal, db, utcnow
from bx24app.models.locking import portal_lock
from bx24app.portals import clients, lifecycle

_log = get_logger(__name__)

MAX_DRAIN_SECONDS = 120
"""A drain that is still busy after this long hands over to a fresh job, so that portals take turns."""
AMPLE_BUDGET = 12
"""While the portal's budget holds more requests than this, every call's commands leave alone and at once."""
BATCH_SPACING = 1.5
"""Below that, batches leave so many requests' time apart: calls share them, and a third of the budget is left for recordings."""

LINGER_SECONDS = 0.005
"""So long the first of several answers waits for the others."""


class _SenderPool(ThreadPoolExecutor):
    """The threads of a process in which requests wait for their answers."""

    def __init__(self) -> None:
        super().__init__(max_workers=64, thread_name_prefix="send")


def _sender_pool() -> ThreadPoolExecutor:
    return runtime().get(_SenderPool)


def drain(portal_id: int) -> None:
    """Do what is due for this portal. Returns when nothing is, or when others should have their turn."""
    queue.clear_wake(portal_id)
    if concurrency.portal_gate(portal_id).has_waiter:
        return
    started, stop_event = time.monotonic(), runtime().stop_event
    running: set[Future[BatchOutcome | DialOutcome]] = set()
    outcomes: list[BatchOutcome | DialOutcome] = []
    client: Bitrix24Client | None = None
    while True:
        _record_portal_stops(portal_id, outcomes)
        step = _run_step(portal_id, outcomes, claim=not stop_event.is_set())
        outcomes = []
        for errand in step.dial_orders:
            running.add(_sender_pool().submit(click_to_call.send_dial_order, errand, mango_clients.build_client(errand.api_key, errand.api_salt)))
        if step.claimed_batches:
            client = client or clients.client_by_id(portal_id)
            if len(step.claimed_batches) == 1 and not running:
                outcomes = [_send_batch(portal_id, client, step.claimed_batches[0])]
                continue
            running |= {_sender_pool().submit(_send_batch, portal_id, client, parcel) for parcel in step.claimed_batches}
        if running:
            done, running = wait(running, return_when=FIRST_COMPLETED)
            if running:  # all that come together share a transaction
                more, running = wait(running, timeout=LINGER_SECONDS)
                done |= more
            outcomes = [one.result() for one in done]
            continue
        if stop_event.is_set() or not (step.has_more or (step.wait_seconds and _wait_for_budget(portal_id, step.wait_seconds))):
            return
        if time.monotonic() - started > MAX_DRAIN_SECONDS:
            queue.wake_portal(portal_id, force=True)
            return


def _record_portal_stops(portal_id: int, outcomes: Iterable[BatchOutcome | DialOutcome]) -> None:
    """Where the portal will not be asked for now, its state says so before the next step."""
    for outcome in outcomes:
        if isinstance(outcome, BatchOutcome) and outcome.blocking_error is not None:
            lifecycle.mark_needs_admin(portal_id, outcome.blocking_error)


def _send_batch(portal_id: int, client: Bitrix24Client, parcel: Batch) -> BatchOutcome:
    """One request, with its line in the log and its span in the calls' traces."""
    kinds = ["look-up"] if parcel.verification is not None else [type(item.command).__name__ for item in parcel.items]
    started = time.monotonic()
    with tracing.shared_span("ask portal", portal_id, parcel.entry_ids, **{"bx24app.commands": kinds}):
        outcome = sender.send(client, parcel)
    facts = {"commands": kinds, "calls": len({item.call_id for item in parcel.items}), "met": _result_name(outcome)}
    _log.info("portal asked", portal=portal_id, **facts, ms=round((time.monotonic() - started) * 1e3))
    return outcome


def _result_name(outcome: BatchOutcome) -> str:
    """In a word: `ok`, or the first error's name."""
    errors = (outcome.error, *outcome.answers.values())
    return next((type(one).__name__ for one in errors if isinstance(one, Exception)), "ok")


@dataclass(frozen=True, slots=True)
class _DrainStep:
    claimed_batches: list[Batch]
    dial_orders: list[DialOrder]
    has_more: bool = False
    """There is more news than one pass takes."""
    wait_seconds: float = 0.0
    """Something could leave, but not before so many seconds: the portal's budget is used up, or company is waited for."""


def _run_step(portal_id: int, outcomes: Sequence[BatchOutcome | DialOutcome], claim: bool) -> _DrainStep:
    """One transaction: answers stored, calls folded, the next parcels claimed."""
    breaker = circuit_breaker.of_portal(portal_id)
    state = _update_circuit(breaker, outcomes) if claim else circuit_breaker.CircuitState()
    budget = clients.portal_budget(portal_id)
    level = budget.available_requests() if claim else 0.0
    ready: list[Batch] = []
    dials: list[DialOrder] = []
    again: datetime | None = None
    dry = 0.0
    with concurrency.portal_gate(portal_id).enter(), _lock_for_fold(portal_id) as (session, portal):
        if portal is None:
            return _DrainStep([], [])
        touched: set[int] = set()
        for dialled in (one for one in outcomes if isinstance(one, DialOutcome)):
            touched |= click_to_call.store_dial_outcome(session, dialled)
        if answered := [one for one in outcomes if isinstance(one, BatchOutcome)]:
            touched |= sender.store_outcomes(session, portal, *answered)
        session.flush()
        wakes = fold_portal(session, portal, touched)
        recordings = [(row.id, row.due_at) for row in wakes.recordings if row.due_at is not None]
        if claim and portal.state in ("active", "pending"):
            dials = click_to_call.claim_dial_orders(session, portal)
            wakes.wake_times += [errand.answer_due_at for errand in dials]
            if state.pause > 0:
                again = utcnow() + timedelta(seconds=state.pause)
            elif (pause := _seconds_until_send(session, portal, budget, level)) > 0:
                dry = pause if batches.has_due(session, portal) else 0.0
            else:
                ready, again = _claim_batches(session, portal, level, breaker if state.is_tripped else None, wakes.folded_calls)
                if ready and level <= AMPLE_BUDGET:
                    _delay_next_batch(portal_id, budget.rate)
                if tracing.is_enabled():
                    _add_entry_ids(session, ready)
    _schedule_wakeups(portal_id, wakes.wake_times, recordings, again)
    return _DrainStep(ready, dials, wakes.has_more, dry)


@contextmanager
def _lock_for_fold(portal_id: int) -> Iterator[tuple[Session, Portal | None]]:
    """`locked`, at a desk. On PostgreSQL the portal's lock is waited for without one: its holder may be a machine that has frozen, and three
    such portals would keep all others from theirs. SQLite's lock is every portal's anyway."""
    dialect = db.engine.dialect.name
    desk = concurrency.fold_slot(dialect, runtime().config.data_dir)
    if dialect == "sqlite":
        with desk, portal_lock(portal_id) as both:
            yield both
    else:
        with portal_lock(portal_id) as both, desk:
            yield both


def _seconds_until_send(session: Session, portal: Portal, budget: RequestBudget, level: float) -> float:
    """Seconds until something may leave. Where the budget is short calls wait for company, unless there is a batch of it already."""
    if level < 1:
        return max(0.05, (1 - level) / budget.rate)
    if level > AMPLE_BUDGET or batches.has_due(session, portal, batches.MAX_BATCH_COMMANDS):
        return 0.0
    try:
        return max(0, runtime().redis.pttl(f"gather:{portal.id}")) / 1e3
    except redis.RedisError:
        return 0.0


def _delay_next_batch(portal_id: int, rate: float) -> None:
    with suppress(redis.RedisError):  # then the next batch is smaller
        runtime().redis.set(f"gather:{portal_id}", b"1", px=int(BATCH_SPACING / rate * 1e3))


def _update_circuit(breaker: circuit_breaker.CircuitBreaker, outcomes: Iterable[BatchOutcome | DialOutcome]) -> circuit_breaker.CircuitState:
    """Tell the circuit what became of the last requests; returns how it stands now. One answer closes it, whatever the others met."""
    silent = [one.is_unanswered for one in outcomes if isinstance(one, BatchOutcome)]
    if all(silent):
        for _ in silent:
            breaker.record_failure()
        return breaker.read_state()
    state = breaker.read_state()
    if state.failures:
        breaker.record_success()
    return circuit_breaker.CircuitState()


def _claim_batches(
    session: Session, portal: Portal, level: float, tripped: circuit_breaker.CircuitBreaker | None, folded: FoldedCalls
) -> tuple[list[Batch], datetime | None]:
    """What may leave by the portal's budget. To a portal that has not answered one parcel goes, and it alone tells what is next."""
    if tripped is not None and not (batches.has_due(session, portal) and tripped.acquire_trial()):
        return [], utcnow() + timedelta(seconds=circuit_breaker.TRIAL_SECONDS)
    return batches.claim(
        session,
        portal,
        shared=level <= AMPLE_BUDGET,
        background=level > Priority.BACKGROUND + 1,
        most=None if tripped is None else 1,
        folded=folded,
    )


def _add_entry_ids(session: Session, ready: list[Batch]) -> None:
    calls = {item.call_id for parcel in ready for item in parcel.items}
    found = session.execute(select(Call.id, Call.entry_id).where(Call.id.in_(calls)))
    entries: dict[int, str] = {row.id: row.entry_id for row in found}
    for parcel in ready:
        parcel.entry_ids = [
            entries[call] for call in dict.fromkeys(item.call_id for item in parcel.items) if call in entries
        ]


def _wait_for_budget(portal_id: int, seconds: float) -> bool:
    """One drain a portal waits for the next request that the budget allows; the others leave the work to it."""
    seconds, stop_event = min(seconds, 0.5), runtime().stop_event
    try:
        if not runtime().redis.set(f"pace:{portal_id}", b"1", nx=True, px=int(seconds * 1e3) + 200):
            return False
        stop_event.wait(seconds)
        runtime().redis.delete(f"pace:{portal_id}")
    except redis.RedisError:
        stop_event.wait(seconds)
    return not stop_event.is_set()


def _schedule_wakeups(portal_id: int, times: list[datetime], recordings: list[tuple[int, datetime]], again: datetime | None) -> None:
    """After the commit: alarms for what becomes due by itself, jobs for recordings (row id, when)."""
    times = [*times, *([again] if again else [])]
    if times:
        queue.wake_at(portal_id, max(min(times), utcnow() + timedelta(milliseconds=50)))
    for recording, when in recordings:
        queue.wake_recording(recording, when)


__all__ = ["drain"]
