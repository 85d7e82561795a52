"""The working time of each method at a portal: slows requests down before the portal blocks the method.

Bitrix24 sums up the seconds that each method works for an application within ten minutes, returns the sum in every
answer (`time.operating`, of a batch in `result_time`), and from 480 s on refuses the method with OPERATION_TIME_LIMIT
until `operating_reset_at` (official page "limits"). The sum covers all machines, so a process learns all it needs from
its own answers.

From half of the limit on, `client` spreads the rest over the time until the reset. Requests for which a person waits
are never held back.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from bx24app.bitrix24.answer_numbers import read_number
from bx24app.bitrix24.budget import Priority
from bx24app.bitrix24.method_seconds import MethodSeconds

OPERATING_LIMIT = 480.0
"""Seconds that one method may work within ten minutes."""
SLOWDOWN_START, SLOWDOWN_CEILING = 0.5, 0.95
"""Shares of the limit: where slowing down begins, and at which sum requests wait for the reset."""
FINISH_SLOWDOWN_START = 0.9
"""Share of the limit from which the finish of a call waits too."""
OPERATING_WINDOW = 600.0
_MAX_METHODS = 256
"""How many methods are remembered at most; the program uses some fifty."""


@dataclass(frozen=True, slots=True)
class _MethodLoad:
    operating_seconds: float
    next_request_at: float


class PortalMethodLoad:
    """The load of one portal's methods. Threads may share it; times are epoch seconds, as the portal's are."""

    def __init__(self) -> None:
        self._methods: dict[str, _MethodLoad] = {}
        self._lock = threading.Lock()
        self.seconds = MethodSeconds()
        """What one command of each method takes."""

    def record_time(self, method: str, times: Any, now: float) -> None:
        """Store the `time` block of an answer; a block without the sum (on-premise) is ignored."""
        if not isinstance(times, Mapping):
            return
        self.seconds.learn(method, times)
        spent, reset = read_number(times.get("operating")), read_number(times.get("operating_reset_at"))
        if spent is None:
            return
        with self._lock:
            if spent < OPERATING_LIMIT * SLOWDOWN_START or len(self._methods) >= _MAX_METHODS:
                self._methods.pop(method.lower(), None)
                return
            window = min(max(1.0, (reset or now + OPERATING_WINDOW) - now), OPERATING_WINDOW)
            cost = max(read_number(times.get("processing")) or read_number(times.get("duration")) or 0.0, 0.1)
            left = OPERATING_LIMIT * SLOWDOWN_CEILING - spent
            pause = window if left <= cost else min(window, window * cost / left)
            self._methods[method.lower()] = _MethodLoad(spent, now + pause)

    def seconds_until_free(self, methods: Iterable[str], priority: Priority, now: float) -> float:
        """Seconds until a request with these methods should leave, 0.0 if now."""
        if priority is Priority.CARD or not self._methods:
            return 0.0
        with self._lock:
            loads = [self._methods[name] for name in {load.lower() for load in methods} if name in self._methods]
        if priority is Priority.FINISH:
            loads = [load for load in loads if load.operating_seconds >= OPERATING_LIMIT * FINISH_SLOWDOWN_START]
        return max([0.0, *(load.next_request_at - now for load in loads)])
