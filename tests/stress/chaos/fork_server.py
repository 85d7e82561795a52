"""A process with the program loaded, which forks workers and schedulers for `tests.stress.chaos.processes`.

For each line `worker KILL_AT [PLACE WORDS]` or `cron 0` on its input it forks one process and prints its pid. So a
killed process is replaced at once, as under the supervisor, but without the supervisor's pause.
"""

from __future__ import annotations

import os
import signal
import sys
from functools import partial
from pathlib import Path

from flask import Flask

from bx24app import create_app
from bx24app.cli import up
from bx24app.config import load
from bx24app.infra.processes.child_process import run_child
from tests.stress.chaos.clock import follow
from tests.stress.chaos.points import arm
from tests.stress.chaos.short_waits import shorten_waits
from tests.stress.chaos.upgrading import learn

CALLS, RECORDINGS = 4, 2
ELSEWHERE = "elsewhere"
"""The place of a process that shares no files with the others, as if on another machine."""


def _move_data(app: Flask) -> None:
    runtime = app.extensions["bx24app"]
    runtime.config = runtime.config.model_copy(update={"data_dir": runtime.config.data_dir / ELSEWHERE})


def main() -> None:
    if os.environ["CHAOS_WAITS"] == "short":
        shorten_waits()
    follow()
    if os.environ["CHAOS_CODE"] == "new":
        learn()
    app = create_app(load())
    up._preload_modules()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps dead children, so their pid disappears
    print("ready", flush=True)
    while line := sys.stdin.readline():
        name, kill_at, place, words = [*line.rstrip("\n").split(" ", 3), "", ""][:4]
        target = partial(up._cron_target, app) if name == "cron" else partial(up._worker_target, app, CALLS, RECORDINGS)
        parent, pid = os.getpid(), os.fork()
        if pid == 0:
            os.dup2(2, 1)
            if place == ELSEWHERE:
                _move_data(app)
            if int(kill_at) or words:
                arm(int(kill_at), Path(os.environ["CHAOS_TRACE"]), words)
            run_child(name, target, parent)
        print(pid, flush=True)


if __name__ == "__main__":
    main()
