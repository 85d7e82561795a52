"""Reconciliation: Mango does not repeat lost notifications, so its statistics are asked for calls that no notification
reported.

A busy PBX (notified within the hour, or with an open call) is checked every BX24APP_RECONCILE_SECONDS, an idle one
hourly during its working hours. The minute of the hour follows from the PBX's id, and all requests pass one rate
limiter, so a thousand PBXs do not ask at once. The scheduler calls `queue_due_pbxs`; the worker runs `run_step`.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import uniform
from typing import Any

from sqlalchemy import and_, func, or_, select, update

from bx24app import settings
from bx24app.calls.reconciliation import missing_calls, statistics_requests
from bx24app.calls.reconciliation.statistics_requests import (
    MAX_PERIOD,
    DelayedRequest,
    StatisticsAnswer,
    StatisticsRequest,
)
from bx24app.domain.settings import Settings
from bx24app.domain.working_hours import is_open
from bx24app.infra.logs import get_logger
from bx24app.infra.runtime import runtime
from bx24app.mango import errors
from bx24app.models import Call, Pbx, Portal, db, portal_loop, problem_codes, utcnow

_log = get_logger(__name__)

JOB = "reconcile_step"
HOUR = timedelta(hours=1)
OVERLAP, LONG_OVERLAP = timedelta(hours=1), timedelta(hours=8)
"""Statistics list a call by its beginning, so a request reaches back before the last one; hourly ones further, for very
long calls.
"""
GRACE_SECONDS = 60
"""A call that ended this recently may still be reported by a notification."""
TICK_LIMIT = 100
"""PBXs that one tick queues."""


def reconcile_interval() -> timedelta | None:
    """BX24APP_RECONCILE_SECONDS; None: never."""
    seconds = runtime().config.reconcile_seconds
    return timedelta(seconds=seconds) if seconds else None


def queue_due_pbxs() -> int:
    """Queue requests for the PBXs whose turn it is; returns how many. Two schedulers at once are harmless."""
    every, now, sent = reconcile_interval(), utcnow(), 0
    if every is None:
        return 0
    due = {turn.pbx_id: turn for turn in _find_due(now, every)}
    db.session.rollback()

    def queue_pbx(pbx_id: int) -> None:
        nonlocal sent
        turn = due[pbx_id]
        if not turn.is_busy and not (
            _is_working_time(turn.version_id, now) and _claim_turn(turn, now, asks=True)
        ):
            return
        window = _request_window(pbx_id, now, LONG_OVERLAP if turn.is_hourly else OVERLAP)
        delay = sent / statistics_requests.REQUESTS_PER_SECOND
        statistics_requests.queue_request(JOB, StatisticsRequest(pbx_id, *window), delay)
        sent += 1

    # The turn is taken before anything of this PBX is read: settings or keys that cannot be read do not bring it back.
    portal_loop.for_each(
        "reconcile", list(due), queue_pbx, claim=lambda pbx_id: _claim_turn(due[pbx_id], now, due[pbx_id].is_busy)
    )
    return sent


@dataclass(frozen=True, slots=True)
class _Turn:
    """A PBX that is due: when it was asked last, whether the hour is over, whether it is busy, its settings version."""

    pbx_id: int
    asked_at: datetime | None
    is_hourly: bool
    is_busy: bool
    version_id: int | None


def _find_due(now: datetime, every: timedelta) -> list[_Turn]:
    """One query, however many PBXs there are."""
    lately = now - HOUR
    open_calls = select(Call.pbx_id).where(Call.state == "open", Call.heard_at > now - timedelta(days=1))
    busy = or_(
        func.coalesce(Pbx.last_notification_at, Pbx.created_at) > lately,
        func.coalesce(Pbx.lost_at, Pbx.created_at) > lately,
        Pbx.id.in_(open_calls),
    )
    hourly = Pbx.ask_at <= now
    soon = and_(Pbx.ask_failures == 0, func.coalesce(Pbx.asked_at, Pbx.created_at) <= now - every, busy)
    query = (
        select(Pbx.id, Pbx.asked_at, func.coalesce(hourly, False), busy, Portal.settings_version_id)
        .join(Portal, Portal.id == Pbx.portal_id)
        .where(Pbx.removed_at.is_(None), Pbx.api_key.is_not(None), Portal.state.in_(("active", "pending")))
        .where(or_(hourly, soon, and_(Pbx.ask_at.is_(None), Pbx.created_at <= lately)))
        .order_by(func.coalesce(Pbx.asked_at, Pbx.created_at))
        .limit(TICK_LIMIT)
    )
    return [_Turn(row[0], row[1], bool(row[2]), bool(row[3]), row[4]) for row in db.session.execute(query)]


def _is_working_time(version: int | None, now: datetime) -> bool:
    """Is a line of the portal open now?

    Outside working hours a quiet PBX is not asked; the next request reaches back to the last one.
    """
    document: Settings = settings.of_version(version)
    lines = [line for pbx in document.pbxs for line in pbx.lines]
    return not lines or any(is_open(line.working_hours, now, document.portal.timezone) for line in lines)


def _claim_turn(turn: _Turn, now: datetime, asks: bool) -> bool:
    """Take the turn of this PBX; of two schedulers, only one gets it."""
    values = {"ask_at": next_hour(turn.pbx_id, now)} | ({"asked_at": now} if asks else {})
    mine = Pbx.asked_at.is_(None) if turn.asked_at is None else Pbx.asked_at == turn.asked_at
    done = db.session.execute(update(Pbx).where(Pbx.id == turn.pbx_id, mine).values(**values))
    db.session.commit()
    taken: int = done.rowcount  # type: ignore[attr-defined]
    return taken == 1


def next_hour(pbx_id: int, now: datetime) -> datetime:
    """The PBX's own minute of the next hour."""
    offset = zlib.crc32(f"pbx:{pbx_id}".encode()) % 3600
    turns = (now.timestamp() - offset) // 3600 + 1
    return datetime.fromtimestamp(turns * 3600 + offset, UTC)


def _request_window(pbx_id: int, now: datetime, overlap: timedelta) -> tuple[int, int]:
    """From the last successful request, or the oldest open call if that is earlier, to now; never from before the PBX
    was connected.
    """
    row = db.session.execute(select(Pbx.read_until, Pbx.created_at).where(Pbx.id == pbx_id)).one()
    oldest = select(func.min(Call.started_at)).where(Call.pbx_id == pbx_id, Call.state == "open")
    begun = db.session.scalar(oldest) or now
    start = max(min((row.read_until or now) - overlap, begun - timedelta(minutes=1)), now - MAX_PERIOD)
    start = max(start, row.created_at - timedelta(minutes=5), now - MAX_PERIOD)
    if row.read_until is None:
        start = max(row.created_at - timedelta(minutes=5), now - MAX_PERIOD)
    db.session.rollback()
    return int(start.timestamp()), int(now.timestamp()) + 1


def run_step(raw: dict[str, Any]) -> None:
    """One request to Mango: order statistics, or fetch and compare them.

    A job; `raw` are the fields of a `StatisticsRequest`.
    """
    order = StatisticsRequest.from_job(raw)
    try:
        answer = statistics_requests.advance(order)
    except errors.MangoError as error:
        _record_failure(order, error)
        return
    if isinstance(answer, DelayedRequest):
        statistics_requests.queue_request(JOB, answer.request, answer.seconds)
    elif answer is not None:
        _compare_statistics(order, answer)


def _compare_statistics(order: StatisticsRequest, answer: StatisticsAnswer) -> None:
    now = utcnow()
    grace = timedelta(seconds=min(GRACE_SECONDS, (reconcile_interval() or HOUR).total_seconds()))
    finished = [entry for entry in answer.entries if entry.ended_at < now - grace]
    counts = missing_calls.store_missing(answer.portal_id, order.pbx_id, finished)
    values: dict[str, Any] = {"lost_found": Pbx.lost_found + counts.total}
    if counts.total:
        values["lost_at"] = now
    if answer.next_request is not None:
        statistics_requests.queue_request(JOB, answer.next_request, 0)
    else:
        values |= {"read_until": datetime.fromtimestamp(order.end, UTC), "ask_failures": 0}
        values |= {"ask_problem": None, "ask_problem_code": None}
    db.session.execute(update(Pbx).where(Pbx.id == order.pbx_id).values(**values))
    db.session.commit()


def _record_failure(order: StatisticsRequest, error: errors.MangoError) -> None:
    """Retry after Mango's own time, or with a back-off that doubles up to an hour.

    Where an administrator must act, hourly: two wrong requests within two minutes lock our address out.
    """
    row = db.session.get(Pbx, order.pbx_id)
    if row is None:
        return
    row.ask_failures += 1
    row.ask_problem = str(error)[:300]
    row.ask_problem_code = problem_codes.ADDRESS_REFUSED if isinstance(error, errors.AddressRefused) else None
    passing = isinstance(error, errors.TemporaryFailure)
    seconds = min(60.0 * 2 ** (row.ask_failures - 1), 3600.0) if passing else 3600.0
    named = error.retry_after if isinstance(error, errors.TemporaryFailure) else None
    row.ask_at = utcnow() + timedelta(seconds=max(named or 0, seconds) * uniform(1.0, 1.1))  # noqa: S311 - jitter
    _log.warning("statistics not read", pbx=order.pbx_id, failures=row.ask_failures, why=str(error))
    db.session.commit()
