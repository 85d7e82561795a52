"""The released edition beside the present code: its own checkout, on the same Redis and the same, already migrated, database.

`RELEASE` is the commit of the edition that installations run. It is taken from the repository's history, so a copy without history cannot try it.
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
    from tests.stress.chaos.processes import Arena

RELEASE = "4f532bf"
ROOT = Path(__file__).parents[3]
FORK_SERVER = "tests.chaos.zygote"
"""The module of the released edition that forks workers and schedulers."""


def check_out(folder: Path) -> Path:
    """The released edition's files; made once in `folder`."""
    target = folder / "released"
    if not target.exists():
        target.mkdir()
        archive = folder / "released.tar"
        subprocess.run(["git", "archive", "--format=tar", f"--output={archive}", RELEASE], cwd=ROOT, check=True)
        with tarfile.open(archive) as files:
            files.extractall(target, filter="data")
    return target


def load(arena: Arena) -> None:
    """The released edition can be started at once from now on."""
    arena.load("released")


def roll_over(arena: Arena, seconds: float) -> None:
    """Calls come in at the released edition's workers and web process, then at both editions', then at the present one's; then back, and forth again."""
    present = arena.parts
    for pid in present:
        arena.kill(pid)
    released = _start(arena, "released")
    web, url = _start_web(arena)
    arena.other_web.append(url)
    delivered = _count_delivered(arena)
    time.sleep(seconds / 3)
    if _count_delivered(arena) == delivered:
        raise RuntimeError("the released edition delivered nothing while it was alone: nothing was tried")
    _start(arena, "old")
    time.sleep(seconds / 3)
    _stop(arena, released)
    arena.other_web.clear()
    web.terminate()
    web.wait(20)
    time.sleep(seconds / 6)
    again = _start(arena, "released")
    time.sleep(seconds / 6)
    _stop(arena, again)


def _count_delivered(arena: Arena) -> int:
    with arena.world.app.app_context():
        count: int = db.session.query(Delivery).filter_by(state="done").count()
        db.session.rollback()
        return count


def _start(arena: Arena, code: str) -> list[int]:
    return [arena.start("worker", code=code), arena.start("cron", code=code)]


def _stop(arena: Arena, pids: list[int]) -> None:
    for pid in pids:
        arena.kill(pid)


def _start_web(arena: Arena) -> tuple[subprocess.Popen[bytes], str]:
    folder, port = check_out(arena.folder), free_port()
    process: subprocess.Popen[bytes] = subprocess.Popen(
        [sys.executable, "-m", "bx24app.cli", "web", "--port", str(port)],
        cwd=folder,
        env=arena.environment("released"),
        stdout=arena.log,
        stderr=arena.log,
        preexec_fn=partial(die_with_parent, os.getpid()),
    )
    url = f"http://127.0.0.1:{port}"
    until(lambda: _answers(url), "the released edition's web part did not start", 90)
    return process, url


def _answers(url: str) -> bool:
    try:
        return requests.get(f"{url}/healthz", timeout=2).status_code == 200
    except requests.RequestException:
        return False
