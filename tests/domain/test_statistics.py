"""Periods, bands and sums of the statistics."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bx24app.domain import statistics
from bx24app.domain.statistics import BUCKET_BOUNDS, CallCounts, CallStatistics, Distribution

DAYS = st.dates(date(2023, 1, 1), date(2027, 12, 31))


@given(DAYS, st.integers(0, 800), st.integers(-40, 900))
def test_a_period_is_covered_once(since: date, length: int, ahead: int) -> None:
    until, today = since + timedelta(days=length), since + timedelta(days=ahead)
    found: list[date] = []
    for grain, first, last in statistics.split_period(since, until, today):
        if grain == "day":
            found += statistics.each_day(first, last)
            continue
        month = first
        while month <= last:
            assert month.day == 1
            assert statistics.month_end(month) < today, "a month that is not over is not kept"
            found += statistics.each_day(month, statistics.month_end(month))
            month = statistics.month_end(month) + timedelta(days=1)
    assert sorted(found) == list(statistics.each_day(since, until))


@given(st.lists(st.integers(0, 86400), min_size=1), st.floats(0.05, 1))
def test_a_percentile_lies_in_its_band(durations: list[int], share: float) -> None:
    spread = Distribution()
    for seconds in durations:
        spread.add(next(band for band, end in enumerate(BUCKET_BOUNDS) if seconds <= end), 1)
    found = spread.percentile(share)
    exact = sorted(durations)[max(0, -(-int(share * 1e9 * len(durations)) // 10**9) - 1)]
    band = next(band for band, end in enumerate(BUCKET_BOUNDS) if exact <= end)
    assert found is not None
    assert (BUCKET_BOUNDS[band - 1] if band else 0) <= found <= BUCKET_BOUNDS[min(band + 1, len(BUCKET_BOUNDS) - 1)]


def test_no_durations_have_no_percentile_and_too_long_ones_the_last_end() -> None:
    spread = Distribution()
    assert spread.percentile(0.5) is None
    spread.add(len(BUCKET_BOUNDS), 3)
    assert spread.percentile(0.5) == BUCKET_BOUNDS[-1]


@pytest.mark.parametrize(
    ("grain", "first"), [("day", date(2026, 3, 11)), ("week", date(2026, 3, 9)), ("month", date(2026, 3, 1))]
)
def test_days_are_put_together(grain: statistics.Granularity, first: date) -> None:
    assert statistics.period_start(date(2026, 3, 11), grain) == first
    days = {
        date(2026, 3, 11): CallCounts(calls=2),
        date(2026, 3, 12): CallCounts(calls=3),
        date(2025, 1, 1): CallCounts(calls=99),
    }
    rows = statistics.counts_by_period(days, date(2026, 3, 10), date(2026, 3, 31), grain)
    assert sum(tally.calls for _, tally in rows) == 5
    assert len(rows) == {"day": 22, "week": 4, "month": 1}[grain]


def test_clocks_that_change_within_the_period() -> None:
    zone = ZoneInfo("Europe/Berlin")
    since, until = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 12, 31, tzinfo=UTC)
    found = statistics.utc_offsets(since, until, zone)
    assert [offset for _, offset in found] == [3600, 7200, 3600]
    assert [at for at, _ in found[1:]] == [datetime(2026, 3, 29, 1, tzinfo=UTC), datetime(2026, 10, 25, 1, tzinfo=UTC)]
    assert len(statistics.utc_offsets(since, until, ZoneInfo("Europe/Moscow"))) == 1


def test_cells_add_up() -> None:
    found = CallStatistics()
    found.add_count(
        "hour", "9", date(2026, 3, 9), CallCounts(calls=2, incoming=2, missed=1, answered=1, talk=30, waited=1, wait=4)
    )
    found.add_count(
        "hour", "9", date(2026, 3, 16), CallCounts(calls=1, incoming=1, answered=1, talk=10, waited=1, wait=6)
    )
    found.add_count("missed", "", date(2026, 3, 9), CallCounts(calls=1))
    found.add_count("back", "3", date(2026, 3, 9), CallCounts(calls=1))
    assert (found.total.missed_share, found.total.mean_talk, found.total.mean_wait) == (1 / 3, 20, 5)
    assert found.hours[0, 9].calls == 3, "both were Mondays"
    assert found.callback_share == 1
    empty = CallStatistics()
    assert (empty.total.missed_share, empty.total.mean_talk, empty.total.mean_wait, empty.callback_share) == (None,) * 4


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [([], 0.5, None), ([4.0], 0.95, 4.0), ([3.0, 1.0, 2.0], 0.5, 2.0), ([1.0, 2.0], 1.0, 2.0), ([0.2, 1.0], 0.5, 1.0)],
)
def test_a_percentile_is_one_of_the_values(values: list[float], share: float, expected: float | None) -> None:
    assert statistics.percentile(values, share) == expected
