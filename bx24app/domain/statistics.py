"""Statistics of calls as plain numbers: counts that add up, durations by bucket, periods by day, week and month."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

Granularity = Literal["day", "week", "month"]
BUCKET_BOUNDS = (
    1, 2, 3, 5, 7, 10, 15, 20, 30, 45, 60, 90, 120, 180, 240, 300, 450, 600, 900, 1200, 1800, 2700, 3600, 5400, 7200,
    10800, 14400, 21600, 28800, 43200, 86400,
)  # fmt: skip
"""Upper ends, in seconds, of the duration buckets: narrow enough for percentiles, few enough to store."""


@dataclass(slots=True)
class CallCounts:
    """Calls with clients, counted.

    `waited` calls were answered and came in; `wait` is the sum of their seconds until the answer.
    """

    calls: int = 0
    incoming: int = 0
    answered: int = 0
    missed: int = 0
    talk: int = 0
    waited: int = 0
    wait: int = 0

    def add(self, other: CallCounts) -> None:
        """Count the other's calls as well."""
        self.calls += other.calls
        self.incoming += other.incoming
        self.answered += other.answered
        self.missed += other.missed
        self.talk += other.talk
        self.waited += other.waited
        self.wait += other.wait

    @property
    def missed_share(self) -> float | None:
        """Of the incoming calls; None: there were none."""
        return self.missed / self.incoming if self.incoming else None

    @property
    def mean_talk(self) -> float | None:
        """Seconds of an answered call."""
        return self.talk / self.answered if self.answered else None

    @property
    def mean_wait(self) -> float | None:
        """Seconds until an incoming call was answered."""
        return self.wait / self.waited if self.waited else None


@dataclass(slots=True)
class Distribution:
    """Durations by bucket: index into `BUCKET_BOUNDS` (one behind the last: longer) -> how many."""

    buckets: dict[int, int] = field(default_factory=dict)

    def add(self, bucket: int, count: int) -> None:
        """Count durations of one bucket."""
        self.buckets[bucket] = self.buckets.get(bucket, 0) + count

    @property
    def count(self) -> int:
        return sum(self.buckets.values())

    def percentile(self, share: float) -> float | None:
        """Seconds within which `share` (0..1) of the durations lie, linear within a bucket; None: there are no
        durations.
        """
        wanted, seen = share * self.count, 0
        for bucket, count in sorted(self.buckets.items()):
            if count and seen + count >= wanted:
                low = BUCKET_BOUNDS[bucket - 1] if bucket else 0
                high = BUCKET_BOUNDS[bucket] if bucket < len(BUCKET_BOUNDS) else low
                return low + (high - low) * max(0.0, wanted - seen) / count
            seen += count
        return None


@dataclass(slots=True)
class CallStatistics:
    """Everything that the statistics of a period show. Days and hours are the portal's own."""

    total: CallCounts = field(default_factory=CallCounts)
    days: dict[date, CallCounts] = field(default_factory=dict)
    hours: dict[tuple[int, int], CallCounts] = field(default_factory=dict)
    """(weekday, Monday 0; hour) -> counts."""
    lines: dict[str, CallCounts] = field(default_factory=dict)
    """`<pbx key>:<line number>` -> counts."""
    people: dict[int, CallCounts] = field(default_factory=dict)
    """User who talked, or who was responsible for a missed call -> counts."""
    wait_times: Distribution = field(default_factory=Distribution)
    """Seconds until an incoming call was answered."""
    recording_lags: Distribution = field(default_factory=Distribution)
    """Seconds from Mango's notice until the recording was in Bitrix24."""
    callback_times: Distribution = field(default_factory=Distribution)
    """Seconds from a missed call until the client was called back."""
    missed_clients: int = 0
    """Missed calls whose client could be called back; `callback_share` is a share of them."""

    def add_count(self, kind: str, key: str, day: date, counts: CallCounts) -> None:
        """Add one stored row. `kind`: hour, line, person; or wait, lag, back, missed, whose number is in `calls`."""
        if kind == "hour":
            self.add_day(day, counts)
            self.add_hour(day.weekday(), int(key), counts)
        elif kind == "line":
            self.lines.setdefault(key, CallCounts()).add(counts)
        elif kind == "person":
            self.people.setdefault(int(key), CallCounts()).add(counts)
        elif kind == "missed":
            self.missed_clients += counts.calls
        else:
            durations = {"wait": self.wait_times, "lag": self.recording_lags, "back": self.callback_times}[kind]
            durations.add(int(key), counts.calls)

    def add_day(self, day: date, counts: CallCounts) -> None:
        """Add counts to a day and to the total; hours are added by `add_hour`."""
        self.total.add(counts)
        self.days.setdefault(day, CallCounts()).add(counts)

    def add_hour(self, weekday: int, hour: int, counts: CallCounts) -> None:
        """Add counts to an hour of the day on a weekday (Monday is 0)."""
        self.hours.setdefault((weekday, hour), CallCounts()).add(counts)

    @property
    def callback_share(self) -> float | None:
        """Of the missed calls; None: there were none."""
        return self.callback_times.count / self.missed_clients if self.missed_clients else None


def percentile(values: Sequence[float], share: float) -> float | None:
    """The value below which `share` (0..1) of the values lie, by the nearest rank; None: there are no values.

    >>> percentile([3.0, 1.0, 2.0], 0.5), percentile([], 0.5)
    (2.0, None)
    """
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else None


def kind_for_pbx(kind: str, pbx: str) -> str:
    """The kind of the stored rows of one PBX (its key); with an empty key, of the whole portal.

    >>> kind_for_pbx("hour", "moscow"), kind_for_pbx("hour", "")
    ('hour@moscow', 'hour')
    """
    return f"{kind}@{pbx}" if pbx else kind


def period_start(day: date, granularity: Granularity) -> date:
    """The first day of the day, the week (Monday) or the month that `day` lies in."""
    if granularity == "week":
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if granularity == "month" else day


def counts_by_period(
    days: dict[date, CallCounts], since: date, until: date, granularity: Granularity
) -> list[tuple[date, CallCounts]]:
    """Counts by day, week or month from `since` to `until`, both included, empty periods too."""
    periods: dict[date, CallCounts] = {}
    for day in each_day(since, until):
        counts = periods.setdefault(period_start(day, granularity), CallCounts())
        if day in days:
            counts.add(days[day])
    return list(periods.items())


def each_day(since: date, until: date) -> Iterator[date]:
    """From `since` to `until`, both included."""
    for number in range((until - since).days + 1):
        yield since + timedelta(days=number)


def day_start(day: date, zone: ZoneInfo) -> datetime:
    """The moment (UTC) at which a day begins there."""
    return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)


def utc_offsets(since: datetime, until: datetime, zone: ZoneInfo) -> list[tuple[datetime, int]]:
    """(valid from, seconds east of UTC), oldest first: one pair, and one more for every change of the clocks in
    between.
    """
    offsets = [(since, _offset_seconds(since, zone))]
    step, at = timedelta(days=7), since
    while at < until:
        later = min(at + step, until)
        if _offset_seconds(later, zone) != offsets[-1][1]:
            offsets.append((_find_clock_change(at, later, zone), _offset_seconds(later, zone)))
        at = later
    return offsets


def _find_clock_change(before: datetime, after: datetime, zone: ZoneInfo) -> datetime:
    """The minute in which the clocks were changed between two moments of different offset."""
    old = _offset_seconds(before, zone)
    while after - before > timedelta(minutes=1):
        middle = before + (after - before) / 2
        before, after = (middle, after) if _offset_seconds(middle, zone) == old else (before, middle)
    return after.replace(second=0, microsecond=0)


def _offset_seconds(at: datetime, zone: ZoneInfo) -> int:
    return int((at.astimezone(zone).utcoffset() or timedelta(0)).total_seconds())


def month_end(day: date) -> date:
    """The last day of its month."""
    return (day.replace(day=28) + timedelta(days=4)).replace(day=1) - timedelta(days=1)


def split_period(since: date, until: date, today: date) -> list[tuple[Literal["day", "month"], date, date]]:
    """Split a period into finished months and the days around them: (granularity, first, last); each day is in exactly
    one.
    """
    first = since if since.day == 1 else month_end(since) + timedelta(days=1)
    end = min(until, today.replace(day=1) - timedelta(days=1))
    last = end if end == month_end(end) else end.replace(day=1) - timedelta(days=1)
    if first > last:
        return [("day", since, until)]
    ranges: list[tuple[Literal["day", "month"], date, date]] = [("month", first, last.replace(day=1))]
    if since < first:
        ranges.append(("day", since, first - timedelta(days=1)))
    if until > last:
        ranges.append(("day", last + timedelta(days=1), until))
    return ranges
