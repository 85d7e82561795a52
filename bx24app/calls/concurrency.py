"""One door a portal in each process: through it one drain after the other decides. Who finds somebody waiting at it need not wait too.
Behind the doors stand a few desks for all portals."""

from __future__ import annotations

import fcntl
import os
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path


class PortalGate:
    """Without it a flooded portal's drains would wait for the database's lock in every thread of the worker, each with a connection."""

    def __init__(self) -> None:
        self._mutex, self._count_lock = threading.Lock(), threading.Lock()
        self._waiter_count = 0

    @property
    def has_waiter(self) -> bool:
        """Is there one who has not begun to read? Then it will see everything that was committed before this question."""
        return self._waiter_count > 0

    @contextmanager
    def enter(self) -> Iterator[None]:
        with self._count_lock:
            self._waiter_count += 1
        try:
            self._mutex.acquire()
        finally:
            with self._count_lock:
                self._waiter_count -= 1
        try:
            yield
        finally:
            self._mutex.release()


_FOLD_SLOTS = {"sqlite": threading.BoundedSemaphore(1), "postgresql": threading.BoundedSemaphore(3)}
"""By dialect: a server's answer is waited for without the interpreter, so more than one keep it busy."""


@contextmanager
def fold_slot(dialect: str, folder: Path) -> Iterator[None]:
    """A place to fold at; there are few. The threads of a process share one interpreter, and where many compute at once a good part of its time
    goes by changing from one to the next.

    SQLite has one writer, and who waits for it looks again every few milliseconds: the drains of all processes stand in one line for it
    instead, by a lock on a file of the data directory (`folder`).
    """
    with _FOLD_SLOTS[dialect]:
        held = _open_lock_file(os.getpid(), folder / "desk.lock") if dialect == "sqlite" else None
        if held is None:
            yield
            return
        fcntl.flock(held, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(held, fcntl.LOCK_UN)


@cache
def _open_lock_file(pid: int, path: Path) -> int:
    """Opened once a process: a forked one would share its parent's lock."""
    del pid
    return os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)


_gates: defaultdict[int, PortalGate] = defaultdict(PortalGate)
_gates_lock = threading.Lock()


def portal_gate(portal_id: int) -> PortalGate:
    """Kept for the process's life: a hundred bytes a portal."""
    with _gates_lock:
        return _gates[portal_id]
