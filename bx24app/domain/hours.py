"""Working hours: is a line open at a moment, and when have so many working minutes passed."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from bx24app.domain.settings import Hours

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_STEPS = 366
"""Days ahead that are searched for the next open block."""


@lru_cache(maxsize=64)
def zone(name: str) -> ZoneInfo:
    """The IANA time zone."""
    return ZoneInfo(name)


def is_open(hours: tuple[Hours, ...], at: datetime, default_zone: str) -> bool:
    """Is it working time at `at` (aware)? Without any block: always."""
    return not hours or any(_covers(block, at, default_zone) for block in hours)


def _covers(block: Hours, at: datetime, default_zone: str) -> bool:
    local = at.astimezone(zone(block.timezone or default_zone))
    for back in (0, 1):  # a block that crosses midnight began yesterday
        day = (local - timedelta(days=back)).date()
        if _DAYS[day.weekday()] not in block.days or day in block.holidays:
            continue
        start, end = _minutes(block.from_), _minutes(block.to)
        length = end - start if end > start else end + 24 * 60 - start
        now = local.hour * 60 + local.minute + 24 * 60 * back
        if start <= now < start + length:
            return True
    return False


def _minutes(clock: str) -> int:
    hour, minute = clock.split(":")
    return int(hour) * 60 + int(minute)


def after_working(hours: tuple[Hours, ...], at: datetime, minutes: int, default_zone: str) -> datetime:
    """The moment by which `minutes` of working time have passed since `at`; plain minutes where the line is always open."""
    if not hours:
        return at + timedelta(minutes=minutes)
    moment, left = at.replace(second=0, microsecond=0), minutes
    for _ in range(_STEPS * 24 * 60):
        if left <= 0:
            return moment
        if is_open(hours, moment, default_zone):
            left -= 1
            moment += timedelta(minutes=1)
        else:
            moment = _next_open(hours, moment, default_zone)
    return at + timedelta(minutes=minutes)


def _next_open(hours: tuple[Hours, ...], at: datetime, default_zone: str) -> datetime:
    """The next minute that is working time; a year ahead at the most."""
    moment = at
    for _ in range(_STEPS * 24 * 60):
        moment += timedelta(minutes=1)
        if is_open(hours, moment, default_zone):
            return moment
    return moment
