"""Keeps the statistics counted: days whose calls changed are counted again in the background, so that a page need not
count a million.

A day is always counted as a whole, so counting it twice, late or after a crash gives the same result. The scheduler
calls `refresh_counts`; `report` reads the rows.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import redis
from sqlalchemy import Select, delete, func, insert, literal, or_, select, union

from bx24app import settings
from bx24app.calls.statistics.counts import CALLBACK_WITHIN, KeyedCounts, count_day, local_seconds
from bx24app.domain import statistics
from bx24app.infra.logs import get_logger
from bx24app.infra.runtime import runtime
from bx24app.models import Call, Figure, FigureMark, Portal, Recording, db, utcnow

_log = get_logger(__name__)

OVERLAP = timedelta(minutes=2)
"""A change has the time of its writing but becomes visible at its commit, so the last minutes are read twice."""
ALL_PORTALS = 0
"""Stands for all portals in `FigureMark`."""
MONTHLY_KINDS = ("line", "person")
"""Kinds that are stored by month too, for the portal and each PBX: they have more rows a day than the others."""
MEASURES = tuple(name for name in statistics.CallCounts.__slots__)
_LOCK_SECONDS = 600


def refresh_counts() -> None:
    """Count the days whose calls or recordings changed since the last run; in the first run, all days."""
    try:
        lock = runtime().redis.lock("figures", timeout=_LOCK_SECONDS, blocking=False)
        if not lock.acquire():
            return  # another process is counting
    except redis.RedisError as error:
        _log.warning("statistics not counted, redis does not answer", error=type(error).__name__)
        return
    try:
        _refresh_changed()
    finally:
        if lock.owned():
            lock.release()


def _refresh_changed() -> None:
    now = utcnow()
    mark = db.session.get(FigureMark, ALL_PORTALS)
    since = mark.at - OVERLAP if mark is not None else datetime(1970, 1, 1, tzinfo=UTC)
    changed = union(
        select(Call.portal_id).where(Call.updated_at > since),
        select(Recording.portal_id).where(Recording.attached_at > since),
    )  # fmt: skip
    portals = sorted(db.session.scalars(changed))
    db.session.rollback()
    for portal_id in portals:
        _refresh_portal(portal_id, since)
    db.session.merge(FigureMark(portal_id=ALL_PORTALS, at=now, zone=""))
    db.session.commit()


def _refresh_portal(portal_id: int, since: datetime) -> None:
    portal = db.session.get(Portal, portal_id)
    if portal is None:
        db.session.rollback()
        return
    zone = ZoneInfo(settings.current(portal).portal.timezone)
    mark = db.session.get(FigureMark, portal_id)
    is_full = mark is None or mark.zone != zone.key
    days = _changed_days(portal_id, None if is_full else since, zone)
    if is_full and days:  # days before the oldest stored call cannot be counted again
        db.session.execute(delete(Figure).where(Figure.portal_id == portal_id, Figure.day >= min(days)))
    db.session.commit()
    for day in sorted(days):
        store_day(portal_id, day, zone)
    _store_months(portal_id, days, utcnow().astimezone(zone).date())
    db.session.merge(FigureMark(portal_id=portal_id, at=utcnow(), zone=zone.key))
    db.session.commit()


def _changed_days(portal_id: int, since: datetime | None, zone: ZoneInfo) -> set[date]:
    """Days to count again. A callback changes the counts of the day of the missed call, which may be the day before."""
    mine = Call.portal_id == portal_id
    bounds = db.session.execute(select(func.min(Call.started_at), func.max(Call.started_at)).where(mine)).one()
    first, last = tuple[Any, Any](bounds)
    if first is None:
        return set()
    number = (local_seconds(Call.started_at, statistics.utc_offsets(first, last, zone)) // 86400).label("number")
    calls = select(number).where(mine)
    recordings = select(number).join(Recording, Recording.call_id == Call.id).where(mine)
    if since is None:
        return _distinct_days(calls)
    changed = _distinct_days(calls.where(Call.updated_at > since))
    before = {day - timedelta(days=number + 1) for day in changed for number in range(CALLBACK_WITHIN.days)}
    attached = recordings.where(Recording.portal_id == portal_id, Recording.attached_at > since)
    return changed | before | _distinct_days(attached)


def _distinct_days(numbers: Select[Any]) -> set[date]:
    """The days with these numbers since 1970."""
    return {date(1970, 1, 1) + timedelta(days=int(number)) for number in db.session.scalars(numbers.distinct())}


def store_day(portal_id: int, day: date, zone: ZoneInfo) -> None:
    """Count one day of a portal and replace its rows, in one transaction."""
    rows: list[dict[str, Any]] = [
        {"portal_id": portal_id, "grain": "day", "kind": kind, "day": day, "key": key, **asdict(counts)}
        for kind, key, _, counts in _merge_counts(count_day(portal_id, day, zone))
    ]
    db.session.execute(delete(Figure).where(Figure.portal_id == portal_id, Figure.grain == "day", Figure.day == day))
    if rows:
        db.session.execute(insert(Figure), rows)
    db.session.commit()


def _merge_counts(rows: Iterable[KeyedCounts]) -> list[KeyedCounts]:
    """Add up the counts of the same kind, key and day."""
    merged: dict[tuple[str, str, date], statistics.CallCounts] = {}
    for kind, key, day, counts in rows:
        merged.setdefault((kind, key, day), statistics.CallCounts()).add(counts)
    return [(*name, counts) for name, counts in merged.items()]


def _store_months(portal_id: int, days: set[date], today: date) -> None:
    """Store the finished months of the changed days, each as the sum of its days."""
    for first in sorted({day.replace(day=1) for day in days} - {today.replace(day=1)}):
        last = statistics.month_end(first)
        old = (Figure.portal_id == portal_id, Figure.grain == "month", Figure.day == first)
        db.session.execute(delete(Figure).where(*old))
        columns = [getattr(Figure, name) for name in MEASURES]
        by_month = or_(*(Figure.kind.startswith(kind) for kind in MONTHLY_KINDS))
        summed = (
            select(
                literal(portal_id), literal("month"), Figure.kind, literal(first, Figure.day.type), Figure.key,
                *(func.sum(column) for column in columns),
            )
            .where(Figure.portal_id == portal_id, Figure.grain == "day", by_month, Figure.day.between(first, last))
            .group_by(Figure.kind, Figure.key)
        )  # fmt: skip
        names = ["portal_id", "grain", "kind", "day", "key", *MEASURES]
        db.session.execute(insert(Figure).from_select(names, summed))
        db.session.commit()
