"""Statistics of calls as plain figures: counts that add up, waiting times by bands, periods by day, week and month. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

Grain = Literal["day", "week", "month"]
BANDS = (
    1, 2, 3, 5, 7, 10, 15, 20, 30, 45, 60, 90, 120, 180, 240, 300, 450, 600, 900, 1200, 1800, 2700, 3600, 5400, 7200, 10800,
    14400, 21600, 28800, 43200, 86400,
)  # fmt: skip
"""Upper ends, in seconds, of the bands that durations are counted in: narrow enough for percentiles that people read, few enough to be kept."""


@dataclass(slots=True)
class Tally:
    """Calls with clients, counted. `waited` calls were answered and came in; `wait` is the sum of their seconds until the answer."""

    calls: int = 0
    incoming: int = 0
    answered: int = 0
    missed: int = 0
    talk: int = 0
    waited: int = 0
    wait: int = 0

    def add(self, other: Tally) -> None:
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
class Spread:
    """Durations by band: index into `BANDS` (one behind the last: longer) -> how many."""

    bands: dict[int, int] = field(default_factory=dict)

    def add(self, band: int, count: int) -> None:
        """Count durations of one band."""
        self.bands[band] = self.bands.get(band, 0) + count

    @property
    def count(self) -> int:
        return sum(self.bands.values())

    def percentile(self, share: float) -> float | None:
        """Seconds within which `share` (0..1) of the durations lie, in a straight line within a band; None: there is none."""
        wanted, seen = share * self.count, 0
        for band, count in sorted(self.bands.items()):
            if count and seen + count >= wanted:
                low = BANDS[band - 1] if band else 0
                high = BANDS[band] if band < len(BANDS) else low
                return low + (high - low) * max(0.0, wanted - seen) / count
            seen += count
        return None


@dataclass(slots=True)
class Figures:
    """Everything that the statistics of a period show. Days and hours are the portal's own."""

    total: Tally = field(default_factory=Tally)
    days: dict[date, Tally] = field(default_factory=dict)
    hours: dict[tuple[int, int], Tally] = field(default_factory=dict)
    """(weekday, Monday 0; hour) -> counts."""
    lines: dict[str, Tally] = field(default_factory=dict)
    """`<pbx key>:<line number>` -> counts."""
    people: dict[int, Tally] = field(default_factory=dict)
    """Who talked, or who a missed call was left to -> counts."""
    waits: Spread = field(default_factory=Spread)
    """Until an incoming call was answered."""
    lags: Spread = field(default_factory=Spread)
    """From Mango's notice until the recording was in Bitrix24."""
    backs: Spread = field(default_factory=Spread)
    """From a missed call until the client was called back."""
    missed: int = 0
    """Missed calls whose client could be called back: the whole of which `backs` is a share."""

    def take(self, kind: str, key: str, day: date, tally: Tally) -> None:
        """Count one cell as the tables keep it. `kind`: hour, line, person, and with their count in `calls`: wait, lag, back, missed."""
        if kind == "hour":
            self.take_day(day, tally)
            self.take_hour(day.weekday(), int(key), tally)
        elif kind == "line":
            self.lines.setdefault(key, Tally()).add(tally)
        elif kind == "person":
            self.people.setdefault(int(key), Tally()).add(tally)
        elif kind == "missed":
            self.missed += tally.calls
        else:
            {"wait": self.waits, "lag": self.lags, "back": self.backs}[kind].add(int(key), tally.calls)

    def take_day(self, day: date, tally: Tally) -> None:
        """Count calls of a day; hours and weekdays are counted by themselves."""
        self.total.add(tally)
        self.days.setdefault(day, Tally()).add(tally)

    def take_hour(self, weekday: int, hour: int, tally: Tally) -> None:
        """Count calls of an hour of the day on a weekday (Monday 0)."""
        self.hours.setdefault((weekday, hour), Tally()).add(tally)

    @property
    def back_share(self) -> float | None:
        """Of the missed calls; None: there were none."""
        return self.backs.count / self.missed if self.missed else None


def kind_of(kind: str, pbx: str) -> str:
    """The kind under which the cells of one PBX (its key) are kept; of the whole portal where the key is empty.

    >>> kind_of("hour", "moscow"), kind_of("hour", "")
    ('hour@moscow', 'hour')
    """
    return f"{kind}@{pbx}" if pbx else kind


def first_of(day: date, grain: Grain) -> date:
    """The first day of the day, the week (Monday) or the month that `day` lies in."""
    if grain == "week":
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if grain == "month" else day


def series(days: dict[date, Tally], since: date, until: date, grain: Grain) -> list[tuple[date, Tally]]:
    """Counts by day, week or month from `since` to `until` (both within), empty ones too."""
    found: dict[date, Tally] = {}
    for day in each_day(since, until):
        tally = found.setdefault(first_of(day, grain), Tally())
        if day in days:
            tally.add(days[day])
    return list(found.items())


def each_day(since: date, until: date) -> Iterator[date]:
    """From `since` to `until`, both within."""
    for number in range((until - since).days + 1):
        yield since + timedelta(days=number)


def midnight(day: date, zone: ZoneInfo) -> datetime:
    """The moment (UTC) at which a day begins there."""
    return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)


def offsets(since: datetime, until: datetime, zone: ZoneInfo) -> list[tuple[datetime, int]]:
    """(from when on, seconds east of UTC), oldest first: one pair, and one more for every change of the clocks in between."""
    found = [(since, _offset(since, zone))]
    step, at = timedelta(days=7), since
    while at < until:
        later = min(at + step, until)
        if _offset(later, zone) != found[-1][1]:
            found.append((_change(at, later, zone), _offset(later, zone)))
        at = later
    return found


def _change(before: datetime, after: datetime, zone: ZoneInfo) -> datetime:
    """The minute in which the clocks were changed between two moments of different offset."""
    old = _offset(before, zone)
    while after - before > timedelta(minutes=1):
        middle = before + (after - before) / 2
        before, after = (middle, after) if _offset(middle, zone) == old else (before, middle)
    return after.replace(second=0, microsecond=0)


def _offset(at: datetime, zone: ZoneInfo) -> int:
    return int((at.astimezone(zone).utcoffset() or timedelta(0)).total_seconds())


def top(rows: Iterable[tuple[str, Tally]], most: int) -> list[tuple[str, Tally]]:
    """Those with the most calls, at most so many."""
    return sorted(rows, key=lambda row: (-row[1].calls, row[0]))[:most]


def month_end(day: date) -> date:
    """The last day of its month."""
    return (day.replace(day=28) + timedelta(days=4)).replace(day=1) - timedelta(days=1)


def cover(since: date, until: date, today: date) -> list[tuple[Literal["day", "month"], date, date]]:
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
