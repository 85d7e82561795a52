"""Runs the released edition beside the present code, on the same Redis and the same migrated database.

`RELEASE` is the commit that installations run. It is checked out from the repository's history, so this fault cannot
be tried in a copy without history.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import requests

from bx24app.infra.processes.child_process import die_with_parent
from bx24app.models import Delivery, db
from tests.support.servers import free_port
from tests.support.stack import until

if TYPE_CHECKING:
    from tests.stress.chaos.processes import ChaosStack

RELEASE = "4f532bf"
ROOT = Path(__file__).parents[3]
AIM_SECONDS = 1260.0
"""What this edition has in hand when it ends carries no owner, so it is given up by age: a recording's claim after 20
minutes (`recordings.attempts.CLAIM_LIFETIME`), a request after two."""
_LOAD = "from tests.chaos import zygote; {}zygote.main()"
FORK_SERVER = {"short": _LOAD.format(""), "real": _LOAD.format("zygote.hasten = lambda: None; ")}
"""By the stack's waits: what forks workers and schedulers of the released edition. The module had this name there, and
always shortened its waits.
"""


def check_out(folder: Path) -> Path:
    """Check out the released edition into `folder`, once."""
    target = folder / "released"
    if not target.exists():
        target.mkdir()
        archive = folder / "released.tar"
        subprocess.run(["git", "archive", "--format=tar", f"--output={archive}", RELEASE], cwd=ROOT, check=True)
        with tarfile.open(archive) as files:
            files.extractall(target, filter="data")
    return target


def load(stack: ChaosStack) -> None:
    """Load the released edition, so that its processes start at once."""
    stack.load("released")


def roll_over(stack: ChaosStack, seconds: float) -> None:
    """Calls reach the released edition, then both editions, then the present one; then back and forth again."""
    present = stack.parts
    for pid in present:
        stack.kill(pid)
    released = _start(stack, "released")
    web, url = _start_web(stack)
    stack.other_web.append(url)
    delivered = _count_delivered(stack)
    time.sleep(seconds / 3)
    if _count_delivered(stack) == delivered:
        raise RuntimeError("the released edition delivered nothing while it was alone: nothing was tried")
    _start(stack, "old")
    time.sleep(seconds / 3)
    _stop(stack, released)
    stack.other_web.clear()
    web.terminate()
    web.wait(20)
    time.sleep(seconds / 6)
    again = _start(stack, "released")
    time.sleep(seconds / 6)
    _stop(stack, again)


def _count_delivered(stack: ChaosStack) -> int:
    with stack.world.app.app_context():
        count: int = db.session.query(Delivery).filter_by(state="done").count()
        db.session.rollback()
        return count


def _start(stack: ChaosStack, code: str) -> list[int]:
    return [stack.start("worker", code=code), stack.start("cron", code=code)]


def _stop(stack: ChaosStack, pids: list[int]) -> None:
    for pid in pids:
        stack.kill(pid)


def _start_web(stack: ChaosStack) -> tuple[subprocess.Popen[bytes], str]:
    folder, port = check_out(stack.folder), free_port()
    process: subprocess.Popen[bytes] = subprocess.Popen(
        [sys.executable, "-m", "bx24app.cli", "web", "--port", str(port)],
        cwd=folder,
        env=stack.environment("released"),
        stdout=stack.log,
        stderr=stack.log,
        preexec_fn=partial(die_with_parent, os.getpid()),
    )
    url = f"http://127.0.0.1:{port}"
    until(lambda: _answers(url), "the web process of the released edition did not start", 90)
    return process, url


def _answers(url: str) -> bool:
    try:
        return requests.get(f"{url}/healthz", timeout=2).status_code == 200
    except requests.RequestException:
        return False
