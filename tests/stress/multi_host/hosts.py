"""Four hosts beside a sandbox: two web hosts, and two with a worker and a scheduler each.

They share only PostgreSQL and Valkey. A test opens `wide()` and kills, stops or restarts the hosts.
"""

from __future__ import annotations

import logging
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path

from bx24app.infra.processes.child_process import die_with_parent
from tests.conftest import config_for
from tests.stress.chaos.processes import ROOT, Valkey, _environ, furnish, settle
from tests.stress.chaos.short_waits import RETRY
from tests.stress.multi_host.front import Front
from tests.support.servers import free_port, postgres_server
from tests.support.stack import World, until


class WideWorld(World):
    """A world whose app is the proxy in front of the web hosts."""

    def _served(self) -> Front:
        self.front = Front()
        return self.front


class Host:
    """One host. `words`: what runs there. Every start has an empty data directory, as a new machine has."""

    def __init__(self, name: str, words: list[str], folder: Path, environ: dict[str, str]) -> None:
        self.name, self._words, self._data, self._log = name, words, folder / name, folder / f"{name}.log"
        self._environ = {**os.environ, **environ, "PYTHONPATH": str(ROOT), "BX24APP_DATA_DIR": str(self._data)}
        self._process: subprocess.Popen[bytes] | None = None
        self._log_start = 0

    def start(self) -> None:
        """Start the host without waiting; `wait` waits until it is ready."""
        shutil.rmtree(self._data, ignore_errors=True)
        self._data.mkdir()
        with self._log.open("ab") as log:
            self._log_start = log.tell()
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.stress.multi_host.host", *self._words],
                cwd=ROOT,
                env=self._environ,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=partial(die_with_parent, os.getpid()),
            )

    def wait(self) -> None:
        """Wait until the host's processes report that they are ready."""
        wanted = {b"ready\n"} if "web" in self._words else {b"ready\n", b"worker ready"}
        until(lambda: all(word in self._new() for word in wanted), lambda: f"{self.name}: {self._new()[-3000:]!r}", 90)

    def _new(self) -> bytes:
        with self._log.open("rb") as log:
            log.seek(self._log_start)
            return log.read()

    def log_lines(self) -> list[str]:
        """The lines of the host's log since its first start."""
        return self._log.read_text(errors="replace").splitlines()

    def kill(self) -> None:
        """Cut the power: SIGKILL to every process, the supervisor first, so that it starts nothing again."""
        if self._process is not None:
            groups = [self._process.pid, *children(self._process.pid)]
            for group in groups:  # each child process leads its own process group
                with suppress(ProcessLookupError):
                    os.killpg(group, signal.SIGKILL)
            self._process.wait(20)
            until(lambda: not any(Path(f"/proc/{group}").exists() for group in groups), f"{self.name} still runs", 20)
            self._process = None

    def stop(self) -> int:
        """Send SIGTERM to the supervisor, as `systemctl stop` does. Returns the exit code."""
        if self._process is None:
            raise RuntimeError(f"{self.name} does not run")
        self._process.terminate()
        code = self._process.wait(60)
        self._process = None
        return code

    def files(self) -> list[str]:
        """The files in the host's data directory."""
        return sorted(str(path.relative_to(self._data)) for path in self._data.rglob("*") if path.is_file())


def children(pid: int) -> list[int]:
    return [int(word) for task in Path(f"/proc/{pid}/task").glob("*/children") for word in task.read_text().split()]


class Wide:
    """The hosts (`web`, `work`), and the sandbox with the proxy (`world`).

    It has what `tests.stress.chaos.run` needs of a `ChaosStack`.
    """

    waits = "short"

    def __init__(self, folder: Path, database_url: str) -> None:
        self.valkey = Valkey(folder)
        self.valkey.start()
        self.world = WideWorld(
            folder, self.valkey.url, config_for, quiet_seconds=120, hook_rate=0, address_rate=0, recording_retry=RETRY,
            database_url=database_url,
        )  # fmt: skip
        ports, environ = (free_port(), free_port()), {**_environ(self.world), "BX24APP_LOG_LEVEL": "INFO"}
        self.front = self.world.front
        self.front.addresses = [f"127.0.0.1:{port}" for port in ports]
        self.web = [Host(f"web-{at}", ["web", str(port)], folder, environ) for at, port in enumerate(ports, 1)]
        self.work = [Host(f"work-{at}", ["work", "cron"], folder, environ) for at in (1, 2)]

    @property
    def hosts(self) -> list[Host]:
        return [*self.web, *self.work]

    def furnish(self) -> None:
        for host in self.hosts:
            host.start()
        for host in self.hosts:
            host.wait()
        furnish(self.world)

    def settle(self, seconds: float) -> bool:
        """Wait until nothing is pending. False if that takes longer than `seconds`."""
        return settle(self.world, seconds)

    def rolling_restart(self) -> dict[str, float]:
        """Restart one host after another: SIGTERM, then start and wait. Returns the seconds each was away."""
        away: dict[str, float] = {}
        for host in self.hosts:
            since = time.monotonic()
            code = host.stop()
            if code:
                raise RuntimeError(f"{host.name} ended with {code}")
            host.start()
            host.wait()
            away[host.name] = time.monotonic() - since
        return away

    def close(self) -> None:
        for host in self.hosts:
            host.kill()
        self.world.close()
        self.valkey.kill()


@contextmanager
def wide() -> Iterator[Wide]:
    """The four hosts, with an installed portal and three PBXs."""
    root = logging.getLogger()
    level = root.level
    with tempfile.TemporaryDirectory(prefix="wide-") as name, ExitStack() as stack:
        hosts = Wide(Path(name), stack.enter_context(postgres_server(Path(name))).url)
        root.setLevel(logging.ERROR)
        try:
            hosts.furnish()
            yield hosts
        finally:
            hosts.close()
            root.setLevel(level)
