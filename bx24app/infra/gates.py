"""Gates: how many threads of pages may wait at once for somebody outside (a portal, an authorisation server, Mango).

A web process has a fixed number of threads, and pages of all portals need them. Each kind of waiting (`gate_kinds`) has
a few threads over all and fewer for each party; all kinds together leave threads for pages that ask nobody. Whoever
uses up the seconds of a kind is left alone for a while, longer each time. `page_threads` knows which threads these are.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

from bx24app.bitrix24.errors import NotSent
from bx24app.bitrix24.request_deadline import limit_seconds
from bx24app.infra import page_threads
from bx24app.infra.gate_kinds import KINDS, MAX_TAKEN, GateKind
from bx24app.infra.logs import get_logger
from bx24app.infra.runtime import runtime

_log = get_logger(__name__)

RETRY_SECONDS: Final = 2.0
FIRST_PAUSE, LONGEST_PAUSE = 5.0, 60.0
"""For how many seconds somebody who was too slow is left alone."""
SLOW_SECONDS: Final = 2.0
"""An answer within these seconds is never too slow, however little time was left for it."""
_MAX_PAUSES: Final = 10_000


class GateClosed(NotSent):
    """There is no place now, or the party has just been too slow. Nothing was asked."""


class Gates:
    """Who is inside, who waits for a turn, and who is left alone; for one process."""

    def __init__(self) -> None:
        self._changed = threading.Condition(threading.RLock())
        self._inside: Counter[tuple[str, str]] = Counter()
        self._queued: Counter[tuple[str, str]] = Counter()
        self._pauses: dict[str, tuple[float, float]] = {}
        """Party -> (until when it is left alone by the monotonic clock, for how many seconds)."""

    def enter_gate(self, kind: GateKind, party: str) -> None:
        """Take a place, waiting for it if the kind says so.

        Raises:
            GateClosed
        """
        with self._changed:
            is_full = sum(self.count_taken().values()) >= MAX_TAKEN
            if is_full or self._queued[kind.name, party] >= kind.per_party:
                raise GateClosed(f"{kind.name}: too many wait", RETRY_SECONDS)
            self._queued[kind.name, party] += 1
            try:
                if not self._changed.wait_for(lambda: self._has_place(kind, party), kind.queue_seconds):
                    raise GateClosed(f"{kind.name}: all places are taken", RETRY_SECONDS)
            finally:
                _decrease(self._queued, kind.name, party)
            self._inside[kind.name, party] += 1

    def leave_gate(self, kind: GateKind, party: str) -> None:
        """Give the place back."""
        with self._changed:
            _decrease(self._inside, kind.name, party)
            self._changed.notify_all()

    def count_taken(self) -> dict[str, int]:
        """Kind -> threads that are inside or wait for a turn."""
        with self._changed:
            taken = Counter({kind.name: 0 for kind in KINDS})
            for (name, _), count in [*self._inside.items(), *self._queued.items()]:
                taken[name] += count
            return taken

    def check_pause(self, peer: str) -> None:
        """Raise GateClosed if `peer` was too slow a moment ago."""
        until, _ = self._pauses.get(peer, (0.0, 0.0))
        if (left := until - time.monotonic()) > 0:
            raise GateClosed(f"{peer} has just been too slow", left)

    def judge_speed(self, peer: str, seconds: float, allowed: float) -> None:
        """Leave `peer` alone for a while if it took nearly all the seconds that it was allowed."""
        with self._changed:
            if seconds < allowed / 2:
                self._pauses.pop(peer, None)
            if seconds < 0.9 * allowed or seconds < SLOW_SECONDS:
                return
            if len(self._pauses) >= _MAX_PAUSES:
                self._pauses.clear()
            _, last = self._pauses.get(peer, (0.0, 0.0))
            pause = min(max(FIRST_PAUSE, 2 * last), LONGEST_PAUSE)
            self._pauses[peer] = (time.monotonic() + pause, pause)
        _log.warning("left alone, it was too slow for a page", peer=peer, pause=pause)

    def _has_place(self, kind: GateKind, party: str) -> bool:
        inside = sum(count for (name, _), count in self._inside.items() if name == kind.name)
        return inside < kind.over_all and self._inside[kind.name, party] < kind.per_party


def _decrease(counts: Counter[tuple[str, str]], name: str, party: str) -> None:
    counts[name, party] -= 1
    if not counts[name, party]:
        del counts[name, party]


def take_place(kind: GateKind, party: str) -> Callable[[], None]:
    """Take a place for work that goes on after the view; returns the function that gives it back, at its first call.

    Raises:
        GateClosed
    """
    gates, stack = runtime().get(Gates), ExitStack()
    gates.enter_gate(kind, party)
    stack.callback(gates.leave_gate, kind, party)
    return stack.close


@contextmanager
def pass_gate(kind: GateKind | None = None, party: str = "", peer: str = "") -> Iterator[None]:
    """Run the block inside a gate, which bounds the seconds of what it asks. A thread of no page passes freely, and so
    does one that is inside a gate already.

    Args:
        kind: None: the kind that the page has for questions to portals.
        party: who may not take all places; empty: whose page it is.
        peer: who is left alone for a while if it is too slow; empty: the party.

    Raises:
        GateClosed: nothing was asked.
    """
    page = page_threads.current_page()
    if page is None or page.is_inside:
        yield
        return
    kind, party = kind or page.portal_kind, party or page.party
    gates, peer = runtime().get(Gates), peer or party
    gates.check_pause(peer)
    gates.enter_gate(kind, party)
    started = time.monotonic()
    allowed, page.is_inside = min(kind.seconds, page.until - started), True
    try:
        with limit_seconds(allowed):
            yield
    finally:
        page.is_inside = False
        gates.leave_gate(kind, party)
        gates.judge_speed(peer, time.monotonic() - started, allowed)
