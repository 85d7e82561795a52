"""Faults of Mango's recordings: they come late, and their one-shot link has been used up by somebody else or breaks off half-way."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from bx24app.sandbox.mango.call_log import Recording
from tests.stress.chaos.processes import Arena


def late(arena: Arena, seconds: float) -> None:
    """`record/added` was told, but the file host has nothing yet: 3320."""
    with _asked(arena):
        arena.world.sandbox.call(_stored, arena, False)
        _until_asked(arena)
        time.sleep(seconds)
        arena.world.sandbox.call(_stored, arena, True)


def gone(arena: Arena, seconds: float) -> None:
    """Every link that Mango gives was used before we come: 404. A fresh link is asked for each time."""
    cloud = arena.world.mango
    with _asked(arena):
        cloud.link_seconds, fair = -1.0, cloud.link_seconds
        _until_asked(arena)
        time.sleep(seconds)
        cloud.link_seconds = fair


def broken_off(arena: Arena, seconds: float) -> None:
    """The connection is closed after the first bytes; the link is used up by that."""
    cloud = arena.world.mango
    with _asked(arena):
        cloud.cut_files_after = 1000
        _until_asked(arena)
        time.sleep(seconds)
        cloud.cut_files_after = 0


def _stored(arena: Arena, stored: bool) -> None:
    """Runs in the sandbox's loop."""
    for recording in _recordings(arena):
        recording.is_stored = stored


def _recordings(arena: Arena) -> Iterator[Recording]:
    for board in arena.world.mango.boards.values():
        yield from board.call_log.recordings.values()


def _count(arena: Arena) -> int:
    return sum(1 for line in arena.world.mango.requests if line.endswith("queries/recording/post"))


def _until_asked(arena: Arena) -> None:
    """The trouble lasts `seconds` from the first request that meets it: before that nothing would be tried."""
    before, end = _count(arena), time.monotonic() + 60
    while _count(arena) == before and time.monotonic() < end:
        time.sleep(0.1)


@contextmanager
def _asked(arena: Arena) -> Iterator[None]:
    before = _count(arena)
    yield
    if _count(arena) == before:
        raise RuntimeError("no recording was asked for: nothing was tried")
