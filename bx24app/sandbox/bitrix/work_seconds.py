"""How long commands take a portal, by the samples of the documentation, and the end of a request after 60 s.

Off unless `Durations.scale` is set. Seconds are counted and not measured, so a request is cut at the same command on a
slow machine too; the portal only sleeps by the scale. `dispatch.py` charges each command to the `RequestClock` of its
request.

Sources: `time.operating` and `time.duration` of the samples (telephony-external-call-*.md, crm-item-*.md and the other
methods' pages); limits.md: one request must finish within 60 s; userfields/index.md: INTERNAL_SERVER_ERROR follows.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

SAMPLES: dict[str, tuple[float, float]] = {
    "telephony.externalcall.register": (0.22, 1.12),
    "telephony.externalcall.show": (0.29, 1.20),
    "telephony.externalcall.hide": (0.29, 0.81),  # its own sample says 0: the other card's
    "telephony.externalcall.finish": (1.41, 2.30),
    "telephony.externalcall.attachrecord": (1.94, 2.40),
    "telephony.externalcall.searchcrmentities": (0.25, 0.40),
    "crm.item.add": (1.83, 2.31),
    "crm.item.update": (3.19, 3.66),
    "crm.item.list": (0.25, 0.59),
    "crm.item.get": (0.16, 0.48),
    "crm.activity.list": (0.88, 0.90),
    "crm.activity.todo.add": (0.13, 0.40),
    "timeman.status": (0.33, 0.36),
    "voximplant.statistic.get": (0.25, 0.60),
}
"""Method -> seconds of work, and of a request with this method alone."""
OTHER_METHODS = (0.05, 0.1)
CUT_ANSWERS = ("internal_error", "http504", "close")
"""What a request gets that is cut: the documentation names INTERNAL_SERVER_ERROR, other clients saw a gateway time-out
or a broken connection."""


class RequestCut(Exception):
    """The portal has ended this request. What it had carried out stays."""


@dataclass
class Durations:
    """The switch of one portal.

    Attributes:
        scale: seconds that one second of the documentation takes here; 0: commands take no time and nothing is cut.
        cut_after: seconds of one request, in the documentation's seconds; 0: no request is cut.
        cut_answer: one of `CUT_ANSWERS`.
        whole: a command in a batch takes what a request of its own takes, the pessimistic reading of the samples.
        slower: exceptions by method, in lower case: its seconds, for a portal with robots.
        cut_requests: the number of requests that were cut.
        longest_request: seconds of the longest one.
    """

    scale: float = 0.0
    cut_after: float = 60.0
    cut_answer: str = "internal_error"
    whole: bool = False
    slower: dict[str, float] = field(default_factory=dict)
    cut_requests: int = 0
    longest_request: float = 0.0

    def seconds_of(self, method: str) -> float:
        """Seconds of the documentation for one command; 0 when the switch is off."""
        if not self.scale:
            return 0.0
        return self.slower.get(method, SAMPLES.get(method, OTHER_METHODS)[self.whole])


@dataclass
class RequestClock:
    """The seconds that one request has taken, in the documentation's seconds."""

    durations: Durations
    spent: float = 0.0

    def is_last(self, seconds: float) -> bool:
        """Would a command of so many seconds reach the limit?"""
        limit = self.durations.cut_after
        return bool(limit) and self.spent + seconds > limit

    async def spend(self, seconds: float) -> None:
        """Lets a command of this request take its seconds.

        Raises:
            RequestCut: the request has reached the portal's limit.
        """
        is_cut = self.is_last(seconds)
        seconds = self.durations.cut_after - self.spent if is_cut else seconds
        self.spent += seconds
        self.durations.longest_request = max(self.durations.longest_request, self.spent)
        await asyncio.sleep(seconds * self.durations.scale)
        if is_cut:
            self.durations.cut_requests += 1
            raise RequestCut
