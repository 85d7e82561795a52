"""USE CASE: everything that is due for one portal: decide, deliver, and again until nothing is left to do now.

Several drains of a portal may run at once: deciding is serialised by the database (one short transaction under the portal's
lock), deliveries are claimed there, and no HTTP happens inside it. So a waiting portal holds a thread and nothing else.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import redis
from sqlalchemy import select
from sqlalchemy.orm import Session

from bx24app import portals
from bx24app.bitrix24.budget import Budget, Priority
from bx24app.bitrix24.client import Bitrix24
from bx24app.calls import click_to_call, concurrency
from bx24app.calls.click_to_call import DialOutcome, Errand
from bx24app.calls.fold.portal_fold import decide
from bx24app.calls.outbox import batches, sender
from bx24app.calls.outbox.batches import Parcel
from bx24app.calls.outbox.ledger import Folded
from bx24app.calls.outbox.sender import Outcome
from bx24app.infra import circuit_breaker, queue, tracing
from bx24app.infra.logs import log
from bx24app.infra.runtime import runtime
from bx24app.infra.shutdown import stopping
from bx24app.models import Call, Portal, db
from bx24app.models.locking import locked

_log = log(__name__)

SECONDS = 120
"""A drain that is still busy after this long hands over to a fresh job, so that portals take turns."""
COMFORTABLE = 12
"""While the portal's budget holds more requests than this, every call's commands leave alone and at once."""
GATHER = 1.5
"""Below that, batches leave so many requests' time apart: calls share them, and a third of the budget is left for recordings."""

LINGER_SECONDS = 0.005
"""So long the first of several answers waits for the others."""

_pool: ThreadPoolExecutor | None = None
_pool_lock = threading.Lock()


def _senders() -> ThreadPoolExecutor:
    global _pool
    with _pool_lock:
        if _pool is None:
            _pool = ThreadPoolExecutor(max_workers=64, thread_name_prefix="send")
        return _pool


def drain(portal_id: int) -> None:
    """Do what is due for this portal. Returns when nothing is, or when others should have their turn."""
    queue.awake(portal_id)
    if concurrency.of_portal(portal_id).somebody_waits:
        return
    started = time.monotonic()
    running: set[Future[Outcome | DialOutcome]] = set()
    outcomes: list[Outcome | DialOutcome] = []
    client: Bitrix24 | None = None
    while True:
        _say_stops(portal_id, outcomes)
        step = _step(portal_id, outcomes, claim=not stopping.is_set())
        outcomes = []
        for errand in step.dials:
            running.add(_senders().submit(click_to_call.dial, errand, runtime().config.mango_api_url, runtime().http))
        if step.parcels:
            client = client or portals.client_by_id(portal_id)
            if len(step.parcels) == 1 and not running:
                outcomes = [_send(portal_id, client, step.parcels[0])]
                continue
            running |= {_senders().submit(_send, portal_id, client, parcel) for parcel in step.parcels}
        if running:
            done, running = wait(running, return_when=FIRST_COMPLETED)
            if running:  # all that come together share a transaction
                more, running = wait(running, timeout=LINGER_SECONDS)
                done |= more
            outcomes = [one.result() for one in done]
            continue
        if stopping.is_set() or not (step.more or (step.dry and _wait_for_budget(portal_id, step.dry))):
            return
        if time.monotonic() - started > SECONDS:
            queue.wake(portal_id, force=True)
            return


def _say_stops(portal_id: int, outcomes: Iterable[Outcome | DialOutcome]) -> None:
    """Where the portal will not be asked for now, its state says so before the next step."""
    for outcome in outcomes:
        if isinstance(outcome, Outcome) and outcome.stop is not None:
            portals.trouble(portal_id, outcome.stop)


def _send(portal_id: int, client: Bitrix24, parcel: Parcel) -> Outcome:
    """One request, with its line in the log and its span in the calls' traces."""
    kinds = ["look-up"] if parcel.lookup is not None else [type(item.command).__name__ for item in parcel.items]
    started = time.monotonic()
    with tracing.shared("ask portal", portal_id, parcel.entries, **{"bx24app.commands": kinds}):
        outcome = sender.send(client, parcel)
    facts = {"commands": kinds, "calls": len({item.call for item in parcel.items}), "met": _met(outcome)}
    _log.info("portal asked", portal=portal_id, **facts, ms=round((time.monotonic() - started) * 1e3))
    return outcome


def _met(outcome: Outcome) -> str:
    """In a word: `ok`, or the first error's name."""
    errors = (outcome.error, *outcome.answers.values())
    return next((type(one).__name__ for one in errors if isinstance(one, Exception)), "ok")


@dataclass(frozen=True, slots=True)
class _Step:
    parcels: list[Parcel]
    dials: list[Errand]
    more: bool = False
    """There is more news than one pass takes."""
    dry: float = 0.0
    """Something could leave, but not before so many seconds: the portal's budget is used up, or company is waited for."""


def _step(portal_id: int, outcomes: Sequence[Outcome | DialOutcome], claim: bool) -> _Step:
    """One transaction: answers stored, calls folded, the next parcels claimed."""
    breaker = circuit_breaker.of_portal(portal_id)
    state = _told(breaker, outcomes) if claim else circuit_breaker.State()
    budget = portals.budget_of(portal_id)
    level = budget.level() if claim else 0.0
    ready: list[Parcel] = []
    dials: list[Errand] = []
    again: datetime | None = None
    dry = 0.0
    with concurrency.of_portal(portal_id).passed(), _at_desk(portal_id) as (session, portal):
        if portal is None:
            return _Step([], [])
        touched: set[int] = set()
        for dialled in (one for one in outcomes if isinstance(one, DialOutcome)):
            touched |= click_to_call.store(session, dialled)
        if answered := [one for one in outcomes if isinstance(one, Outcome)]:
            touched |= sender.store(session, portal, *answered)
        session.flush()
        wakes = decide(session, portal, touched)
        recordings = [(row.id, row.due_at) for row in wakes.tapes if row.due_at is not None]
        if claim and portal.state in ("active", "pending"):
            dials = click_to_call.claim(session, portal)
            wakes.at += [errand.until for errand in dials]
            if state.pause > 0:
                again = datetime.now(UTC) + timedelta(seconds=state.pause)
            elif (pause := _pause(session, portal, budget, level)) > 0:
                dry = pause if batches.anything_due(session, portal) else 0.0
            else:
                ready, again = _claim(session, portal, level, breaker if state.tripped else None, wakes.folded)
                if ready and level <= COMFORTABLE:
                    _gather(portal_id, budget.rate)
                if tracing.on():
                    _name_entries(session, ready)
    _ring(portal_id, wakes.at, recordings, again)
    return _Step(ready, dials, wakes.again, dry)


@contextmanager
def _at_desk(portal_id: int) -> Iterator[tuple[Session, Portal | None]]:
    """`locked`, at a desk. On PostgreSQL the portal's lock is waited for without one: its holder may be a machine that has frozen, and three
    such portals would keep all others from theirs. SQLite's lock is every portal's anyway."""
    dialect = db.engine.dialect.name
    desk = concurrency.desk(dialect, runtime().config.data_dir)
    if dialect == "sqlite":
        with desk, locked(portal_id) as both:
            yield both
    else:
        with locked(portal_id) as both, desk:
            yield both


def _pause(session: Session, portal: Portal, budget: Budget, level: float) -> float:
    """Seconds until something may leave. Where the budget is short calls wait for company, unless there is a batch of it already."""
    if level < 1:
        return max(0.05, (1 - level) / budget.rate)
    if level > COMFORTABLE or batches.anything_due(session, portal, batches.BATCH):
        return 0.0
    try:
        return max(0, runtime().redis.pttl(f"gather:{portal.id}")) / 1e3
    except redis.RedisError:
        return 0.0


def _gather(portal_id: int, rate: float) -> None:
    with suppress(redis.RedisError):  # then the next batch is smaller
        runtime().redis.set(f"gather:{portal_id}", b"1", px=int(GATHER / rate * 1e3))


def _told(breaker: circuit_breaker.Circuit, outcomes: Iterable[Outcome | DialOutcome]) -> circuit_breaker.State:
    """Tell the circuit what became of the last requests; returns how it stands now. One answer closes it, whatever the others met."""
    silent = [one.no_answer for one in outcomes if isinstance(one, Outcome)]
    if all(silent):
        for _ in silent:
            breaker.failed()
        return breaker.state()
    state = breaker.state()
    if state.failures:
        breaker.worked()
    return circuit_breaker.State()


def _claim(
    session: Session, portal: Portal, level: float, tripped: circuit_breaker.Circuit | None, folded: Folded
) -> tuple[list[Parcel], datetime | None]:
    """What may leave by the portal's budget. To a portal that has not answered one parcel goes, and it alone tells what is next."""
    if tripped is not None and not (batches.anything_due(session, portal) and tripped.trial()):
        return [], datetime.now(UTC) + timedelta(seconds=circuit_breaker.TRIAL_SECONDS)
    return batches.claim(
        session,
        portal,
        shared=level <= COMFORTABLE,
        background=level > Priority.BACKGROUND + 1,
        most=None if tripped is None else 1,
        folded=folded,
    )


def _name_entries(session: Session, ready: list[Parcel]) -> None:
    calls = {item.call for parcel in ready for item in parcel.items}
    found = session.execute(select(Call.id, Call.entry_id).where(Call.id.in_(calls)))
    entries: dict[int, str] = {row.id: row.entry_id for row in found}
    for parcel in ready:
        parcel.entries = [
            entries[call] for call in dict.fromkeys(item.call for item in parcel.items) if call in entries
        ]


def _wait_for_budget(portal_id: int, seconds: float) -> bool:
    """One drain a portal waits for the next request that the budget allows; the others leave the work to it."""
    seconds = min(seconds, 0.5)
    try:
        if not runtime().redis.set(f"pace:{portal_id}", b"1", nx=True, px=int(seconds * 1e3) + 200):
            return False
        stopping.wait(seconds)
        runtime().redis.delete(f"pace:{portal_id}")
    except redis.RedisError:
        stopping.wait(seconds)
    return not stopping.is_set()


def _ring(portal_id: int, times: list[datetime], recordings: list[tuple[int, datetime]], again: datetime | None) -> None:
    """After the commit: alarms for what becomes due by itself, jobs for recordings (row id, when)."""
    times = [*times, *([again] if again else [])]
    if times:
        queue.wake_at(portal_id, max(min(times), datetime.now(UTC) + timedelta(milliseconds=50)))
    for recording, when in recordings:
        queue.wake_recording(recording, when)


__all__ = ["drain"]
