"""A method's working time at a portal, slowed down before the portal blocks the method.

Bitrix24 sums up the seconds that each method works for an application within ten minutes, says the sum in every answer (`time.operating`,
of a batch in `result_time`), and from 480 s on refuses the method with OPERATION_TIME_LIMIT until `operating_reset_at` (official page
"limits"). The sum is the portal's own, of all machines, so each process hears all it needs from its own answers.

From half of the limit on, what is left is spread over the time until the reset; who waits for a person in front of a screen is never held.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from bx24app.bitrix24.budget import Priority

OPERATING_LIMIT = 480.0
"""Seconds of one method within ten minutes."""
SLOWDOWN_START, SLOWDOWN_CEILING = 0.5, 0.95
"""Shares of the limit: where slowing down begins, and how far it lets the sum go."""
FINISH_SLOWDOWN_START = 0.9
"""Share of the limit from which the end of a call waits too."""
OPERATING_WINDOW = 600.0
_MAX_METHODS = 256
"""Methods that are remembered at the most; we know some fifty."""


@dataclass(frozen=True, slots=True)
class _MethodLoad:
    operating_seconds: float
    next_request_at: float


class PortalMethodLoad:
    """Of one portal. Threads may share it; times are epoch seconds, as the portal's are."""

    def __init__(self) -> None:
        self._methods: dict[str, _MethodLoad] = {}
        self._lock = threading.Lock()

    def record_time(self, method: str, told: Any, now: float) -> None:
        """Take in the `time` block of an answer; one without the sum (on-premise) says nothing."""
        if not isinstance(told, Mapping):
            return
        spent, reset = _parse_number(told.get("operating")), _parse_number(told.get("operating_reset_at"))
        if spent is None:
            return
        with self._lock:
            if spent < OPERATING_LIMIT * SLOWDOWN_START or len(self._methods) >= _MAX_METHODS:
                self._methods.pop(method.lower(), None)
                return
            window = min(max(1.0, (reset or now + OPERATING_WINDOW) - now), OPERATING_WINDOW)
            cost = max(_parse_number(told.get("processing")) or _parse_number(told.get("duration")) or 0.0, 0.1)
            left = OPERATING_LIMIT * SLOWDOWN_CEILING - spent
            pause = window if left <= cost else min(window, window * cost / left)
            self._methods[method.lower()] = _MethodLoad(spent, now + pause)

    def seconds_until_free(self, methods: Iterable[str], priority: Priority, now: float) -> float:
        """Seconds until a request with these methods should leave; 0.0: now."""
        if priority is Priority.CARD or not self._methods:
            return 0.0
        with self._lock:
            held = [self._methods[name] for name in {one.lower() for one in methods} if name in self._methods]
        if priority is Priority.FINISH:
            held = [one for one in held if one.operating_seconds >= OPERATING_LIMIT * FINISH_SLOWDOWN_START]
        return max([0.0, *(one.next_request_at - now for one in held)])


def _parse_number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) and number >= 0 else None
