"""How many drains compute at once in a process: one per portal (portal gate), and few over all portals (fold slot).

`calls.drain` enters both before it folds. A drain that finds another one waiting at its portal's gate may end at once.
"""

from __future__ import annotations

import fcntl
import os
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from bx24app.infra.runtime import runtime


class PortalGate:
    """Lets one drain of a portal decide at a time.

    Without it a flooded portal's drains would wait for the database's lock in every thread of the worker, each with a
    connection.
    """

    def __init__(self) -> None:
        self._mutex, self._count_lock = threading.Lock(), threading.Lock()
        self._waiter_count = 0

    @property
    def has_waiter(self) -> bool:
        """Does a drain wait that has not begun to read?

        It will see everything that was committed before this question.
        """
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


class DrainGates:
    """The portal gates and fold slots of one application in one process."""

    def __init__(self) -> None:
        # By dialect. On PostgreSQL a fold waits for the server without the interpreter's lock, so more than one keeps a
        # process busy.
        self._fold_slots = {"sqlite": threading.BoundedSemaphore(1), "postgresql": threading.BoundedSemaphore(3)}
        self._gates: defaultdict[int, PortalGate] = defaultdict(PortalGate)
        self._lock = threading.Lock()
        self._lock_files: dict[int, int] = {}
        """Process id -> descriptor of `desk.lock`: a forked process would share its parent's lock."""

    def portal_gate(self, portal_id: int) -> PortalGate:
        """The gate of a portal; kept for the process's life, a hundred bytes a portal."""
        with self._lock:
            return self._gates[portal_id]

    @contextmanager
    def fold_slot(self, dialect: str, folder: Path) -> Iterator[None]:
        """Hold one of the few slots in which a fold may compute.

        The threads of a process share one interpreter; where many compute at once, changing from one to the next takes
        a good part of its time. SQLite has one writer, and a connection that waits for it polls every few milliseconds:
        the drains of all processes queue for a lock on a file of the data directory (`folder`) instead.
        """
        with self._fold_slots[dialect]:
            descriptor = self._open_lock_file(folder) if dialect == "sqlite" else None
            if descriptor is None:
                yield
                return
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.flock(descriptor, fcntl.LOCK_UN)

    def _open_lock_file(self, folder: Path) -> int:
        with self._lock:
            if os.getpid() not in self._lock_files:
                flags = os.O_CREAT | os.O_RDWR | os.O_CLOEXEC
                self._lock_files[os.getpid()] = os.open(folder / "desk.lock", flags, 0o600)
            return self._lock_files[os.getpid()]


def portal_gate(portal_id: int) -> PortalGate:
    """The gate of a portal of the current application."""
    return runtime().get(DrainGates).portal_gate(portal_id)


def fold_slot(dialect: str, folder: Path) -> AbstractContextManager[None]:
    """A fold slot of the current application (`DrainGates.fold_slot`)."""
    return runtime().get(DrainGates).fold_slot(dialect, folder)
