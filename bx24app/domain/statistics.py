"""Statistics of calls as plain figures: counts that add up, waiting times by bands, periods by day, week and month. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

Granularity = Literal["day", "week", "month"]
BUCKET_BOUNDS = (
    1, 2, 3, 5, 7, 10, 15, 20, 30, 45, 60, 90, 120, 180, 240, 300, 450, 600, 900, 1200, 1800, 2700, 3600, 5400, 7200, 10800,
    14400, 21600, 28800, 43200, 86400,
)  # fmt: skip
"""Upper ends, in seconds, of the bands that durations are counted in: narrow enough for percentiles that people read, few enough to be kept."""


@dataclass(slots=True)
class CallCounts:
    """Calls with clients, counted. `waited` calls were answered and came in; `wait` is the sum of their seconds until the answer."""

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
    """Durations by band: index into `BANDS` (one behind the last: longer) -> how many."""

    buckets: dict[int, int] = field(default_factory=dict)

    def add(self, band: int, count: int) -> None:
        """Count durations of one band."""
        self.buckets[band] = self.buckets.get(band, 0) + count

    @property
    def count(self) -> int:
        return sum(self.buckets.values())

    def percentile(self, share: float) -> float | None:
        """Seconds within which `share` (0..1) of the durations lie, in a straight line within a band; None: there is none."""
        wanted, seen = share * self.count, 0
        for band, count in sorted(self.buckets.items()):
            if count and seen + count >= wanted:
                low = BUCKET_BOUNDS[band - 1] if band else 0
                high = BUCKET_BOUNDS[band] if band < len(BUCKET_BOUNDS) else low
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
    """Who talked, or who a missed call was left to -> counts."""
    wait_times: Distribution = field(default_factory=Distribution)
    """Until an incoming call was answered."""
    recording_lags: Distribution = field(default_factory=Distribution)
    """From Mango's notice until the recording was in Bitrix24."""
    callback_times: Distribution = field(default_factory=Distribution)
    """From a missed call until the client was called back."""
    missed_clients: int = 0
    """Missed calls whose client could be called back: the whole of which `backs` is a share."""

    def add_count(self, kind: str, key: str, day: date, tally: CallCounts) -> None:
        """Count one cell as the tables keep it. `kind`: hour, line, person, and with their count in `calls`: wait, lag, back, missed."""
        if kind == "hour":
            self.add_day(day, tally)
            self.add_hour(day.weekday(), int(key), tally)
        elif kind == "line":
            self.lines.setdefault(key, CallCounts()).add(tally)
        elif kind == "person":
            self.people.setdefault(int(key), CallCounts()).add(tally)
        elif kind == "missed":
            self.missed_clients += tally.calls
        else:
            {"wait": self.wait_times, "lag": self.recording_lags, "back": self.callback_times}[kind].add(int(key), tally.calls)

    def add_day(self, day: date, tally: CallCounts) -> None:
        """Count calls of a day; hours and weekdays are counted by themselves."""
        self.total.add(tally)
        self.days.setdefault(day, CallCounts()).add(tally)

    def add_hour(self, weekday: int, hour: int, tally: CallCounts) -> None:
        """Count calls of an hour of the day on a weekday (Monday 0)."""
        self.hours.setdefault((weekday, hour), CallCounts()).add(tally)

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
    """The kind under which the cells of one PBX (its key) are kept; of the whole portal where the key is empty.

    >>> kind_of("hour", "moscow"), kind_of("hour", "")
    ('hour@moscow', 'hour')
    """
    return f"{kind}@{pbx}" if pbx else kind


def period_start(day: date, grain: Granularity) -> date:
    """The first day of the day, the week (Monday) or the month that `day` lies in."""
    if grain == "week":
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if grain == "month" else day


def counts_by_period(days: dict[date, CallCounts], since: date, until: date, grain: Granularity) -> list[tuple[date, CallCounts]]:
    """Counts by day, week or month from `since` to `until` (both within), empty ones too."""
    found: dict[date, CallCounts] = {}
    for day in each_day(since, until):
        tally = found.setdefault(period_start(day, grain), CallCounts())
        if day in days:
            tally.add(days[day])
    return list(found.items())


def each_day(since: date, until: date) -> Iterator[date]:
    """From `since` to `until`, both within."""
    for number in range((until - since).days + 1):
        yield since + timedelta(days=number)


def day_start(day: date, zone: ZoneInfo) -> datetime:
    """The moment (UTC) at which a day begins there."""
    return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)


def utc_offsets(since: datetime, until: datetime, zone: ZoneInfo) -> list[tuple[datetime, int]]:
    """(from when on, seconds east of UTC), oldest first: one pair, and one more for every change of the clocks in between."""
    found = [(since, _offset_seconds(since, zone))]
    step, at = timedelta(days=7), since
    while at < until:
        later = min(at + step, until)
        if _offset_seconds(later, zone) != found[-1][1]:
            found.append((_find_clock_change(at, later, zone), _offset_seconds(later, zone)))
        at = later
    return found


def _find_clock_change(before: datetime, after: datetime, zone: ZoneInfo) -> datetime:
    """The minute in which the clocks were changed between two moments of different offset."""
    old = _offset_seconds(before, zone)
    while after - before > timedelta(minutes=1):
        middle = before + (after - before) / 2
        before, after = (middle, after) if _offset_seconds(middle, zone) == old else (before, middle)
    return after.replace(second=0, microsecond=0)


def _offset_seconds(at: datetime, zone: ZoneInfo) -> int:
    return int((at.astimezone(zone).utcoffset() or timedelta(0)).total_seconds())


def top_rows(rows: Iterable[tuple[str, CallCounts]], most: int) -> list[tuple[str, CallCounts]]:
    """Those with the most calls, at most so many."""
    return sorted(rows, key=lambda row: (-row[1].calls, row[0]))[:most]


def month_end(day: date) -> date:
    """The last day of its month."""
    return (day.replace(day=28) + timedelta(days=4)).replace(day=1) - timedelta(days=1)


def split_period(since: date, until: date, today: date) -> list[tuple[Literal["day", "month"], date, date]]:
    """A period as whole months that are over, and the days around them: (grain, first, last), each day in exactly one of them."""
    first = since if since.day == 1 else month_end(since) + timedelta(days=1)
    end = min(until, today.replace(day=1) - timedelta(days=1))
    last = end if end == month_end(end) else end.replace(day=1) - timedelta(days=1)
    if first > last:
        return [("day", since, until)]
    found: list[tuple[Literal["day", "month"], date, date]] = [("month", first, last.replace(day=1))]
    if since < first:
        found.append(("day", since, first - timedelta(days=1)))
    if until > last:
        found.append(("day", last + timedelta(days=1), until))
    return found
