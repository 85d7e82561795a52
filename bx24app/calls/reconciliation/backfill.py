"""Backfill: the calls of a past period, of an outage or from before the installation, are added to the portal
afterwards.

It runs in steps. A step reads a part of the PBX's statistics, leaves out the calls that the portal has already
(whatever application wrote them), and passes the rest through the usual fold at background priority. The next step
waits until the portal has processed this one. A lost step is queued again and starts where the last one ended; two
steps at once duplicate nothing. Pages and the command line call `begin`, `stop` and `list_progress`; the worker runs
`run_step`; the sweep calls `requeue_lost`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import func, select, update

from bx24app.bitrix24 import errors as portal_errors
from bx24app.calls.reconciliation import missing_calls, portal_calls, statistics_requests
from bx24app.calls.reconciliation.missing_calls import StatisticsEntry
from bx24app.calls.reconciliation.statistics_requests import DelayedRequest, StatisticsAnswer, StatisticsRequest
from bx24app.infra.logs import get_logger
from bx24app.mango import errors as mango_errors
from bx24app.models import Backfill, Call, Delivery, Pbx, db, portal_loop, utcnow

_log = get_logger(__name__)

JOB = "backfill_step"
CHUNK_SPAN = timedelta(days=1)
"""The part of the period that one request covers; less if its calls do not fit into one page."""
CALLS_PER_STEP = 100
"""Calls that one step adds. The next step waits until the portal has fewer than this many commands waiting."""
STEP_PAUSE_SECONDS = 3.0
STEP_TIMEOUT = timedelta(minutes=5)
"""A step that has not finished within this time is lost."""


class InvalidBackfill(Exception):
    """The period or the PBX cannot be backfilled; the text says why."""


@dataclass(frozen=True, slots=True)
class BackfillProgress:
    """How far the backfill of one PBX is. `fraction`: 0 to 1, by time."""

    id: int
    pbx: str
    state: str
    fraction: float
    total_calls: int
    delivered_calls: int
    skipped_calls: int
    waiting_commands: int
    """Commands that still wait for the portal, of all its calls."""
    problem: str | None


def begin(
    portal_id: int, start: datetime, end: datetime, pbx_key: str | None = None, records: bool = False
) -> list[int]:
    """Start or continue the backfill of a period for one PBX, or for all PBXs with a key. Returns the row ids.

    Raises:
        InvalidBackfill: the period is empty, or no PBX fits.
    """
    end = min(end, utcnow())
    if start >= end:
        raise InvalidBackfill("the period is empty: --from must lie before --to and before now")
    mine = select(Pbx).where(Pbx.portal_id == portal_id, Pbx.removed_at.is_(None))
    pbxs = [row for row in db.session.scalars(mine) if pbx_key in (None, row.key)]
    if not pbxs:
        raise InvalidBackfill(f"the portal has no PBX {pbx_key}" if pbx_key else "the portal has no PBX")
    pbxs = [row for row in pbxs if row.api_key and row.api_salt]
    if not pbxs:
        raise InvalidBackfill("without Mango's key and salt there are no statistics")
    ids = []
    for pbx in pbxs:
        row = _find_unfinished(portal_id, pbx.id, start, end, records)
        if row is None:
            row = Backfill(portal_id=portal_id, pbx_id=pbx.id, start=start, end=end, done_until=start, records=records)
            row.seen = row.made = row.skipped = row.failures = 0
            db.session.add(row)
        row.state, row.problem, row.due_at = "running", None, utcnow() + STEP_TIMEOUT
        db.session.flush()
        ids.append(row.id)
    db.session.commit()
    for number in ids:
        _queue_step(number)
    return ids


def _find_unfinished(portal_id: int, pbx_id: int, start: datetime, end: datetime, records: bool) -> Backfill | None:
    """An unfinished backfill of the same period; its end may have been cut to the moment when it began."""
    query = select(Backfill).where(
        Backfill.portal_id == portal_id,
        Backfill.pbx_id == pbx_id,
        Backfill.start == start,
        Backfill.end <= end,
        Backfill.records == records,
        Backfill.state != "done",
    )
    row = db.session.scalars(query.order_by(Backfill.id.desc())).first()
    if row is not None:
        row.end = end
    return row


def stop(portal_id: int, number: int) -> bool:
    """Stop where it is; `begin` with the same period continues. Commands already decided still reach the portal."""
    values = {"state": "stopped", "due_at": None}
    mine = (Backfill.id == number, Backfill.portal_id == portal_id, Backfill.state == "running")
    done = db.session.execute(update(Backfill).where(*mine).values(**values))
    db.session.commit()
    return bool(done.rowcount)  # type: ignore[attr-defined]


def list_progress(portal_id: int, limit: int = 20) -> list[BackfillProgress]:
    """The portal's backfills, the latest first."""
    rows = db.session.execute(
        select(Backfill, Pbx.key)
        .join(Pbx, Pbx.id == Backfill.pbx_id)
        .where(Backfill.portal_id == portal_id)
        .order_by(Backfill.id.desc())
        .limit(limit)
    ).all()
    waiting = _count_waiting(portal_id)
    return [
        BackfillProgress(
            id=row.id,
            pbx=key,
            state=row.state,
            fraction=min(1.0, (row.done_until - row.start) / (row.end - row.start)),
            total_calls=row.seen,
            delivered_calls=row.made,
            skipped_calls=row.skipped,
            waiting_commands=waiting,
            problem=row.problem,
        )
        for row, key in rows
    ]


def requeue_lost() -> None:
    """Queue lost steps again."""
    due = select(Backfill.id).where(Backfill.due_at <= utcnow(), Backfill.state == "running")
    ids = list(db.session.scalars(due.order_by(Backfill.due_at).limit(100)))
    db.session.rollback()
    portal_loop.for_each("backfill", ids, _queue_step, claim=_claim_step)


def _claim_step(number: int) -> bool:
    _set_due(number, STEP_TIMEOUT)
    return True


def _count_waiting(portal_id: int) -> int:
    open_ = (Delivery.portal_id == portal_id, Delivery.state.in_(("waiting", "sent")))
    return db.session.scalar(select(func.count()).select_from(Delivery).where(*open_)) or 0


def _set_due(number: int, ahead: timedelta) -> None:
    db.session.execute(update(Backfill).where(Backfill.id == number).values(due_at=utcnow() + ahead))
    db.session.commit()


def _queue_step(number: int, seconds: float = 0.0) -> None:
    """Queue the next step of this backfill."""
    row = db.session.get(Backfill, number)
    if row is None or row.state != "running":
        db.session.rollback()
        return
    until = min(row.end, row.done_until + CHUNK_SPAN)
    start, end = int(row.done_until.timestamp()), int(until.timestamp()) + 1
    order = StatisticsRequest(row.pbx_id, start, end, backfill_id=number)
    db.session.rollback()
    statistics_requests.queue_request(JOB, order, seconds)


def run_step(raw: dict[str, Any]) -> None:
    """One request to Mango, or one part of the period added. A job; `raw` are the fields of a `StatisticsRequest`."""
    order = StatisticsRequest.from_job(raw)
    number = order.backfill_id or 0
    row = db.session.get(Backfill, number)
    if row is None or row.state != "running" or int(row.done_until.timestamp()) != order.start:
        db.session.rollback()
        return  # stopped, or another step came first
    portal_id = row.portal_id
    busy = not order.key and _count_waiting(portal_id) >= CALLS_PER_STEP
    db.session.rollback()
    _set_due(number, STEP_TIMEOUT)
    if busy:
        statistics_requests.queue_request(JOB, order, STEP_PAUSE_SECONDS)
        return
    try:
        answer = statistics_requests.advance(order)
        if isinstance(answer, DelayedRequest):
            statistics_requests.queue_request(JOB, answer.request, answer.seconds)
        elif answer is None:
            _stop_with_problem(number, "the PBX is gone, or has no key any more")
        elif answer.next_request is not None and order.end - order.start > 600:  # more than a page: halve the part
            middle = order.start + (order.end - order.start) // 2
            statistics_requests.queue_request(JOB, replace(order, key="", polls=0, end=middle), 0)
        else:
            _process_answer(number, portal_id, order, answer)
    except (mango_errors.TemporaryFailure, portal_errors.Later) as error:
        _schedule_retry(number, str(error), getattr(error, "retry_after", None))
    except (mango_errors.MangoError, portal_errors.PortalError) as error:
        _stop_with_problem(number, str(error))


def _process_answer(number: int, portal_id: int, order: StatisticsRequest, answer: StatisticsAnswer) -> None:
    """Add the first calls that are not in the journal yet, and move `done_until` behind them."""
    row = db.session.get_one(Backfill, number)
    records, end = row.records, row.end
    entries = sorted(
        (entry for entry in answer.entries if entry.started_at <= end), key=lambda entry: entry.started_at
    )
    known = _known_entry_ids(order.pbx_id, entries)
    db.session.rollback()
    fresh = [entry for entry in entries if entry.entry_id not in known]
    chunk = fresh[:CALLS_PER_STEP]
    is_whole = len(chunk) == len(fresh)
    known_calls = portal_calls.load_around(portal_id, chunk)
    missing = [entry for entry in chunk if not portal_calls.includes(known_calls, entry)]
    until = datetime.fromtimestamp(order.end - 1, UTC) if is_whole else chunk[-1].started_at
    until = min(max(until, datetime.fromtimestamp(order.start + 1, UTC)), end)
    ours = [entry for entry in entries if entry.entry_id in known and entry.started_at <= until]
    counts = missing_calls.store_missing(portal_id, order.pbx_id, [*missing, *ours], records, background=True)
    values = {
        "done_until": until,
        "seen": Backfill.seen + len(chunk) + len(ours),
        "made": Backfill.made + counts.total,
        "skipped": Backfill.skipped + len(chunk) - len(missing),
        "failures": 0,
        "problem": None,
    }
    if until >= end:
        values |= {"state": "done", "due_at": None}
    db.session.execute(update(Backfill).where(Backfill.id == number).values(**values))
    db.session.commit()
    _log.info("backfill step done", backfill=number, added=counts.total, skipped=len(chunk) - len(missing))
    if until < end:
        _queue_step(number, STEP_PAUSE_SECONDS if counts.total else 0)


def _known_entry_ids(pbx_id: int, entries: list[StatisticsEntry]) -> set[str]:
    """Entries that the journal has: what is missing of them is found by id, not by number and time."""
    known: set[str] = set()
    for at in range(0, len(entries), 500):
        ids = [entry.entry_id for entry in entries[at : at + 500]]
        known |= set(db.session.scalars(select(Call.entry_id).where(Call.pbx_id == pbx_id, Call.entry_id.in_(ids))))
    return known


def _schedule_retry(number: int, why: str, named: float | None) -> None:
    """Repeat the step with a back-off that doubles up to ten minutes, or after Mango's own time if that is longer."""
    row = db.session.get(Backfill, number)
    if row is None:
        return
    row.failures, row.problem = row.failures + 1, why[:300]
    seconds = max(named or 0.0, min(5.0 * 2 ** (row.failures - 1), 600.0))
    row.due_at = utcnow() + timedelta(seconds=seconds) + STEP_TIMEOUT
    db.session.commit()
    _queue_step(number, seconds)


def _stop_with_problem(number: int, why: str) -> None:
    values = {"state": "stopped", "problem": why[:300], "due_at": None}
    db.session.execute(update(Backfill).where(Backfill.id == number).values(**values))
    db.session.commit()
    _log.warning("backfill stopped", backfill=number, why=why)

