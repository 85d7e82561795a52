"""Shows on one machine which worker processes have died: each holds a lock on a file of its own.

The kernel gives the lock back when the process ends, however it ends. So any other process of the machine sees a death
for certain, without time-outs. `calls.leases.heartbeat` uses it; other machines are watched through the database.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bx24app.infra.logs import get_logger

_log = get_logger(__name__)

FOLDER = "workers"
"""Below the data directory."""


class WorkerFile:
    """The locked file of this process. Without it (the disk is read-only) a death is noticed as on another machine."""

    def __init__(self, data_dir: Path, name: str) -> None:
        self._descriptor: int | None = None
        try:
            (data_dir / FOLDER).mkdir(parents=True, exist_ok=True)
            while self._descriptor is None:
                self._descriptor = _lock_file(data_dir / FOLDER / name)
        except OSError as error:
            _log.warning("worker's file not made", error=str(error))


def _lock_file(path: Path) -> int | None:
    """A descriptor whose lock is held; None: somebody removed the file between its making and the lock."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    with suppress(OSError):
        if os.stat(path).st_ino == os.fstat(descriptor).st_ino:
            return descriptor
    os.close(descriptor)
    return None


def list_dead(data_dir: Path) -> list[str]:
    """Names of processes of this machine that have died."""
    folder = data_dir / FOLDER
    try:
        paths = sorted(folder.iterdir())
    except OSError:
        return []
    return [path.name for path in paths if _is_free(path)]


def _is_free(path: Path) -> bool:
    with _try_lock(path) as is_free:
        return is_free


@contextmanager
def _try_lock(path: Path) -> Iterator[bool]:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        yield False
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        yield False
    else:
        yield True
    finally:
        os.close(descriptor)


def forget_dead(data_dir: Path, name: str) -> None:
    """Remove the file of a process that has died, once what it had in hand is free."""
    path = data_dir / FOLDER / name
    with _try_lock(path) as is_free:
        if is_free:
            path.unlink(missing_ok=True)
