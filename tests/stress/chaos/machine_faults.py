"""Faults of the app's own machines: a full disk, a clock that jumps, an upgrade during calls."""

from __future__ import annotations

import resource
import time

from bx24app.models import Recording, db
from bx24app.models.problem_codes import RecordingProblem
from tests.stress.chaos.clock import jump
from tests.stress.chaos.processes import ChaosStack
from tests.stress.chaos.upgrading import upgraded
from tests.support.stack import until

FREE = resource.RLIM_INFINITY
FORWARD, BACK = 2 * 3600.0, -600.0
"""Seconds."""


def disk_full(stack: ChaosStack, seconds: float) -> None:
    """The kernel refuses every write of the worker to a file, as on a full disk. Later there is space again."""
    worker = stack.parts[0]
    resource.prlimit(worker, resource.RLIMIT_FSIZE, (0, FREE))
    until(lambda: _spool_refused(stack), "no recording met the full disk: nothing was tried", 90)
    time.sleep(seconds)
    resource.prlimit(worker, resource.RLIMIT_FSIZE, (FREE, FREE))


def _spool_refused(stack: ChaosStack) -> int:
    with stack.world.app.app_context():
        count: int = db.session.query(Recording).filter(Recording.problem_code == RecordingProblem.SPOOL).count()
        db.session.rollback()
        return count


def clock_jumps(stack: ChaosStack, seconds: float) -> None:
    """The clock of the workers and the scheduler: two hours ahead, ten minutes behind, and right again."""
    for offset in (FORWARD, BACK):
        time.sleep(seconds / 3)
        jump(stack.clock, offset)
    time.sleep(seconds / 3)
    jump(stack.clock, 0)


def load_new(stack: ChaosStack) -> None:
    stack.load("new")


def rolling_upgrade(stack: ChaosStack, seconds: float) -> None:
    """A migration during calls; then old and new code side by side, the new code alone, and back the same way."""
    old = stack.parts
    with upgraded(stack):
        new = [stack.start("worker", code="new"), stack.start("cron", code="new")]
        time.sleep(seconds / 2)
        for pid in old:
            stack.kill(pid)
        time.sleep(seconds / 2)
        stack.start("worker")
        stack.start("cron")
        for pid in new:
            stack.kill(pid)
