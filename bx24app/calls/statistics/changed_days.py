"""Which days of a portal have to be counted again, since calls or recordings of theirs changed."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Select, func, select

from bx24app.calls.statistics.counts import CALLBACK_WITHIN, local_seconds
from bx24app.domain import statistics
from bx24app.models import Call, Recording, db


def find_changed_days(portal_id: int, since: datetime | None, zone: ZoneInfo) -> set[date]:
    """Days to count again; without `since` all days that have calls.

    A callback changes the counts of the day of the missed call, which may be the day before.
    """
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
