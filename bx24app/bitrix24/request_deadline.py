"""A deadline for everything that one thread asks portals and authorisation servers from now on.

Whoever does a piece of work with a bounded time (a job for one portal, a page for which a person waits) opens
`limit_seconds`. `transport` and `oauth` then shorten the time-outs of their requests, and no request leaves after the
deadline. Deadlines nest; the earliest one counts.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from bx24app.bitrix24.errors import NotSent

_deadline: ContextVar[float | None] = ContextVar("request_deadline", default=None)
"""Of this thread, by the monotonic clock."""


@contextmanager
def limit_seconds(seconds: float) -> Iterator[None]:
    """Let requests of this thread take `seconds` in all while the block runs."""
    deadline, outer = time.monotonic() + seconds, _deadline.get()
    token = _deadline.set(deadline if outer is None else min(deadline, outer))
    try:
        yield
    finally:
        _deadline.reset(token)


def seconds_left(otherwise: float) -> float:
    """Seconds until the deadline, at most `otherwise`; `otherwise` where there is no deadline."""
    deadline = _deadline.get()
    return otherwise if deadline is None else min(otherwise, deadline - time.monotonic())


def shorten_timeout(timeout: tuple[float, float]) -> tuple[float, float]:
    """The time-outs (to connect, to read), cut at the deadline.

    Raises:
        NotSent: the deadline has passed.
    """
    left = seconds_left(max(timeout))
    if left <= 0:
        raise NotSent("the time for this portal's requests is used up")
    return min(timeout[0], left), min(timeout[1], left)
