"""`bx24app apps add` on a terminal."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import termios
from contextlib import suppress
from pathlib import Path

from bx24app import create_app
from bx24app.config import load
from bx24app.models import Registration, db
from tests.support.commands import environment, run
from tests.support.stack import until


def test_a_secret_is_typed_without_an_echo(tmp_path: Path) -> None:
    """On a terminal the command asks; nothing of the secret appears on it, nor in the list of processes."""
    environ = environment(tmp_path / "var")
    assert run(environ, "db", "upgrade").exit_code == 0
    command = [sys.executable, "-m", "bx24app.cli", "apps", "add", "local.9"]
    leader, follower = pty.openpty()
    how = {"stdin": follower, "stdout": follower, "stderr": follower, "env": {**os.environ, **environ}}
    with subprocess.Popen(command, start_new_session=True, **how) as process:  # type: ignore[call-overload]
        os.close(follower)
        shown = b""
        while b"Client secret: " not in shown:
            shown += os.read(leader, 1000)
        try:  # asked, but getpass may not have turned the echo off yet
            until(lambda: not termios.tcgetattr(leader)[3] & termios.ECHO, "the secret would be echoed", 30)
        except AssertionError:
            process.kill()
            raise
        os.write(leader, b"typed secret\n")
        with suppress(OSError):  # the terminal is gone with the process
            while part := os.read(leader, 1000):
                shown += part
    os.close(leader)
    assert (process.returncode, b"local.9 added" in shown, b"typed" in shown) == (0, True, False), shown
    with create_app(load(environ)).app_context():
        assert db.session.get_one(Registration, "local.9").client_secret == "typed secret"
        db.session.remove()
        db.engine.dispose()
