"""USE CASE: the calls of a chosen period, told to the portal afterwards: an outage, or the time before the installation.

Step by step: a stretch of the PBX's statistics is read, what the portal has already (its own statistics, whatever app wrote them) is
left out, the rest goes through the same fold as everything else, at background priority. The next step waits until the portal has
digested this one. A step that is lost is rung for again and begins where the last one ended; two of them at once double nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import func, select, update

from bx24app.bitrix24 import errors as portal_errors
from bx24app.bitrix24 import telephony
from bx24app.bitrix24.budget import Priority
from bx24app.calls.reconciliation import missing_calls, statistics_requests
from bx24app.calls.reconciliation.missing_calls import SAME_CALL_WITHIN, StatisticsEntry
from bx24app.calls.reconciliation.statistics_requests import DelayedRequest, StatisticsAnswer, StatisticsRequest
from bx24app.domain import phone
from bx24app.infra.logs import get_logger
from bx24app.mango import errors as mango_errors
from bx24app.models import Backfill, Call, Delivery, Pbx, db, utcnow
from bx24app.portals import clients

_log = get_logger(__name__)

JOB = "backfill_step"
CHUNK_SPAN = timedelta(days=1)
"""Of the statistics in one order; shorter where they do not fit into one page."""
CALLS_PER_STEP = 100
"""Calls that one step tells; the next one waits until fewer than these are on their way."""
STEP_PAUSE_SECONDS = 3.0
STEP_TIMEOUT = timedelta(minutes=5)
"""A step of which nothing was heard for so long was lost."""


class InvalidBackfill(Exception):
    """Not a period or a PBX that can be filled; the text says why."""


@dataclass(frozen=True, slots=True)
class BackfillProgress:
    """How far one PBX's back-fill is. `share`: 0 to 1, by time."""

    id: int
    pbx: str
    state: str
    fraction: float
    total_calls: int
    delivered_calls: int
    skipped_calls: int
    waiting_commands: int
    """Commands that the portal has still to be told, of all calls."""
    problem: str | None


def begin(
    portal_id: int, start: datetime, end: datetime, pbx_key: str | None = None, records: bool = False
) -> list[int]:
    """Start, or go on with, the back-fill of a period for one PBX or for all that have a key. Returns the row ids.

    Raises:
        Unfit
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
    """An unfinished one of the same period; its end may have been cut at the moment of its beginning."""
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
    """Leave it where it is; `begin` with the same period goes on. What is on its way to the portal still arrives."""
    values = {"state": "stopped", "due_at": None}
    mine = (Backfill.id == number, Backfill.portal_id == portal_id, Backfill.state == "running")
    done = db.session.execute(update(Backfill).where(*mine).values(**values))
    db.session.commit()
    return bool(done.rowcount)  # type: ignore[attr-defined]


def list_progress(portal_id: int, limit: int = 20) -> list[BackfillProgress]:
    """The portal's back-fills, the latest first."""
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
    """Lost steps are queued again."""
    due = select(Backfill.id).where(Backfill.due_at <= utcnow(), Backfill.state == "running")
    ids = list(db.session.scalars(due.limit(100)))
    db.session.rollback()
    for number in ids:
        _set_due(number, STEP_TIMEOUT)
        _queue_step(number)


def _count_waiting(portal_id: int) -> int:
    open_ = (Delivery.portal_id == portal_id, Delivery.state.in_(("waiting", "sent")))
    return db.session.scalar(select(func.count()).select_from(Delivery).where(*open_)) or 0


def _set_due(number: int, ahead: timedelta) -> None:
    db.session.execute(update(Backfill).where(Backfill.id == number).values(due_at=utcnow() + ahead))
    db.session.commit()


def _queue_step(number: int, seconds: float = 0.0) -> None:
    """Queue the next order of this back-fill."""
    row = db.session.get(Backfill, number)
    if row is None or row.state != "running":
        db.session.rollback()
        return
    until = min(row.end, row.done_until + CHUNK_SPAN)
    order = StatisticsRequest(row.pbx_id, int(row.done_until.timestamp()), int(until.timestamp()) + 1, errand=number)
    db.session.rollback()
    statistics_requests.queue_request(JOB, order, seconds)


def run_step(raw: dict[str, Any]) -> None:
    """One request to Mango, or one stretch told."""
    order = StatisticsRequest(**raw)
    number = order.errand or 0
    row = db.session.get(Backfill, number)
    if row is None or row.state != "running" or int(row.done_until.timestamp()) != order.start:
        db.session.rollback()
        return  # stopped, or another step was quicker
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
        elif answer.next_request is not None and order.end - order.start > 600:  # more than a page: a shorter stretch
            statistics_requests.queue_request(JOB, replace(order, key="", polls=0, end=order.start + (order.end - order.start) // 2), 0)
        else:
            _process_answer(number, portal_id, order, answer)
    except (mango_errors.TemporaryFailure, portal_errors.Later) as error:
        _schedule_retry(number, str(error), getattr(error, "retry_after", None))
    except (mango_errors.MangoError, portal_errors.PortalError) as error:
        _stop_with_problem(number, str(error))


def _process_answer(number: int, portal_id: int, order: StatisticsRequest, answer: StatisticsAnswer) -> None:
    """The first calls of the stretch that are not told yet; the pointer moves behind them."""
    row = db.session.get_one(Backfill, number)
    records, end = row.records, row.end
    entries = sorted((one for one in answer.entries if one.started_at <= end), key=lambda one: one.started_at)
    known = _known_entry_ids(order.pbx_id, entries)
    db.session.rollback()
    fresh = [one for one in entries if one.entry_id not in known]
    some = fresh[:CALLS_PER_STEP]
    whole = len(some) == len(fresh)
    theirs = _load_portal_calls(portal_id, some)
    missing = [one for one in some if not _is_in_portal(one, theirs)]
    until = datetime.fromtimestamp(order.end - 1, UTC) if whole else some[-1].started_at
    until = min(max(until, datetime.fromtimestamp(order.start + 1, UTC)), end)
    ours = [one for one in entries if one.entry_id in known and one.started_at <= until]
    found = missing_calls.store_missing(portal_id, order.pbx_id, [*missing, *ours], records, background=True)
    values = {
        "done_until": until,
        "seen": Backfill.seen + len(some) + len(ours),
        "made": Backfill.made + found.total,
        "skipped": Backfill.skipped + len(some) - len(missing),
        "failures": 0,
        "problem": None,
    }
    if until >= end:
        values |= {"state": "done", "due_at": None}
    db.session.execute(update(Backfill).where(Backfill.id == number).values(**values))
    db.session.commit()
    _log.info("back-fill went on", backfill=number, told=found.total, skipped=len(some) - len(missing))
    if until < end:
        _queue_step(number, STEP_PAUSE_SECONDS if found.total else 0)


def _known_entry_ids(pbx_id: int, entries: list[StatisticsEntry]) -> set[str]:
    """Those that the journal has: what of them is missing is found by their ids, not by number and time."""
    found: set[str] = set()
    for at in range(0, len(entries), 500):
        ids = [one.entry_id for one in entries[at : at + 500]]
        found |= set(db.session.scalars(select(Call.entry_id).where(Call.pbx_id == pbx_id, Call.entry_id.in_(ids))))
    return found


PortalCall = tuple[str, bool, datetime]
"""(E.164 digits, outgoing, beginning) of a call that the portal has."""


def _load_portal_calls(portal_id: int, entries: list[StatisticsEntry]) -> list[PortalCall]:
    """The portal's own statistics around these calls."""
    if not entries:
        return []
    client = clients.client_by_id(portal_id)
    since = entries[0].started_at - SAME_CALL_WITHIN
    until = entries[-1].started_at + SAME_CALL_WITHIN
    method, params = telephony.build_statistics_query(int(since.timestamp()), int(until.timestamp()))
    return [row for said in client.iter_rows(method, params, Priority.BACKGROUND) if (row := _parse_portal_call(said)) is not None]


def _parse_portal_call(said: dict[str, Any]) -> PortalCall | None:
    number, outgoing, started = telephony.parse_statistic(said)
    normal = phone.normalise(number)
    return (normal, outgoing, started) if normal is not None else None


def _is_in_portal(one: StatisticsEntry, rows: Iterable[PortalCall]) -> bool:
    """The same number and direction within a minute. An anonymous call cannot be told from another one, so it is told."""
    return one.client is not None and any(
        number == one.client and outgoing == (one.direction == "out") and abs(started - one.started_at) <= SAME_CALL_WITHIN
        for number, outgoing, started in rows
    )


def _schedule_retry(number: int, why: str, named: float | None) -> None:
    """Once more from the last stretch, with a back-off that doubles up to ten minutes."""
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
    _log.warning("back-fill stopped", backfill=number, why=why)


__all__ = ["BackfillProgress", "InvalidBackfill", "begin", "list_progress", "requeue_lost", "run_step", "stop"]
