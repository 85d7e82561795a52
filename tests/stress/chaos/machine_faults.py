"""Faults of our own machines: a full disk, a clock that jumps, an upgrade in the middle of the day."""

from __future__ import annotations

import resource
import time

from bx24app.models import Recording, db
from bx24app.models.problem_codes import RecordingProblem
from tests.stress.chaos.clock import jump
from tests.stress.chaos.processes import Arena
from tests.stress.chaos.upgrading import upgraded
from tests.support.stack import until

FREE = resource.RLIM_INFINITY
FORWARD, BACK = 2 * 3600.0, -600.0
"""Seconds."""


def disk_full(arena: Arena, seconds: float) -> None:
    """Not one byte more can be written to a file by the worker: the kernel itself refuses its write(2). Then there is space again."""
    worker = arena.parts[0]
    resource.prlimit(worker, resource.RLIMIT_FSIZE, (0, FREE))
    until(lambda: _spool_refused(arena), "no recording met the full disk: nothing was tried", 90)
    time.sleep(seconds)
    resource.prlimit(worker, resource.RLIMIT_FSIZE, (FREE, FREE))


def _spool_refused(arena: Arena) -> int:
    with arena.world.app.app_context():
        found: int = db.session.query(Recording).filter(Recording.problem_code == RecordingProblem.SPOOL).count()
        db.session.rollback()
        return found


def clock_jumps(arena: Arena, seconds: float) -> None:
    """The workers' and the scheduler's: two hours ahead, ten minutes behind, and right again."""
    for offset in (FORWARD, BACK):
        time.sleep(seconds / 3)
        jump(arena.clock, offset)
    time.sleep(seconds / 3)
    jump(arena.clock, 0)


def load_new(arena: Arena) -> None:
    arena.load("new")


def rolling_upgrade(arena: Arena, seconds: float) -> None:
    """A migration while calls come in; then old and new code side by side, then the new alone, then back again the same way."""
    old = arena.parts
    with upgraded(arena):
        new = [arena.start("worker", code="new"), arena.start("cron", code="new")]
        time.sleep(seconds / 2)
        for pid in old:
            arena.kill(pid)
        time.sleep(seconds / 2)
        arena.start("worker")
        arena.start("cron")
        for pid in new:
            arena.kill(pid)
