"""When a portal that needs an administrator is asked again whether it accepts requests.

`portals.lifecycle` and `portals.probes` schedule by it. The periodic job runs every 15 s, so that a portal with calls
waiting is found within 60 s of accepting requests again.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

PROBE_PAUSE: Final = timedelta(seconds=35)
"""Between two probes of a portal with calls waiting, or of any portal within the first day."""
IDLE_PAUSE: Final = timedelta(minutes=10)
"""Between two probes once the first day is over and nothing waits. The next call, an opening by an administrator and
"Check now" ask sooner."""
TRIAL_LASTS: Final = timedelta(minutes=2)
"""A problem of a single method is over when nothing was refused for this long, though nothing was delivered either."""
FIRST_DAY: Final = timedelta(days=1)
LONGEST_SILENCE: Final = timedelta(minutes=5)
"""Between two probes of a portal that does not answer at all: the longest pause of a circuit breaker."""


def next_pause(locked_for: timedelta, has_waiting: bool) -> timedelta:
    """How long a portal is left alone that has just answered that it still refuses requests."""
    return PROBE_PAUSE if has_waiting or locked_for < FIRST_DAY else IDLE_PAUSE


def silence_pause(circuit_seconds: float) -> timedelta:
    """How long a portal is left alone that has just not answered. `circuit_seconds`: what its circuit breaker asks."""
    return min(max(PROBE_PAUSE, timedelta(seconds=circuit_seconds)), LONGEST_SILENCE)
