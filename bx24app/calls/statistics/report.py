"""The statistics of a period, read from the rows that `aggregation` keeps: a few thousand, however many calls there
are.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import Integer, cast, func, select, union_all

from bx24app.calls.statistics.aggregation import ALL_PORTALS, NEVER
from bx24app.calls.statistics.counts import CallConditions
from bx24app.calls.statistics.stored_days import MEASURES
from bx24app.domain import statistics
from bx24app.domain.statistics import CallCounts, CallStatistics, kind_for_pbx
from bx24app.models import Figure, FigureMark, db
from bx24app.models.base import is_sqlite

MAX_SHOWN = 50
"""Lines and people that a page shows: those with the most calls."""


def load_period(portal_id: int, since: date, until: date, today: date, pbx: str = "") -> CallStatistics:
    """The statistics of the days from `since` to `until`, both included; of lines and people, the `MAX_SHOWN` with the
    most calls.

    Args:
        today: the date in the portal's time zone.
        pbx: only the PBX with this key; empty: all.
    """
    result = CallStatistics()
    mine = (Figure.portal_id == portal_id, Figure.grain == "day", Figure.day.between(since, until))
    hours = (*mine, Figure.kind == kind_for_pbx("hour", pbx))
    for day, counts in _sum_by(hours, Figure.day):
        result.add_day(day, counts)
    for weekday, hour, counts in _sum_by(hours, _weekday_number(), Figure.key):
        result.add_hour(int(weekday), int(hour), counts)
    spreads = {kind_for_pbx(kind, pbx): kind for kind in ("wait", "lag", "back", "missed")}
    for kind, key, counts in _sum_by((*mine, Figure.kind.in_(spreads)), Figure.kind, Figure.key):
        result.add_count(spreads[kind], key, since, counts)
    of_pbx = (Figure.key.startswith(f"{pbx}:", autoescape=True),) if pbx else ()
    lines, persons = (Figure.kind == "line", *of_pbx), (Figure.kind == kind_for_pbx("person", pbx),)
    for kind, which in (("line", lines), ("person", persons)):
        for key, counts in _sum_busiest((Figure.portal_id == portal_id, *which), since, until, today):
            result.add_count(kind, key, since, counts)
    return result


def counted_at(portal_id: int) -> datetime | None:
    """The statistics include every change before this moment; None: nothing was counted yet."""
    mark = db.session.get(FigureMark, portal_id)
    if mark is None or mark.at == NEVER:
        return None
    if mark.changed_at is not None and mark.changed_at > mark.at:
        return mark.at
    return db.session.scalar(select(FigureMark.at).where(FigureMark.portal_id == ALL_PORTALS))


def _sum_by(mine: CallConditions, *keys: Any) -> Iterator[tuple[Any, ...]]:
    """The keys, and the sum of the counts that have them."""
    sums: list[Any] = [func.sum(getattr(Figure, name)) for name in MEASURES]
    for row in db.session.execute(select(*keys, *sums).where(*mine).group_by(*keys)):
        yield *row[: len(keys)], CallCounts(*(int(number) for number in row[len(keys) :]))


def _weekday_number() -> Any:
    """The weekday of a row's day; Monday is 0."""
    if is_sqlite():
        return (cast(func.strftime("%w", Figure.day), Integer) + 6) % 7
    return cast(func.extract("isodow", Figure.day), Integer) - 1


def _sum_busiest(mine: CallConditions, since: date, until: date, today: date) -> Iterator[tuple[str, CallCounts]]:
    ranges = statistics.split_period(since, until, today)
    # First find who has the most calls, then sum only theirs: for 10,000 people, one column of 180,000 rows instead of
    # seven. Range by range, since only then each is read from an index alone.
    parts = [
        select(Figure.key, Figure.calls).where(*mine, Figure.grain == grain, Figure.day.between(first, last))
        for grain, first, last in ranges
    ]
    rows = (union_all(*parts) if len(parts) > 1 else parts[0]).subquery()
    most = select(rows.c.key).group_by(rows.c.key).order_by(func.sum(rows.c.calls).desc(), rows.c.key).limit(MAX_SHOWN)
    keys = list(db.session.scalars(most))
    by_key: dict[str, CallCounts] = {key: CallCounts() for key in keys}
    for grain, first, last in ranges:
        # Every possible day and key is listed, so that the primary key finds each row. With ranges the whole table
        # would be read.
        for key, counts in _sum_by(
            (*mine, Figure.grain == grain, Figure.day.in_(_row_days(grain, first, last)), Figure.key.in_(keys)),
            Figure.key,
        ):
            by_key[key].add(counts)
    yield from by_key.items()


def _row_days(grain: str, first: date, last: date) -> list[date]:
    """The days that rows of this granularity can have in this range."""
    days = [first + timedelta(days=number) for number in range((last - first).days + 1)]
    return days if grain == "day" else [day for day in days if day.day == 1]
