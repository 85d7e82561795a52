"""Which steps of drains are under way in this process: one that folds many calls lets those of few calls pass.

The threads of a worker share one interpreter, and SQLite has one writer, so a card of one portal is as late as the fold
of another portal computes beside it. `drain` marks its steps here, `fold` says how many calls it has and asks between
two of them. A small step never waits, and large ones do not wait for each other.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from bx24app.infra.runtime import runtime

LARGE_CALLS = 8
"""A step that folds at least so many calls is large; until a step knows, it counts as the portal's last one."""
PATIENCE_SECONDS = 0.25
"""How long one large step waits for small ones in all."""
MOST_WAITING = 2
"""How many large steps wait at once: one fewer than there are fold slots, so that a small step gets a slot."""
REST_TIMES, BUSY_REST_TIMES, REST_SECONDS = 2.0, 1.0, 0.5
"""While other portals have small steps, a portal pauses after a large step: so many times as long as that took (the
second figure where notifications are left to the next step), at most so long. New notifications gather meanwhile, and
one fold serves them all."""
ABOUT_SECONDS = 2.0
"""For so long after its last small step a portal is about."""


@dataclass(slots=True)
class _Step:
    portal_id: int
    is_small: bool
    """It is counted among the small ones."""
    began: float
    patience: float
    rest_times: float = 0.0
    waited: float = 0.0


class DrainSteps:
    """The steps of one application in one process."""

    def __init__(self) -> None:
        self._changed, self._local = threading.Condition(), threading.local()
        self._small: Counter[int] = Counter()
        """Portal -> its small steps under way."""
        self._small_at: dict[int, float] = {}
        """Portal -> when its last small step ended (monotonic), the latest one last."""
        self._large: set[int] = set()
        """Portals whose last step was large."""
        self._rest_until: dict[int, float] = {}
        self._waiting = 0

    @contextmanager
    def step(self, portal_id: int) -> Iterator[None]:
        """A step of this portal's drain, in this thread. It begins after the portal's rest."""
        self._rest(portal_id)
        with self._changed:
            step = _Step(portal_id, portal_id not in self._large, time.monotonic(), PATIENCE_SECONDS)
            if step.is_small:
                self._small[portal_id] += 1
        self._local.step = step
        try:
            self.let_small_pass()
            yield
        finally:
            self._local.step = None
            self._end_step(step)

    def _end_step(self, step: _Step) -> None:
        now = time.monotonic()
        with self._changed:
            if step.is_small:
                self._small_at.pop(step.portal_id, None)
                self._small_at[step.portal_id] = now
                self._leave_small(step)
            seconds = min(REST_SECONDS, (now - step.began - step.waited) * step.rest_times)
            self._rest_until[step.portal_id] = now + seconds

    def _leave_small(self, step: _Step) -> None:
        step.is_small = False
        self._small[step.portal_id] -= 1
        if not self._small[step.portal_id]:
            del self._small[step.portal_id]
        self._changed.notify_all()

    def _rest(self, portal_id: int) -> None:
        with self._changed:
            now = time.monotonic()
            seconds = self._rest_until.pop(portal_id, 0.0) - now
        if seconds > 0 and self.are_others_about(portal_id):
            runtime().stop_event.wait(seconds)

    def are_others_about(self, portal_id: int) -> bool:
        """Has another portal small steps now, or had it just now?"""
        with self._changed:
            latest = next((at for other, at in reversed(self._small_at.items()) if other != portal_id), float("-inf"))
            has_some_now = len(self._small) > (portal_id in self._small)
            return has_some_now or time.monotonic() - latest < ABOUT_SECONDS

    def declare_size(self, calls: int, has_more: bool = False) -> None:
        """This thread's step folds so many calls. `has_more`: it leaves notifications to the next step, so it is large.
        """
        step: _Step | None = getattr(self._local, "step", None)
        if step is None:
            return
        with self._changed:
            if calls < LARGE_CALLS and not has_more:
                self._large.discard(step.portal_id)
                return
            self._large.add(step.portal_id)
            self._small_at.pop(step.portal_id, None)
            step.rest_times = BUSY_REST_TIMES if has_more else REST_TIMES
            if step.is_small:
                self._leave_small(step)

    def let_small_pass(self) -> None:
        """In a large step: wait while a small one is under way, and patience lasts."""
        step: _Step | None = getattr(self._local, "step", None)
        if step is None or step.is_small or not self._small or step.patience <= 0:
            return
        began = time.monotonic()
        with self._changed:
            if self._waiting >= MOST_WAITING:
                return
            self._waiting += 1
            self._changed.wait_for(lambda: not self._small, step.patience)
            self._waiting -= 1
        seconds = time.monotonic() - began
        step.patience, step.waited = step.patience - seconds, step.waited + seconds


def step(portal_id: int) -> AbstractContextManager[None]:
    """`DrainSteps.step` of the current application."""
    return runtime().get(DrainSteps).step(portal_id)


def declare_size(calls: int, has_more: bool = False) -> None:
    """`DrainSteps.declare_size` of the current application; nothing outside a step."""
    runtime().get(DrainSteps).declare_size(calls, has_more)


def are_others_about(portal_id: int) -> bool:
    """`DrainSteps.are_others_about` of the current application."""
    return runtime().get(DrainSteps).are_others_about(portal_id)


def let_small_pass() -> None:
    """`DrainSteps.let_small_pass` of the current application; nothing outside a step."""
    runtime().get(DrainSteps).let_small_pass()
