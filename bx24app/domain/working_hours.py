"""Working hours of a line: is it open at a moment, and when has a number of working minutes passed. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from bx24app.domain.settings import Day, HoursBlock

DAYS: tuple[Day, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
"""As `datetime.weekday` counts them."""
_SEARCH_DAYS = 400
"""Days that are searched for working time; a line that works less than once a year gets plain minutes."""
_DAY_MINUTES = 24 * 60


@lru_cache(maxsize=64)
def load_zone(name: str) -> ZoneInfo:
    """The IANA time zone."""
    return ZoneInfo(name)


def weekday_name(at: datetime, zone_name: str) -> Day:
    """The day of the week of a moment (aware) in a zone."""
    return DAYS[at.astimezone(load_zone(zone_name)).weekday()]


def is_open(hours: tuple[HoursBlock, ...], at: datetime, default_zone: str) -> bool:
    """Is it working time at `at` (aware), by the clock of each block's zone? Without any block: always."""
    return not hours or any(_covers_moment(block, at, default_zone) for block in hours)


def _covers_moment(block: HoursBlock, at: datetime, default_zone: str) -> bool:
    local = at.astimezone(load_zone(block.timezone or default_zone))
    start, end = _block_bounds(block)
    for back in (0, 1):  # a block that crosses midnight began yesterday
        minutes = local.hour * 60 + local.minute + _DAY_MINUTES * back
        if start <= minutes < end and _is_working_day(block, (local - timedelta(days=back)).date()):
            return True
    return False


def _block_bounds(block: HoursBlock) -> tuple[int, int]:
    """Minutes since midnight; the end is after 24:00 if the block crosses midnight."""
    start, end = (int(clock[:2]) * 60 + int(clock[3:]) for clock in (block.from_, block.to))
    return start, end if end > start else end + _DAY_MINUTES


def _is_working_day(block: HoursBlock, day: date) -> bool:
    return DAYS[day.weekday()] in block.days and day not in block.holidays


def add_working_minutes(hours: tuple[HoursBlock, ...], at: datetime, minutes: int, default_zone: str) -> datetime:
    """The moment at which `minutes` of working time have passed since `at`; without hours, plain minutes."""
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


def _working_spans(
    hours: tuple[HoursBlock, ...], at: datetime, default_zone: str
) -> Iterator[tuple[datetime, datetime]]:
    """Working time from the day before `at` on, in UTC, ordered by its start."""
    # A zone may be a day behind, and a block may have begun the day before.
    first = at.astimezone(UTC).date() - timedelta(days=2)
    spans: list[tuple[datetime, datetime]] = []
    for ahead in range(_SEARCH_DAYS if hours else 0):
        day = first + timedelta(days=ahead)
        for block in hours:
            if _is_working_day(block, day):
                zone = load_zone(block.timezone or default_zone)
                start, end = _block_bounds(block)
                spans.append((_to_moment(day, start, zone), _to_moment(day, end, zone)))
        spans.sort()
        # No block of a later day, in whichever zone, begins before what began a day or more before the newest day.
        certain = datetime(day.year, day.month, day.day, tzinfo=UTC) - timedelta(days=1)
        while spans and spans[0][0] < certain:
            yield spans.pop(0)
    yield from spans


def _to_moment(day: date, minutes: int, zone: ZoneInfo) -> datetime:
    """A wall-clock time as a moment; a time that the clock skips is the moment of the clock change."""
    days, rest = divmod(minutes, _DAY_MINUTES)
    at = datetime(day.year, day.month, day.day, rest // 60, rest % 60, tzinfo=zone) + timedelta(days=days)
    moment = at.astimezone(UTC)
    if moment.astimezone(zone).replace(tzinfo=None) != at.replace(tzinfo=None):
        moment = at.replace(fold=1).astimezone(UTC)
        before = moment.astimezone(zone).utcoffset()
        while moment.astimezone(zone).utcoffset() == before:
            moment += timedelta(minutes=1)
    return moment
