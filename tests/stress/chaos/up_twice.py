"""`bx24app up` is started again on the data directory of a running one: as it was, and with another port.

The second must end with one line that names the directory, and the first must go on. It is the default installation:
SQLite and the embedded Valkey.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import requests

from bx24app.infra import embedded_redis
from bx24app.infra.processes.child_process import die_with_parent
from tests.conftest import config_for
from tests.stress.chaos.faults import Fault
from tests.stress.chaos.processes import ROOT, _environ, furnish, settle
from tests.stress.chaos.run import run as run_day
from tests.stress.chaos.verdict import Row
from tests.stress.multi_host.front import Front
from tests.stress.multi_host.hosts import WideWorld
from tests.support.servers import free_port
from tests.support.stack import until

NAME = "`up` started twice on one data directory"
REFUSAL_SECONDS = 30.0


class UpStack:
    """One `bx24app up` with the sandbox; it has what `run` needs of a `ChaosStack`."""

    waits = "real"

    def __init__(self, folder: Path) -> None:
        self.folder, self.cleanup, self.other_web, data = folder, ExitStack(), list[str](), folder / "var"
        self.port = free_port()
        with embedded_redis.run_server(data) as url:  # a world begins with an empty Redis
            self.world = WideWorld(folder, url, config_for, quiet_seconds=120, hook_rate=0, address_rate=0)
        self.front: Front = self.world.front
        self.front.addresses = [f"127.0.0.1:{self.port}"]
        self.environ = {**os.environ, **_environ(self.world), "PYTHONPATH": str(ROOT), "BX24APP_REDIS_URL": ""}
        self.environ |= {"BX24APP_WORKERS": "1", "BX24APP_WORKER_THREADS": "6"}
        self.log = (folder / "up.log").open("ab")
        self.first = self._start(self.port, self.log.fileno())
        until(lambda: b"bx24app ready on" in (folder / "up.log").read_bytes(), self._read_log, 90)
        furnish(self.world)

    def _read_log(self) -> str:
        return (self.folder / "up.log").read_text(errors="replace")[-3000:]

    def _start(self, port: int, output: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "bx24app.cli", "up", "--port", str(port)], cwd=ROOT, env=self.environ,
            stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
            preexec_fn=partial(die_with_parent, os.getpid()),
        )  # fmt: skip

    def start_again(self, port: int) -> str:
        """Start another one and wait until it ends by itself. Returns what is wrong with that, or nothing."""
        process = self._start(port, subprocess.PIPE)
        try:
            text = process.communicate(timeout=REFUSAL_SECONDS)[0].decode()
        except subprocess.TimeoutExpired:
            process.kill()
            return f"a second `up` runs:\n{process.communicate()[0].decode()[-2000:]}"
        line = text.strip()
        if process.returncode != 1 or "\n" in line or str(self.world.config.data_dir.resolve()) not in line:
            return f"the second `up` ended with {process.returncode}:\n{text[-2000:]}"
        return ""

    def settle(self, seconds: float) -> bool:
        return settle(self.world, seconds)

    def close(self) -> None:
        self.first.terminate()
        self.first.wait(30)
        self.log.close()
        self.world.close()


@contextmanager
def up_stack() -> Iterator[UpStack]:
    with tempfile.TemporaryDirectory(prefix="chaos-up-") as name:
        stack = UpStack(Path(name))
        try:
            yield stack
        finally:
            stack.close()


def run(count: int, seconds: float, patience: float = 300) -> Row:
    """Start it again on the same port and on another one while the calls are sent."""
    wrong: list[str] = []

    def start_twice(stack: UpStack, seconds: float) -> None:
        for port in (stack.port, 0):
            time.sleep(seconds / 3)
            wrong.append(stack.start_again(port))
        if stack.first.poll() is not None:
            wrong.append(f"the first one ended with {stack.first.returncode}")
        elif requests.get(f"http://127.0.0.1:{stack.port}/healthz", timeout=10).status_code != 200:
            wrong.append("the first one is not healthy")

    with up_stack() as stack:
        row = run_day(stack, Fault(NAME, start_twice), count, seconds, patience)  # type: ignore[arg-type]
    for what in filter(None, wrong):
        row.wrong["else"] += 1
        row.details.append(f"{NAME}: {what}")
    return row
