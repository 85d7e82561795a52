"""Working hours: days, midnight, holidays, other zones, the night when the clock jumps."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from bx24app.domain.settings import HoursBlock
from bx24app.domain.working_hours import DAYS, add_working_minutes, is_open, weekday_name

MOSCOW = "Europe/Moscow"
WEEK = (HoursBlock(days=("mon", "tue", "wed", "thu", "fri"), **{"from": "09:00", "to": "18:00"}),)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_plain_days() -> None:
    assert is_open(WEEK, at("2026-11-23 06:00"), MOSCOW)  # Monday, 09:00 in Moscow
    assert not is_open(WEEK, at("2026-11-23 05:59"), MOSCOW)
    assert not is_open(WEEK, at("2026-11-23 15:00"), MOSCOW)
    assert not is_open(WEEK, at("2026-11-22 10:00"), MOSCOW)


def test_without_hours_always_open() -> None:
    assert is_open((), at("2026-11-22 01:00"), MOSCOW)


def test_across_midnight() -> None:
    night = (HoursBlock(days=("fri",), **{"from": "20:00", "to": "04:00"}),)
    assert is_open(night, at("2026-11-27 22:00"), MOSCOW)  # Saturday 01:00 in Moscow
    assert not is_open(night, at("2026-11-28 01:30"), MOSCOW)
    assert not is_open(night, at("2026-11-26 22:00"), MOSCOW)


def test_holidays_and_another_zone() -> None:
    blocks = (
        HoursBlock(
            days=("mon",),
            timezone="Asia/Krasnoyarsk",
            holidays=(date(2026, 11, 30),),
            **{"from": "09:00", "to": "18:00"},
        ),
    )
    assert is_open(blocks, at("2026-11-23 02:30"), MOSCOW)
    assert not is_open(blocks, at("2026-11-30 02:30"), MOSCOW)


def test_the_night_when_the_clock_jumps() -> None:
    berlin = (HoursBlock(days=("sun",), timezone="Europe/Berlin", **{"from": "01:00", "to": "04:00"}),)
    assert is_open(berlin, at("2026-03-29 00:30"), MOSCOW)
    assert is_open(berlin, at("2026-03-29 01:30"), MOSCOW)  # 03:30 by the new time
    assert not is_open(berlin, at("2026-03-29 02:00"), MOSCOW)


def test_working_minutes() -> None:
    friday = at("2026-11-27 14:30")  # 17:30 in Moscow
    assert add_working_minutes(WEEK, friday, 60, MOSCOW) == at("2026-11-30 06:30")
    assert add_working_minutes((), friday, 60, MOSCOW) == at("2026-11-27 15:30")


def test_hours_that_never_come() -> None:
    never = (HoursBlock(days=(), **{"from": "09:00", "to": "18:00"}),)
    friday = at("2026-11-27 14:30")
    assert add_working_minutes(never, friday, 60, MOSCOW) == friday + timedelta(minutes=60)


def test_the_day_of_the_week_is_the_zones() -> None:
    assert weekday_name(at("2026-11-22 22:00"), MOSCOW) == "mon"
    assert weekday_name(at("2026-11-22 22:00"), "UTC") == "sun"


ZONES = ("Europe/Moscow", "Asia/Kamchatka", "Europe/Berlin", "America/New_York", "Asia/Tokyo")
CLOCKS = st.integers(0, 95).map(lambda quarter: f"{quarter // 4:02d}:{quarter % 4 * 15:02d}")
BLOCKS = st.builds(
    lambda days, zone, start, end: HoursBlock(days=tuple(days), timezone=zone, **{"from": start, "to": end}),
    st.sets(st.sampled_from(DAYS), min_size=1),
    st.sampled_from((None, *ZONES)),
    CLOCKS,
    CLOCKS,
).filter(lambda block: block.from_ != block.to)


@settings(max_examples=40, deadline=None)
@given(
    blocks=st.lists(BLOCKS, min_size=1, max_size=3),
    # Away from the hour that a clock has twice: whether a block ends in its first or second run is nobody's business.
    start=st.integers(0, 200 * 24 * 60).map(lambda minute: at("2026-03-20 00:00") + timedelta(minutes=minute)),
    minutes=st.integers(1, 900),
    zone=st.sampled_from(ZONES),
)
def test_minute_by_minute_it_is_the_same(blocks: list[HoursBlock], start: datetime, minutes: int, zone: str) -> None:
    hours, expected, left = tuple(blocks), start, minutes
    while left:
        left -= is_open(hours, expected, zone)
        expected += timedelta(minutes=1)
    assert add_working_minutes(hours, start, minutes, zone) == expected
