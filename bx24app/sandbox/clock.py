"""The clock of the simulated portals. Tests set it forward instead of sleeping."""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone

PORTAL_ZONE = timezone(timedelta(hours=3))
"""The portal server's zone: a time without an offset is read in it."""


class Clock:
    """Real time plus the seconds that `advance` has added."""

    def __init__(self) -> None:
        self.offset = 0.0
        self._cached_second = 0
        self._cached_text = ""

    def now(self) -> float:
        """The time in epoch seconds."""
        return time.time() + self.offset

    def advance(self, seconds: float) -> None:
        """Sets the clock forward."""
        self.offset += seconds

    def format_iso(self, at: float | None = None) -> str:
        """A time (default: now) as ISO 8601 with the portal's offset, in whole seconds."""
        second = int(self.now() if at is None else at)
        if second != self._cached_second:
            self._cached_second, self._cached_text = second, format_iso(second)
        return self._cached_text


def format_iso(at: float) -> str:
    """ISO 8601 with the portal's offset, in whole seconds."""
    return datetime.fromtimestamp(int(at), PORTAL_ZONE).isoformat()


def parse_time(text: object) -> float | None:
    """Reads a time as the REST API accepts it: ISO 8601, in the portal's zone when it has no offset. None: not a time.
    """
    try:
        at = datetime.fromisoformat(str(text).strip())
    except ValueError:
        return None
    return (at if at.tzinfo else at.replace(tzinfo=PORTAL_ZONE)).timestamp()
