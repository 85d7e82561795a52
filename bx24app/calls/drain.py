"""USE CASE: everything that is due for one portal: fold, claim, send, store, and again until nothing is left to do now.

A portal thread of a worker calls `drain` at every wake-up of a portal. In a process one drain of a portal runs at a
time; whoever comes meanwhile asks it to look again. Each step is one short transaction under the portal's lock, which
stores answers, folds calls and claims the next batches; drains of other processes take turns by that lock. Requests
leave between the steps, a few of a portal at a time and with no database connection in use, so a portal that is slow to
answer holds a thread and nothing else.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from bx24app.bitrix24.budget import Priority, RequestBudget
from bx24app.bitrix24.client import Bitrix24Client
from bx24app.calls import answers, click_to_call, concurrency, giving_way
from bx24app.calls.answers import Outcome
from bx24app.calls.click_to_call import DialOrder
from bx24app.calls.concurrency import DrainSlot
from bx24app.calls.fold import remembered_calls
from bx24app.calls.fold.call_fold import FoldResult
from bx24app.calls.fold.careful_fold import fold_one_by_one
from bx24app.calls.fold.portal_fold import fold_portal
from bx24app.calls.outbox import batches, careful_claim, in_flight, pacing
from bx24app.calls.outbox.batch import Batch
from bx24app.calls.outbox.batches import Claimed
from bx24app.calls.outbox.in_flight import TO_MANGO, TO_PORTAL, RequestsInFlight
from bx24app.calls.outbox.portal_request import add_entry_ids, judge_problem, send_batch, update_circuit
from bx24app.calls.outbox.sender import BatchOutcome
from bx24app.domain.calls.commands import MANGO_KINDS
from bx24app.infra import circuit_breaker, mango_clients, queue, tracing
from bx24app.infra.circuit_breaker import CircuitBreaker, CircuitState
from bx24app.infra.logs import get_logger
from bx24app.infra.row_errors import blames_row, describe_error
from bx24app.infra.runtime import runtime
from bx24app.models import Portal, db, utcnow
from bx24app.models.base import is_sqlite
from bx24app.models.locking import portal_lock
from bx24app.models.patience import store_patiently
from bx24app.portals import clients, lifecycle

_log = get_logger(__name__)

MAX_DRAIN_SECONDS = 120
"""A drain that is still busy after this long hands over to a fresh job, so that portals take turns. It claims nothing
more, but stores the answers of what is under way."""
MAX_WAIT_SECONDS = 60.0
"""How long a drain waits for answers before it looks at the database again."""


def drain(portal_id: int) -> None:
    """Do what is due for this portal. Returns when nothing is, when other portals should have their turn, or at once
    if a drain of this portal runs in this process: that one looks again.
    """
    slot, requests = concurrency.drain_slot(portal_id), _Requests(portal_id)
    if not slot.enter(requests.nudge):
        return
    try:
        is_finished = _drain_until_finished(portal_id, slot, requests)
    except BaseException:
        if slot.leave():
            queue.wake_portal(portal_id)
        _store_rest(portal_id, slot, requests)
        raise
    if not is_finished:
        slot.leave()
        queue.wake_portal(portal_id)
        _store_rest(portal_id, slot, requests)


class _Requests(RequestsInFlight[Outcome]):
    """The requests of one drain, and the client that they share."""

    client: Bitrix24Client | None = None


def _drain_until_finished(portal_id: int, slot: DrainSlot, requests: _Requests) -> bool:
    """Steps until nothing is due; then the slot is given back. False: other portals should have their turn first."""
    hand_over_at, stop_event = time.monotonic() + MAX_DRAIN_SECONDS, runtime().stop_event
    outcomes: Sequence[Outcome] = []
    while time.monotonic() < hand_over_at:
        slot.take_nudge()
        with giving_way.step(portal_id), requests.retain_unstored(outcomes):
            _record_portal_stops(portal_id, outcomes)
            step = _run_step(portal_id, outcomes, None if stop_event.is_set() else requests)
            _send(portal_id, step, requests)
        outcomes = []
        if requests.count:
            wait = 0.0 if step.has_more else step.wait_seconds or MAX_WAIT_SECONDS
            is_full = not requests.count_free(TO_PORTAL)
            linger = in_flight.BACKLOG_LINGER_SECONDS if is_full else in_flight.LINGER_SECONDS
            wait = min(wait, max(0.0, hand_over_at - time.monotonic()))
            outcomes = requests.wait(wait, lambda: slot.is_nudged, linger)
            continue
        may_go_on = step.has_more or (step.wait_seconds and pacing.wait_for_budget(portal_id, step.wait_seconds))
        if stop_event.is_set():
            slot.leave()
            return True
        if not may_go_on and slot.leave_unless_nudged():
            return True
    with requests.retain_unstored(outcomes):
        _store(portal_id, outcomes)
    return False


def _store_rest(portal_id: int, slot: DrainSlot, requests: _Requests) -> None:
    """Store the answers of a drain that handed over or failed; its successor has the places that become free."""
    while requests.count:
        outcomes = requests.wait(MAX_WAIT_SECONDS)
        if outcomes:
            _store(portal_id, outcomes)
            if not slot.ask_again():
                queue.wake_portal(portal_id)


def _store(portal_id: int, outcomes: Sequence[Outcome]) -> None:
    if outcomes:
        _record_portal_stops(portal_id, outcomes)
        route = _read_route(portal_id, outcomes, None)  # once: it counts failures
        store_patiently(lambda: _run_step(portal_id, outcomes, None, route))


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


def _run_step(
    portal_id: int, outcomes: Sequence[Outcome], requests: _Requests | None, route: _Route | None = None
) -> _DrainStep:
    """One transaction: store the outcomes, fold the calls, claim what may leave next beside `requests` (None: nothing).

    Where the new notifications change nothing for the portal now, they wait for a later step. If a row raises an error
    of its own, the same is done again row by row, and that row is set aside.
    """
    if requests is not None and not outcomes and remembered_calls.defer_step(portal_id):
        return _DrainStep([], [])
    route = route or _read_route(portal_id, outcomes, requests)
    try:
        return _run_locked(portal_id, outcomes, requests, route)
    except Exception as error:
        if not blames_row(error):
            raise
        _log.warning("step failed, its rows are taken one by one", portal=portal_id, reason=describe_error(error))
    return _run_locked(portal_id, outcomes, requests, route, careful=True)


def _run_locked(
    portal_id: int, outcomes: Sequence[Outcome], requests: _Requests | None, route: _Route, careful: bool = False
) -> _DrainStep:
    step = _DrainStep([], [])
    with _lock_for_fold(portal_id) as (session, portal):
        if portal is None:
            return step
        if careful:
            touched = answers.store_one_by_one(session, portal, outcomes)
            wakes = fold_one_by_one(session, portal, touched)
            careful_claim.set_aside_unclaimable(session, portal)
        else:
            touched = answers.store_outcomes(session, portal, outcomes)
            wakes = fold_portal(session, portal, touched)
        judge_problem(portal, outcomes)
        step.has_more = wakes.has_more
        recordings_due = [row.due_at for row in wakes.recordings if row.due_at is not None]
        if requests is not None and portal.state in ("active", "pending"):
            _claim(session, portal, route, wakes, step)
            wakes.wake_times += [order.answer_due_at for order in step.dial_orders]
        known = remembered_calls.take_calls(session, portal, wakes)
    remembered_calls.keep(known)
    _schedule_wakeups(portal_id, wakes.wake_times, recordings_due, step.next_claim_at)
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


@dataclass(frozen=True, slots=True)
class _Route:
    """Whether requests may leave for the portal now, and how many."""

    breaker: CircuitBreaker
    circuit: CircuitState
    budget: RequestBudget
    level: float
    """Requests that the budget holds."""
    free_requests: int
    free_dials: int
    """How many more of the portal's requests, and of its commands to Mango, may be under way."""


def _read_route(portal_id: int, outcomes: Iterable[Outcome], requests: _Requests | None) -> _Route:
    breaker, budget = circuit_breaker.of_portal(portal_id), clients.portal_budget(portal_id)
    circuit = update_circuit(breaker, [outcome for outcome in outcomes if isinstance(outcome, BatchOutcome)])
    free_requests, free_dials = (requests.count_free(TO_PORTAL), requests.count_free(TO_MANGO)) if requests else (0, 0)
    return _Route(breaker, circuit, budget, budget.estimate_requests(), free_requests, free_dials)


def _claim(session: Session, portal: Portal, route: _Route, folded: FoldResult, step: _DrainStep) -> None:
    """Put into `step` what may leave now: dials to Mango always, batches when the circuit and the budget allow them."""
    session.flush()
    open_rows = folded.open_deliveries()
    if open_rows == []:
        return  # nothing waits, and nothing is on its way
    if open_rows is None or any(row.kind in MANGO_KINDS and row.state == "waiting" for row in open_rows):
        step.dial_orders = click_to_call.claim_dial_orders(session, portal, route.free_dials)
    if route.circuit.pause > 0:
        step.next_claim_at = utcnow() + timedelta(seconds=route.circuit.pause)
        return
    if not route.free_requests:
        return  # the next answer makes room
    may_work = route.circuit.is_tripped or route.free_requests > pacing.CARD_PLACES
    pause = pacing.seconds_until_send(session, portal, route.budget, route.level, may_work)
    if pause > 0:
        if batches.has_due(session, portal):
            step.wait_seconds = pause
        else:
            step.next_claim_at = batches.find_next_due(session, portal)
        return
    step.claimed_batches, step.next_claim_at = _claim_batches(session, portal, route, folded, may_work)
    if step.claimed_batches and route.level <= pacing.AMPLE_BUDGET:
        pacing.delay_next_batch(portal.id, route.budget.rate, len(step.claimed_batches))
    if tracing.is_enabled():
        add_entry_ids(session, step.claimed_batches)


def _claim_batches(session: Session, portal: Portal, route: _Route, fold: FoldResult, may_work: bool) -> Claimed:
    """A portal that has not answered, or has refused, gets one batch as a trial; all others wait for its answer."""
    if portal.trouble is not None and route.free_requests < in_flight.SHARES[TO_PORTAL]:
        return [], None
    is_trial = route.circuit.is_tripped
    if is_trial and not (batches.has_due(session, portal) and route.breaker.acquire_trial()):
        return [], utcnow() + timedelta(seconds=circuit_breaker.TRIAL_CHECK_SECONDS)
    return batches.claim(
        session,
        portal,
        shared=route.level <= pacing.AMPLE_BUDGET,
        background=route.level > Priority.BACKGROUND + 1,
        most=1 if is_trial or portal.trouble is not None else min(route.free_requests, max(1, int(route.level))),
        folded=fold.folded_calls,
        may_work=may_work,
        open_rows=fold.open_deliveries(),
    )


def _schedule_wakeups(
    portal_id: int, times: list[datetime], recordings_due: list[datetime], next_claim_at: datetime | None
) -> None:
    """After the commit: a wake-up for what becomes due by itself, and one for the recordings."""
    times = [*times, *([next_claim_at] if next_claim_at else [])]
    if times:
        queue.wake_at(portal_id, max(min(times), utcnow() + timedelta(milliseconds=50)))
    if recordings_due:
        queue.wake_recordings(portal_id, min(recordings_due))


def _send(portal_id: int, step: _DrainStep, requests: _Requests) -> None:
    """Let leave what a step claimed."""
    for order in step.dial_orders:
        mango = mango_clients.build_client(order.api_key, order.api_salt)
        requests.submit(TO_MANGO, click_to_call.send_dial_order, order, mango)
    if step.claimed_batches:
        # The batches are claimed: while the database is away, their rows would wait for nobody.
        client = requests.client = requests.client or store_patiently(lambda: clients.client_by_id(portal_id))
        for batch in step.claimed_batches:
            requests.submit(TO_PORTAL, send_batch, portal_id, client, batch)


def _record_portal_stops(portal_id: int, outcomes: Iterable[Outcome]) -> None:
    """If the portal refuses requests until somebody acts, its state says so before the next step."""
    for outcome in outcomes:
        if isinstance(outcome, BatchOutcome) and outcome.blocking_error is not None:
            lifecycle.mark_needs_admin(portal_id, outcome.blocking_error)
