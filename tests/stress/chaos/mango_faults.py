"""Faults of Mango's recordings: they come late, their one-shot link is used up, or a download breaks off."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from bx24app.sandbox.mango.call_log import Recording
from tests.stress.chaos.processes import ChaosStack


def late(stack: ChaosStack, seconds: float) -> None:
    """Mango has sent `record/added`, but the file host answers 3320 for `seconds`."""
    with _requires_request(stack):
        stack.world.sandbox.call(_stored, stack, False)
        _wait_for_request(stack)
        time.sleep(seconds)
        stack.world.sandbox.call(_stored, stack, True)


def link_used_up(stack: ChaosStack, seconds: float) -> None:
    """Every link is already used up and gives 404; the app must request a fresh link each time."""
    cloud = stack.world.mango
    with _requires_request(stack):
        cloud.link_seconds, fair = -1.0, cloud.link_seconds
        _wait_for_request(stack)
        time.sleep(seconds)
        cloud.link_seconds = fair


def broken_off(stack: ChaosStack, seconds: float) -> None:
    """The connection is closed after the first bytes, and the link is then used up."""
    cloud = stack.world.mango
    with _requires_request(stack):
        cloud.cut_files_after = 1000
        _wait_for_request(stack)
        time.sleep(seconds)
        cloud.cut_files_after = 0


def _stored(stack: ChaosStack, stored: bool) -> None:
    """Runs in the sandbox's loop."""
    for recording in _recordings(stack):
        recording.is_stored = stored


def _recordings(stack: ChaosStack) -> Iterator[Recording]:
    for board in stack.world.mango.boards.values():
        yield from board.call_log.recordings.values()


def _count(stack: ChaosStack) -> int:
    return sum(1 for line in stack.world.mango.requests if line.endswith("queries/recording/post"))


def _wait_for_request(stack: ChaosStack) -> None:
    """Wait for the first request that the fault affects. `seconds` begin there, because earlier nothing is tried."""
    before, end = _count(stack), time.monotonic() + 60
    while _count(stack) == before and time.monotonic() < end:
        time.sleep(0.1)


@contextmanager
def _requires_request(stack: ChaosStack) -> Iterator[None]:
    before = _count(stack)
    yield
    if _count(stack) == before:
        raise RuntimeError("no recording was requested: nothing was tried")
