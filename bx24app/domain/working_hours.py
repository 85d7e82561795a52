"""Working hours: is a line open at a moment, and when have so many working minutes passed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from bx24app.domain.settings import Day, HoursBlock

DAYS: tuple[Day, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
"""As `datetime.weekday` counts them."""
_SEARCH_DAYS = 400
"""Days that are searched for working time; whoever works less often than yearly gets plain minutes."""
_DAY_MINUTES = 24 * 60


@lru_cache(maxsize=64)
def load_zone(name: str) -> ZoneInfo:
    """The IANA time zone."""
    return ZoneInfo(name)


def weekday_name(at: datetime, zone_name: str) -> Day:
    """The day of the week of a moment (aware), there."""
    return DAYS[at.astimezone(load_zone(zone_name)).weekday()]


def is_open(hours: tuple[HoursBlock, ...], at: datetime, default_zone: str) -> bool:
    """Is it working time at `at` (aware)? Without any block: always. The wall clock of the block's zone decides."""
    return not hours or any(_covers_moment(block, at, default_zone) for block in hours)


def _covers_moment(block: HoursBlock, at: datetime, default_zone: str) -> bool:
    local = at.astimezone(load_zone(block.timezone or default_zone))
    start, end = _block_bounds(block)
    for back in (0, 1):  # a block that crosses midnight began yesterday
        now = local.hour * 60 + local.minute + _DAY_MINUTES * back
        if start <= now < end and _is_working_day(block, (local - timedelta(days=back)).date()):
            return True
    return False


def _block_bounds(block: HoursBlock) -> tuple[int, int]:
    """Minutes since midnight; the end is behind 24:00 where the block crosses midnight."""
    start, end = (int(clock[:2]) * 60 + int(clock[3:]) for clock in (block.from_, block.to))
    return start, end if end > start else end + _DAY_MINUTES


def _is_working_day(block: HoursBlock, day: date) -> bool:
    return DAYS[day.weekday()] in block.days and day not in block.holidays


def add_working_minutes(hours: tuple[HoursBlock, ...], at: datetime, minutes: int, default_zone: str) -> datetime:
    """The moment by which `minutes` of working time have passed since `at`; plain minutes where the line is always open."""
    left = timedelta(minutes=minutes)
    reached = at.astimezone(UTC)
    for start, end in _working_spans(hours, at, default_zone):
        start = max(start, reached)  # blocks may overlap: no minute counts twice
        if end <= start:
            continue
        if start + left <= end:
            return start + left
        left -= end - start
        reached = end
    return at + timedelta(minutes=minutes)


def _working_spans(hours: tuple[HoursBlock, ...], at: datetime, default_zone: str) -> Iterator[tuple[datetime, datetime]]:
    """Working time from the day before `at` on, in UTC, in the order of its beginnings."""
    first = at.astimezone(UTC).date() - timedelta(
        days=2
    )  # a zone may be a day behind, a block may have begun yesterday
    held: list[tuple[datetime, datetime]] = []
    for ahead in range(_SEARCH_DAYS if hours else 0):
        day = first + timedelta(days=ahead)
        for block in hours:
            if _is_working_day(block, day):
                here = load_zone(block.timezone or default_zone)
                start, end = _block_bounds(block)
                held.append((_to_moment(day, start, here), _to_moment(day, end, here)))
        held.sort()
        # What begins a day or more before the newest day cannot be overtaken by a block of a later day in another zone.
        certain = datetime(day.year, day.month, day.day, tzinfo=UTC) - timedelta(days=1)
        while held and held[0][0] < certain:
            yield held.pop(0)
    yield from held


def _to_moment(day: date, minutes: int, here: ZoneInfo) -> datetime:
    """A wall-clock time as a moment; one that the clock leaps over is the moment of the leap."""
    days, rest = divmod(minutes, _DAY_MINUTES)
    at = datetime(day.year, day.month, day.day, rest // 60, rest % 60, tzinfo=here) + timedelta(days=days)
    moment = at.astimezone(UTC)
    if moment.astimezone(here).replace(tzinfo=None) != at.replace(tzinfo=None):
        moment = at.replace(fold=1).astimezone(UTC)
        before = moment.astimezone(here).utcoffset()
        while moment.astimezone(here).utcoffset() == before:
            moment += timedelta(minutes=1)
    return moment
