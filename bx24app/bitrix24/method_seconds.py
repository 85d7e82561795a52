"""How many seconds each method is expected to take at a portal.

`method_load` learns them from the `time` block of every answer; `calls.outbox` closes batches by them. A process begins
with the seconds of the documentation's samples and learns quickly that a portal is slower, slowly that it is faster. A
request that was lost after most of a minute was probably cut by the portal, which tells no seconds: then its methods
count as slow as the request was.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from bx24app.bitrix24.answer_numbers import read_number

DOCUMENTED_SECONDS: dict[str, float] = {
    "telephony.externalcall.register": 1.12,
    "telephony.externalcall.show": 1.2,
    "telephony.externalcall.hide": 0.81,
    "telephony.externalcall.finish": 2.3,
    "telephony.externalcall.attachrecord": 2.4,
    "telephony.externalcall.searchcrmentities": 0.4,
    "crm.item.add": 2.31,
    "crm.item.update": 3.66,
    "crm.item.list": 0.59,
    "crm.activity.list": 0.9,
}
"""`time.duration` of the samples on the methods' pages: with what a request costs by itself, so rather too much."""
OTHER_SECONDS = 0.5
"""Of a method without a telling sample."""
SLOWER_SHARE, FASTER_SHARE = 0.5, 0.1
"""Weight of one answer that took longer than expected, and of one that took less."""
CUT_SECONDS = 50.0
"""A request that was lost after so long counts as cut; the cloud cuts at 60 s."""
LONGEST_SECONDS = 60.0
_MAX_METHODS = 256


class MethodSeconds:
    """Of one portal. Threads may share it: an answer of another thread that is missed changes little."""

    def __init__(self) -> None:
        self._learnt: dict[str, float] = {}

    def expect(self, method: str) -> float:
        """Seconds of one command."""
        name = method.lower()
        return self._learnt.get(name) or DOCUMENTED_SECONDS.get(name, OTHER_SECONDS)

    def learn(self, method: str, times: Mapping[str, Any]) -> None:
        """From the `time` block of an answer: `processing`, which leaves out what a request costs by itself; older
        modules round it to whole seconds, and 0 says nothing."""
        seconds = read_number(times.get("processing")) or read_number(times.get("duration"))
        if seconds is not None and seconds > 0:
            expected = self.expect(method)
            share = SLOWER_SHARE if seconds > expected else FASTER_SHARE
            self._store(method, expected + share * (seconds - expected))

    def learn_from_loss(self, methods: Iterable[str], seconds: float) -> None:
        """A request with these methods was lost after so many seconds."""
        names = [name.lower() for name in methods]
        expected = sum(map(self.expect, names))
        if seconds < CUT_SECONDS or expected >= seconds:
            return
        for name in set(names):
            self._store(name, self.expect(name) * seconds / expected)

    def _store(self, method: str, seconds: float) -> None:
        if len(self._learnt) < _MAX_METHODS or method.lower() in self._learnt:
            self._learnt[method.lower()] = min(seconds, LONGEST_SECONDS)
