"""Working hours: days, midnight, holidays, other zones, the night when the clock jumps."""

from __future__ import annotations

from datetime import UTC, date, datetime

from bx24app.domain.hours import after_working, is_open
from bx24app.domain.settings import Hours

MOSCOW = "Europe/Moscow"
WEEK = (Hours(days=("mon", "tue", "wed", "thu", "fri"), **{"from": "09:00", "to": "18:00"}),)


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
    night = (Hours(days=("fri",), **{"from": "20:00", "to": "04:00"}),)
    assert is_open(night, at("2026-11-27 22:00"), MOSCOW)  # Saturday 01:00 in Moscow
    assert not is_open(night, at("2026-11-28 01:30"), MOSCOW)
    assert not is_open(night, at("2026-11-26 22:00"), MOSCOW)


def test_holidays_and_another_zone() -> None:
    blocks = (
        Hours(
            days=("mon",),
            timezone="Asia/Krasnoyarsk",
            holidays=(date(2026, 11, 30),),
            **{"from": "09:00", "to": "18:00"},
        ),
    )
    assert is_open(blocks, at("2026-11-23 02:30"), MOSCOW)
    assert not is_open(blocks, at("2026-11-30 02:30"), MOSCOW)


def test_the_night_when_the_clock_jumps() -> None:
    berlin = (Hours(days=("sun",), timezone="Europe/Berlin", **{"from": "01:00", "to": "04:00"}),)
    assert is_open(berlin, at("2026-03-29 00:30"), MOSCOW)
    assert is_open(berlin, at("2026-03-29 01:30"), MOSCOW)  # 03:30 by the new time
    assert not is_open(berlin, at("2026-03-29 02:00"), MOSCOW)


def test_working_minutes() -> None:
    friday = at("2026-11-27 14:30")  # 17:30 in Moscow
    assert after_working(WEEK, friday, 60, MOSCOW) == at("2026-11-30 06:30")
    assert after_working((), friday, 60, MOSCOW) == at("2026-11-27 15:30")
