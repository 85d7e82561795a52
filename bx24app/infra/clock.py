"""The wall clock of the program. Everybody who needs the time of day asks here; pauses and time-outs use
`time.monotonic`.

Built on `time.time`, on which the adapters' own comparisons with a server's clock stand too: whoever replaces that
function (tests/stress/chaos/clock.py) moves the whole program in time.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime


def utcnow() -> datetime:
    """The current time in UTC, aware."""
    return datetime.fromtimestamp(time.time(), UTC)
