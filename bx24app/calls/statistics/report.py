"""USE CASE: the statistics of a period, read from what is kept counted (`figures_kept`): a few thousand rows, however many calls there are."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import Integer, cast, func, select, union_all

from bx24app.calls.statistics.aggregation import ALL_PORTALS, MEASURES
from bx24app.calls.statistics.counts import CallConditions
from bx24app.domain import statistics
from bx24app.domain.statistics import CallCounts, CallStatistics, kind_for_pbx
from bx24app.models import Figure, FigureMark, db

MAX_SHOWN = 50
"""Lines and people that a page shows: those with the most calls."""


def load_period(portal_id: int, since: date, until: date, today: date, pbx: str = "") -> CallStatistics:
    """The figures of the days from `since` to `until`, both within. `today`: as the portal's clocks have it; `pbx`: of the PBX with this key only.

    Of lines and people, those with the most calls.
    """
    found = CallStatistics()
    mine = (Figure.portal_id == portal_id, Figure.grain == "day", Figure.day.between(since, until))
    hours = (*mine, Figure.kind == kind_for_pbx("hour", pbx))
    for day, tally in _sum_by(hours, Figure.day):
        found.add_day(day, tally)
    for weekday, hour, tally in _sum_by(hours, _weekday_number(), Figure.key):
        found.add_hour(int(weekday), int(hour), tally)
    spreads = {kind_for_pbx(kind, pbx): kind for kind in ("wait", "lag", "back", "missed")}
    for kind, key, tally in _sum_by((*mine, Figure.kind.in_(spreads)), Figure.kind, Figure.key):
        found.add_count(spreads[kind], key, since, tally)
    of_pbx = (Figure.key.startswith(f"{pbx}:", autoescape=True),) if pbx else ()
    lines, persons = (Figure.kind == "line", *of_pbx), (Figure.kind == kind_for_pbx("person", pbx),)
    for kind, which in (("line", lines), ("person", persons)):
        for key, tally in _sum_busiest((Figure.portal_id == portal_id, *which), since, until, today):
            found.add_count(kind, key, since, tally)
    return found


def counted_at(portal_id: int) -> datetime | None:
    """All that changed before is in the figures; None: nothing was counted yet."""
    if db.session.get(FigureMark, portal_id) is None:
        return None
    return db.session.scalar(select(FigureMark.at).where(FigureMark.portal_id == ALL_PORTALS))


def _sum_by(mine: CallConditions, *keys: Any) -> Iterator[tuple[Any, ...]]:
    """The keys, and the counts of everything that has them."""
    sums: list[Any] = [func.sum(getattr(Figure, name)) for name in MEASURES]
    for row in db.session.execute(select(*keys, *sums).where(*mine).group_by(*keys)):
        yield *row[: len(keys)], CallCounts(*(int(number) for number in row[len(keys) :]))


def _weekday_number() -> Any:
    """Monday 0."""
    if db.engine.dialect.name == "sqlite":
        return (cast(func.strftime("%w", Figure.day), Integer) + 6) % 7
    return cast(func.extract("isodow", Figure.day), Integer) - 1


def _sum_busiest(mine: CallConditions, since: date, until: date, today: date) -> Iterator[tuple[str, CallCounts]]:
    ranges = statistics.split_period(since, until, today)
    # First who has the most calls, then all of theirs: of 10,000 people, one column of 180,000 rows is summed instead of seven. Range by
    # range, since only so each is read from an index alone.
    parts = [
        select(Figure.key, Figure.calls).where(*mine, Figure.grain == grain, Figure.day.between(first, last))
        for grain, first, last in ranges
    ]
    rows = (union_all(*parts) if len(parts) > 1 else parts[0]).subquery()
    most = select(rows.c.key).group_by(rows.c.key).order_by(func.sum(rows.c.calls).desc(), rows.c.key).limit(MAX_SHOWN)
    keys = list(db.session.scalars(most))
    held: dict[str, CallCounts] = {key: CallCounts() for key in keys}
    for grain, first, last in ranges:
        # By every day and key that may be there: so each row is found by the primary key. Given as ranges, the whole table would be read.
        for key, tally in _sum_by(
            (*mine, Figure.grain == grain, Figure.day.in_(_row_days(grain, first, last)), Figure.key.in_(keys)), Figure.key
        ):
            held[key].add(tally)
    yield from held.items()


def _row_days(grain: str, first: date, last: date) -> list[date]:
    """The days that rows of this grain may have within."""
    days = [first + timedelta(days=number) for number in range((last - first).days + 1)]
    return days if grain == "day" else [day for day in days if day.day == 1]
