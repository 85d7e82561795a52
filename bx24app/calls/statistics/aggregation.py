"""Keeps the statistics counted: days whose calls changed are counted again in the background, so that a page need not
count a million.

A day is always counted as a whole, so counting it twice, late or after a crash gives the same result. A portal is
counted in passes, from its oldest changed day to the newest; each counted day is remembered with its rows, so that a
run needs no end: the next one continues behind that day. Portals take turns, and a run ends by itself after a minute.
The scheduler calls `refresh_counts`; `report` reads the rows.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import redis
from sqlalchemy import delete, select, union, update

from bx24app import settings
from bx24app.bitrix24.request_deadline import seconds_left
from bx24app.calls.statistics import stored_days
from bx24app.calls.statistics.changed_days import find_changed_days
from bx24app.infra import leases
from bx24app.infra.logs import get_logger
from bx24app.models import Call, Figure, FigureMark, Portal, Recording, db, portal_loop, utcnow

_log = get_logger(__name__)

OVERLAP = timedelta(minutes=2)
"""A change has the time of its writing but becomes visible at its commit, so the last minutes are read twice."""
ALL_PORTALS = 0
"""Stands for all portals in `FigureMark`."""
NEVER = datetime(1970, 1, 1, tzinfo=UTC)
"""In a portal's mark: nothing of it is counted to the end yet."""
RUN_SECONDS, PORTAL_SECONDS = 60.0, 15.0
"""How long a run counts, and how long it counts one portal."""
_IDS_PER_STATEMENT = 500


def refresh_counts() -> None:
    """Continue to count the days whose calls or recordings changed; of a portal that is new, all days."""
    try:
        with leases.hold_lease(leases.STATISTICS, wait_seconds=0, at_most=2 * RUN_SECONDS) as is_mine:
            if is_mine:  # else another process is counting
                _note_changes()
                portal_loop.for_each(
                    "figures", _due_portals(), _continue_portal, claim=_claim_portal, seconds=RUN_SECONDS,
                    portal_seconds=PORTAL_SECONDS,
                )  # fmt: skip
    except redis.RedisError as error:
        _log.warning("statistics not counted, redis does not answer", error=type(error).__name__)


def _note_changes() -> None:
    """Write into the portals' marks that something changed since the last run."""
    now = utcnow()
    mark = db.session.get(FigureMark, ALL_PORTALS)
    since = mark.at - OVERLAP if mark is not None else NEVER
    changed = union(
        select(Call.portal_id).where(Call.updated_at > since),
        select(Recording.portal_id).where(Recording.attached_at > since),
    )  # fmt: skip
    ids = sorted(set(db.session.scalars(changed)))
    known = set(db.session.scalars(select(FigureMark.portal_id)))
    db.session.add_all(FigureMark(portal_id=new, at=NEVER, zone="") for new in ids if new not in known)
    db.session.flush()
    for start in range(0, len(ids), _IDS_PER_STATEMENT):
        chunk = FigureMark.portal_id.in_(ids[start : start + _IDS_PER_STATEMENT])
        db.session.execute(update(FigureMark).where(chunk).values(changed_at=now))
    db.session.merge(FigureMark(portal_id=ALL_PORTALS, at=now, zone=""))
    db.session.commit()


def _due_portals() -> list[int]:
    """Portals with changes that are not counted, those that have waited longest for their turn first."""
    due = select(FigureMark.portal_id).where(FigureMark.portal_id != ALL_PORTALS, FigureMark.changed_at > FigureMark.at)
    ids = list(db.session.scalars(due.order_by(FigureMark.tried_at.asc().nulls_first(), FigureMark.portal_id)))
    db.session.rollback()
    return ids


def _claim_portal(portal_id: int) -> bool:
    db.session.execute(update(FigureMark).where(FigureMark.portal_id == portal_id).values(tried_at=utcnow()))
    db.session.commit()
    return True


def _continue_portal(portal_id: int) -> None:
    """Begin a pass or continue one, until it is done or the portal's time in this run is over."""
    portal = db.session.get(Portal, portal_id)
    if portal is None:
        db.session.rollback()
        return
    zone = ZoneInfo(settings.current(portal).portal.timezone)
    mark = db.session.get_one(FigureMark, portal_id, populate_existing=True)
    if mark.zone != zone.key:  # new, or its days are others now: everything is counted again
        mark.at, mark.zone, mark.began_at, mark.day = NEVER, zone.key, None, None
    days = find_changed_days(portal_id, None if mark.at == NEVER else mark.at - OVERLAP, zone)
    if mark.began_at is None:
        mark.began_at = utcnow()
        if mark.at == NEVER and days:  # days before the oldest stored call cannot be counted again
            db.session.execute(delete(Figure).where(Figure.portal_id == portal_id, Figure.day >= min(days)))
    began_at, counted = mark.began_at, mark.day
    db.session.commit()
    remaining = sorted(day for day in days if counted is None or day > counted)
    if _count_days(portal_id, zone, remaining):
        # Changes since the pass began are counted by the next one.
        _set_mark(portal_id, at=began_at, began_at=None, day=None)


def _count_days(portal_id: int, zone: ZoneInfo, days: list[date]) -> bool:
    """Count the days, and each finished month with the last of its days; False: the time was over first."""
    today = utcnow().astimezone(zone).date()
    for day, following in zip(days, [*days[1:], None], strict=True):
        if seconds_left(PORTAL_SECONDS) <= 0:
            return False
        month = day.replace(day=1)
        stored_days.store_day(portal_id, day, zone)
        if month != today.replace(day=1) and (following is None or following.replace(day=1) != month):
            stored_days.store_month(portal_id, month)
        _set_mark(portal_id, day=day)
    return True


def _set_mark(portal_id: int, **values: date | datetime | None) -> None:
    """Change the portal's mark, and commit it with the rows that it speaks of."""
    db.session.execute(update(FigureMark).where(FigureMark.portal_id == portal_id).values(**values))
    db.session.commit()
