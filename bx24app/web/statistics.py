"""Statistics in the frame: when people call, what is missed, how long it takes. Drawn from the tables on the page, so both say the same."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from flask import Blueprint, Response, g, request
from flask_babel import format_date, gettext

from bx24app.calls.statistics import report as figures
from bx24app.domain.settings import Settings
from bx24app.domain.statistics import BANDS, Figures, Grain, Spread, Tally, series
from bx24app.web.base import directory, rendering
from bx24app.web.base.i18n import zone

blueprint = Blueprint("statistics", __name__)
PERIODS = {"7": 7, "30": 30, "90": 90, "365": 365}
LONGEST = 1100
"""Days that a period of one's own may have."""
SHADES = 6
WAITS = (5, 10, 20, 30, 60, 120)
"""Ends, in seconds, of the bars of the time to answer; each is an end of `BANDS`."""


@dataclass(frozen=True, slots=True)
class Period:
    """What is looked at: days, both within, and how they are put together."""

    name: str
    since: date
    until: date
    grain: Grain
    by: str = ""
    """What the viewer chose for `grain`; empty: nothing, so that it fits the length."""


@blueprint.get("")
def show() -> Response:
    """The figures of a period."""
    settings = rendering.current()
    today = datetime.now(ZoneInfo(zone())).date()
    period = chosen(request.args.get, today)
    names = {pbx.key: pbx.name or pbx.key for pbx in settings.pbxs}
    wanted = request.args.get("pbx", "")
    pbx = wanted if wanted in names else ""
    found = figures.between(g.portal.id, period.since, period.until, today, pbx)
    return rendering.show(
        "statistics.html",
        "statistics",
        period=period,
        figures=found,
        pbx=pbx,
        pbxs=list(names.items()) if len(names) > 1 or pbx else [],
        counted_at=figures.counted_at(g.portal.id),
        today=today,
        rows=[(_label(day, period.grain), tally) for day, tally in _series(found, period)],
        heat=_heat(found),
        days=_weekdays(),
        lines=[(_line(settings, key), tally) for key, tally in _ranked(found.lines)],
        persons=_ranked(found.people),
        waits=_bars(found.waits),
        people=directory.of(found.people),
        most=figures.MOST,
    )


def chosen(asked: Any, today: date) -> Period:
    """The period of a request; what is no period is the last 30 days."""
    name = asked("period", "")
    until = today
    if name == "own":
        first, last = _date(asked("since", "")), _date(asked("until", ""))
        if first and last:
            first, until = sorted((first, last))
            since = max(first, until - timedelta(days=LONGEST))
        else:
            name, since = "30", today - timedelta(days=29)
    else:
        name = name if name in PERIODS else "30"
        since = today - timedelta(days=PERIODS[name] - 1)
    days = (until - since).days + 1
    fitting: Grain = "day" if days <= 45 else "week" if days <= 200 else "month"
    by: dict[str, Grain] = {"day": "day", "week": "week", "month": "month"}
    wanted = asked("by", "")
    return Period(name, since, until, by.get(wanted, fitting), wanted if wanted in by else "")


def _date(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def _series(found: Figures, period: Period) -> list[tuple[date, Tally]]:
    return series(found.days, period.since, period.until, period.grain)


def _label(day: date, grain: Grain) -> str:
    if grain == "month":
        return str(format_date(day, "LLL y", rebase=False))
    return str(format_date(day, "d MMM", rebase=False))


def _weekdays() -> list[str]:
    monday = date(2024, 1, 1)
    return [str(format_date(monday + timedelta(days=number), "EEE", rebase=False)) for number in range(7)]


def _heat(found: Figures) -> list[list[tuple[Tally, int]]]:
    """By weekday and hour: counts, and how dark (0..SHADES)."""
    busiest = max((tally.calls for tally in found.hours.values()), default=0)
    grid = []
    for weekday in range(7):
        row = []
        for hour in range(24):
            tally = found.hours.get((weekday, hour), Tally())
            row.append((tally, -(-tally.calls * SHADES // busiest) if busiest else 0))
        grid.append(row)
    return grid


def _ranked(found: dict[Any, Tally]) -> list[tuple[Any, Tally]]:
    return sorted(found.items(), key=lambda row: (-row[1].calls, str(row[0])))


def _line(settings: Settings, key: str) -> str:
    pbx_key, _, number = key.partition(":")
    pbx = settings.by_key.get(pbx_key)
    for line in pbx.lines if pbx is not None else ():
        if number in (line.number, line.bitrix_number):
            return line.name or line.number
    return number or str(gettext("without a line"))


def _bars(waits: Spread) -> list[tuple[str, int]]:
    bars, low = [], 0
    for end in WAITS:
        count = sum(number for band, number in waits.bands.items() if band < len(BANDS) and low < BANDS[band] <= end)
        bars.append((str(gettext("up to %(seconds)d s", seconds=end)), count))
        low = end
    rest = waits.count - sum(count for _, count in bars)
    return [*bars, (str(gettext("longer")), rest)]
