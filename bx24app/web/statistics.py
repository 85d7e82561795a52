"""The statistics page: when clients call, what is missed, how long answers take.

The charts are drawn from the tables on the page, so both show the same numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from flask import Blueprint, Response, g, request
from flask_babel import format_date, gettext

from bx24app.calls.statistics import report
from bx24app.domain.settings import Settings
from bx24app.domain.statistics import (
    BUCKET_BOUNDS,
    CallCounts,
    CallStatistics,
    Distribution,
    Granularity,
    counts_by_period,
)
from bx24app.models import utcnow
from bx24app.web.base import directory, rendering
from bx24app.web.base.i18n import current_timezone

blueprint = Blueprint("statistics", __name__)
PERIOD_DAYS = {"7": 7, "30": 30, "90": 90, "365": 365}
MAX_PERIOD_DAYS = 1100
"""The longest period that a viewer may choose."""
SHADE_COUNT = 6
WAIT_BAR_ENDS = (5, 10, 20, 30, 60, 120)
"""Upper ends, in seconds, of the bars of the time to answer; each is one of `BUCKET_BOUNDS`."""


@dataclass(frozen=True, slots=True)
class Period:
    """The days shown, both included, and how they are grouped."""

    name: str
    since: date
    until: date
    granularity: Granularity
    requested_granularity: str = ""
    """The grouping that the viewer chose; empty: one that fits the length of the period."""


@blueprint.get("")
def show() -> Response:
    """The statistics of a period."""
    settings = rendering.load_settings()
    today = utcnow().astimezone(ZoneInfo(current_timezone())).date()
    period = read_period(request.args.get, today)
    names = {pbx.key: pbx.name or pbx.key for pbx in settings.pbxs}
    wanted = request.args.get("pbx", "")
    pbx = wanted if wanted in names else ""
    statistics = report.load_period(g.portal.id, period.since, period.until, today, pbx)
    return rendering.render_response(
        "statistics.html",
        "statistics",
        period=period,
        statistics=statistics,
        pbx=pbx,
        pbxs=list(names.items()) if len(names) > 1 or pbx else [],
        counted_at=report.counted_at(g.portal.id),
        today=today,
        rows=[(_axis_label(day, period.granularity), counts) for day, counts in _build_series(statistics, period)],
        heatmap=_build_heatmap(statistics),
        weekdays=_weekday_names(),
        lines=[(_line_name(settings, key), counts) for key, counts in _sort_by_calls(statistics.lines)],
        persons=_sort_by_calls(statistics.people),
        wait_bars=_wait_bars(statistics.wait_times),
        people=directory.by_ids(statistics.people),
        max_shown=report.MAX_SHOWN,
    )


def read_period(get_param: Callable[[str, str], str], today: date) -> Period:
    """The period that the parameters name; without a valid one, the last 30 days."""
    name = get_param("period", "")
    until = today
    if name == "own":
        first, last = _parse_date(get_param("since", "")), _parse_date(get_param("until", ""))
        if first and last:
            first, until = sorted((first, last))
            since = max(first, until - timedelta(days=MAX_PERIOD_DAYS))
        else:
            name, since = "30", today - timedelta(days=29)
    else:
        name = name if name in PERIOD_DAYS else "30"
        since = today - timedelta(days=PERIOD_DAYS[name] - 1)
    days = (until - since).days + 1
    fitting: Granularity = "day" if days <= 45 else "week" if days <= 200 else "month"
    granularities: dict[str, Granularity] = {"day": "day", "week": "week", "month": "month"}
    wanted = get_param("by", "")
    return Period(name, since, until, granularities.get(wanted, fitting), wanted if wanted in granularities else "")


def _parse_date(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def _build_series(statistics: CallStatistics, period: Period) -> list[tuple[date, CallCounts]]:
    return counts_by_period(statistics.days, period.since, period.until, period.granularity)


def _axis_label(day: date, granularity: Granularity) -> str:
    if granularity == "month":
        return str(format_date(day, "LLL y", rebase=False))
    return str(format_date(day, "d MMM", rebase=False))


def _weekday_names() -> list[str]:
    monday = date(2024, 1, 1)
    return [str(format_date(monday + timedelta(days=number), "EEE", rebase=False)) for number in range(7)]


def _build_heatmap(statistics: CallStatistics) -> list[list[tuple[CallCounts, int]]]:
    """By weekday and hour: counts, and how dark the cell is (0..SHADE_COUNT)."""
    busiest = max((counts.calls for counts in statistics.hours.values()), default=0)
    grid = []
    for weekday in range(7):
        row = []
        for hour in range(24):
            counts = statistics.hours.get((weekday, hour), CallCounts())
            row.append((counts, -(-counts.calls * SHADE_COUNT // busiest) if busiest else 0))
        grid.append(row)
    return grid


def _sort_by_calls(counts_by_key: dict[Any, CallCounts]) -> list[tuple[Any, CallCounts]]:
    return sorted(counts_by_key.items(), key=lambda row: (-row[1].calls, str(row[0])))


def _line_name(settings: Settings, key: str) -> str:
    pbx_key, _, number = key.partition(":")
    pbx = settings.by_key.get(pbx_key)
    for line in pbx.lines if pbx is not None else ():
        if number in (line.number, line.bitrix_number):
            return line.name or line.number
    return number or str(gettext("without a line"))


def _wait_bars(waits: Distribution) -> list[tuple[str, int]]:
    bars, low = [], 0
    for end in WAIT_BAR_ENDS:
        count = sum(
            number
            for bucket, number in waits.buckets.items()
            if bucket < len(BUCKET_BOUNDS) and low < BUCKET_BOUNDS[bucket] <= end
        )
        bars.append((str(gettext("up to %(seconds)d s", seconds=end)), count))
        low = end
    rest = waits.count - sum(count for _, count in bars)
    return [*bars, (str(gettext("longer")), rest)]
