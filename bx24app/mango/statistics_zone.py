"""The zone in which a PBX reads the window of `stats/calls`. Pure.

Mango takes the window as texts without a zone, and its documentation (D26, 3.4.2.2) does not name one: live clients
send Moscow time, or the PBX's own. The entries carry epochs, so an entry shows which zones the window that found it may
have been read in.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

DEFAULT_ZONE: Final = "Europe/Moscow"
ZONES: Final = (
    DEFAULT_ZONE, "UTC", "Europe/Kaliningrad", "Europe/Samara", "Asia/Yekaterinburg", "Asia/Omsk", "Asia/Krasnoyarsk",
    "Asia/Irkutsk", "Asia/Yakutsk", "Asia/Vladivostok", "Asia/Magadan", "Asia/Kamchatka",
)  # fmt: skip
"""Zones that a PBX may have, besides its portal's."""
TOLERANCE: Final = timedelta(minutes=4)
"""An entry may lie this much outside the window that found it."""
SHORT_SECONDS: Final = 600
"""Only calls of at most this length show a zone: it then makes no difference whether Mango goes by beginning or end."""


class Span(NamedTuple):
    """Beginning and end of a call, epoch seconds."""

    start: int
    end: int


class Window(NamedTuple):
    """A window as Mango gets it: wall times without a zone."""

    start: datetime
    end: datetime


def list_zones(own: str | None) -> tuple[str, ...]:
    """The zones in which a PBX of a portal in the zone `own` may read its window, the likeliest first."""
    return tuple(dict.fromkeys((DEFAULT_ZONE, *([own] if own else []), *ZONES)))


def window_in(zones: Iterable[str], start: int, end: int) -> Window:
    """The wall times that hold the epochs `start` to `end` in each of these zones."""
    names = list(zones)
    return Window(min(_wall(start, name) for name in names), max(_wall(end, name) for name in names))


def zones_of_window(window: Window, zones: Sequence[str], spans: Sequence[Span]) -> list[str]:
    """Those of `zones` in which all the short calls lie inside the window."""
    short = pick_short(spans)
    return [name for name in zones if all(_is_inside(window, name, span) for span in short)]


def pick_short(spans: Iterable[Span]) -> list[Span]:
    """The calls that can show a zone."""
    return [span for span in spans if span.end - span.start <= SHORT_SECONDS]


def only_zone(zones: Sequence[str], at: int) -> str | None:
    """The first of these zones if all have the same offset at this time; None: they differ, or there are none."""
    offsets = {_wall(at, name) for name in zones}
    return zones[0] if len(offsets) == 1 else None


def _is_inside(window: Window, zone: str, span: Span) -> bool:
    starts_before_end = _wall(span.start, zone) <= window.end + TOLERANCE
    return starts_before_end and _wall(span.end, zone) >= window.start - TOLERANCE


def _wall(epoch: int, zone: str) -> datetime:
    return datetime.fromtimestamp(epoch, UTC).astimezone(ZoneInfo(zone)).replace(tzinfo=None)
