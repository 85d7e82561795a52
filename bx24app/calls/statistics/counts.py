"""Counts the calls of one day in the database.

`aggregation` stores the result; days and hours are those of the portal's time zone.

Internal calls are left out: statistics show how clients were served.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Integer,
    Interval,
    Select,
    String,
    and_,
    case,
    cast,
    func,
    literal,
    or_,
    select,
)
from sqlalchemy.orm import aliased

from bx24app.domain import statistics
from bx24app.domain.statistics import BUCKET_BOUNDS, CallCounts
from bx24app.models import Call, Recording, db
from bx24app.models.base import is_sqlite

CALLBACK_WITHIN = timedelta(hours=24)
"""A call to the client within this time after a missed one counts as a callback."""
KeyedCounts = tuple[str, str, date, CallCounts]
"""(kind, key, day, counts) of one row of the statistics."""
CallConditions = tuple[ColumnElement[bool], ...]
"""SQL conditions: which calls are counted."""


def count_day(portal_id: int, day: date, zone: ZoneInfo) -> Iterator[KeyedCounts]:
    """The counts of one day of the portal. The same kind and key may come more than once; the counts then add up."""
    start, end = statistics.day_start(day, zone), statistics.day_start(day + timedelta(days=1), zone)
    mine = (
        Call.portal_id == portal_id,
        Call.started_at >= start,
        Call.started_at < end,
        Call.visible.is_(True),
        Call.direction != "internal",
    )
    for (pbx, line), counts in _count_by(mine, Call.pbx_key, Call.line_number):
        yield "line", f"{pbx}:{line or ''}", day, counts
    for kind, pbx, key, counts in _count_by_pbx(mine, statistics.utc_offsets(start, end, zone)):
        yield kind, key, day, counts
        yield statistics.kind_for_pbx(kind, pbx), key, day, counts


def _count_by_pbx(
    mine: CallConditions, offsets: list[tuple[datetime, int]]
) -> Iterator[tuple[str, str, str, CallCounts]]:
    """(kind, PBX key, key, counts) of everything that is stored for the portal and for each of its PBXs."""
    for (pbx, hour), counts in _count_by(mine, Call.pbx_key, local_seconds(Call.started_at, offsets) // 3600):
        yield "hour", pbx, str(int(hour) % 24), counts
    person = func.coalesce(Call.user_id, Call.responsible_id)
    for (pbx, user_id), counts in _count_by((*mine, person.is_not(None)), Call.pbx_key, person):
        yield "person", pbx, str(user_id), counts
    yield from _count_distributions(mine)


def local_seconds(column: Any, offsets: list[tuple[datetime, int]]) -> ColumnElement[Any]:
    """Seconds since 1970 as the portal's clocks show them. `offsets`: of `domain.statistics.utc_offsets`."""
    shift: Any = offsets[0][1]
    if len(offsets) > 1:
        shift = case(*((column >= at, offset) for at, offset in reversed(offsets[1:])), else_=offsets[0][1])
    seconds: ColumnElement[Any] = _epoch_seconds(column) + shift
    return seconds


def _count_by(mine: CallConditions, *by: Any) -> Iterator[tuple[tuple[Any, ...], CallCounts]]:
    """Counts by the given columns. Each key comes once for every direction and outcome."""
    waited = and_(Call.direction == "in", Call.outcome == "answered", Call.answered_at.is_not(None))
    wait = _epoch_seconds(Call.answered_at) - _epoch_seconds(Call.started_at)
    names = [column.label(f"key{index}") for index, column in enumerate(by)]
    query = select(
        *names,
        Call.direction,
        Call.outcome,
        func.count(),
        func.sum(Call.talk_seconds),
        func.count(case((waited, 1))),
        func.sum(case((waited, wait), else_=0)),
    ).where(*mine)
    for *key, direction, outcome, calls, talk, count, seconds in db.session.execute(
        query.group_by(*names, Call.direction, Call.outcome)
    ):
        yield (
            tuple(key),
            CallCounts(
                calls=calls,
                incoming=calls if direction == "in" and outcome else 0,
                answered=calls if outcome == "answered" else 0,
                missed=calls if outcome == "missed" else 0,
                talk=int(talk or 0),
                waited=count,
                wait=max(0, int(seconds or 0)),
            ),
        )


def _count_distributions(mine: CallConditions) -> Iterator[tuple[str, str, str, CallCounts]]:
    waited = and_(Call.direction == "in", Call.outcome == "answered", Call.answered_at.is_not(None))
    wait = _epoch_seconds(Call.answered_at) - _epoch_seconds(Call.started_at)
    yield from _count_buckets("wait", select(Call.pbx_key, wait.label("seconds")).where(*mine, waited))
    lag = select(Call.pbx_key, Recording.lag_seconds.label("seconds")).join(Call, Call.id == Recording.call_id)
    yield from _count_buckets("lag", lag.where(*mine, Recording.lag_seconds.is_not(None)))
    missed = (*mine, Call.outcome == "missed", Call.client_number.is_not(None))
    missed_by_pbx = db.session.execute(
        select(Call.pbx_key, func.count()).where(*missed).group_by(Call.pbx_key)
    ).all()
    for pbx, count in missed_by_pbx:
        yield "missed", pbx, "", CallCounts(calls=count)
    if missed_by_pbx:
        yield from _count_buckets("back", _callback_delays(missed))


def _callback_delays(missed: CallConditions) -> Select[Any]:
    """Seconds from each missed call to the first call to its client; missed calls without a callback are left out."""
    back = aliased(Call)
    first = (
        select(func.min(back.started_at))
        .where(
            back.portal_id == Call.portal_id,
            back.client_number == Call.client_number,
            or_(back.direction == "out", back.direction == "callback"),
            back.started_at > Call.started_at,
            back.started_at <= _started_plus(CALLBACK_WITHIN),
        )
        .correlate(Call)
        .scalar_subquery()
    )
    started = _epoch_seconds(Call.started_at).label("missed")
    rows = select(Call.pbx_key, started, first.label("back")).where(*missed).subquery()
    seconds = (_epoch_seconds(rows.c.back) - rows.c.missed).label("seconds")
    return select(rows.c.pbx_key, seconds).where(rows.c.back.is_not(None))


def _count_buckets(kind: str, durations: Select[*tuple[Any, ...]]) -> Iterator[tuple[str, str, str, CallCounts]]:
    """Grouped by second in the database and by bucket here: thirty comparisons a row would cost most of the time."""
    rows = durations.subquery()
    seconds = cast(rows.c.seconds, Integer).label("whole")
    query = select(rows.c.pbx_key, seconds, func.count()).select_from(rows).group_by(rows.c.pbx_key, seconds)
    for pbx, number, count in db.session.execute(query):
        yield kind, pbx, str(bisect_left(BUCKET_BOUNDS, max(0, number))), CallCounts(calls=count)


def _epoch_seconds(column: Any) -> ColumnElement[Any]:
    """Whole seconds since 1970 of a moment's column."""
    if is_sqlite():
        return cast(func.strftime("%s", column), BigInteger)
    return cast(func.floor(func.date_part("epoch", column)), BigInteger)


def _started_plus(span: timedelta) -> ColumnElement[Any]:
    """The moment `span` after the call's beginning, to compare with a column of moments."""
    if is_sqlite():
        later = func.strftime(
            "%Y-%m-%d %H:%M:%S", Call.started_at, f"+{int(span.total_seconds())} seconds", type_=String
        )
        return later + ".999999"
    return Call.started_at + literal(span, Interval())
