"""A migration is killed before each of its statements, with calls in flight, and runs to its end at last.

Run as a module it is such a migration, which kills itself before the statement that its argument numbers. The migration
is that of a release that does not exist yet (`upgrading`); `tests/models/test_killed_migrations.py` kills all others.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import Any

from sqlalchemy import Engine, event

from bx24app import create_app
from bx24app.cli import up
from bx24app.config import load
from tests.stress.chaos.processes import ROOT, ChaosStack
from tests.stress.chaos.upgrading import MIGRATIONS_VARIABLE, copied_migrations

CHANGES = ("CREATE", "ALTER", "DROP", "INSERT", "UPDATE", "DELETE")
MOST = 40


def prepare(stack: ChaosStack) -> None:
    """A copy of the migrations with one more."""
    stack.cleanup.enter_context(copied_migrations(stack))


def killed_while_migrating(stack: ChaosStack, seconds: float) -> None:
    """Kill it before its first statement, its second, …, until one survives."""
    killed = 0
    while _migrate(stack, killed + 1) == -signal.SIGKILL:
        killed += 1
        if killed == MOST:
            raise RuntimeError(f"still killed at statement {MOST}")
    if killed < 3:
        raise RuntimeError(f"killed {killed} times only: nothing was tried")


def _migrate(stack: ChaosStack, kill_at: int) -> int:
    environ = stack.environment("old") | {MIGRATIONS_VARIABLE: str(stack.folder / "migrations")}
    command = [sys.executable, "-m", "tests.stress.chaos.migrating", str(kill_at)]
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode not in (0, -signal.SIGKILL):
        raise RuntimeError(f"the migration ended with {done.returncode}: {done.stderr[-1500:]}")
    return done.returncode


def kill_before(number: int) -> None:
    """Kill this process before its `number`-th statement that changes something."""
    count = 0

    @event.listens_for(Engine, "before_cursor_execute")
    def _count(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        nonlocal count
        if statement.lstrip().upper().startswith(CHANGES):
            count += 1
            if count == number:
                os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    app = create_app(load())
    known = app.extensions["migrate"].migrate
    known.directory = os.environ[MIGRATIONS_VARIABLE]
    kill_before(int(sys.argv[1]))
    up.migrate_database(app)


if __name__ == "__main__":
    main()
