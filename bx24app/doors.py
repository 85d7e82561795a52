"""One door a portal in each process: through it one drain after the other decides. Who finds somebody waiting at it need not wait too.
Behind the doors stand a few desks for all portals."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager


class Door:
    """Without it a flooded portal's drains would wait for the database's lock in every thread of the worker, each with a connection."""

    def __init__(self) -> None:
        self._mutex, self._count = threading.Lock(), threading.Lock()
        self._waiting = 0

    @property
    def somebody_waits(self) -> bool:
        """Is there one who has not begun to read? Then it will see everything that was committed before this question."""
        return self._waiting > 0

    @contextmanager
    def passed(self) -> Iterator[None]:
        with self._count:
            self._waiting += 1
        try:
            self._mutex.acquire()
        finally:
            with self._count:
                self._waiting -= 1
        try:
            yield
        finally:
            self._mutex.release()


class Desks:
    """How many drains of a process fold at the same time. They would share one interpreter, and where many threads compute at once a good part
    of its time goes by changing from one to the next; on SQLite they would poll for its one writer's lock besides."""

    def __init__(self, count: int) -> None:
        self._free = threading.BoundedSemaphore(count)

    @contextmanager
    def taken(self) -> Iterator[None]:
        with self._free:
            yield


DESKS = {"sqlite": Desks(1), "postgresql": Desks(3)}
"""By dialect: a server's answer is waited for without the interpreter, so more than one keep it busy."""

_doors: defaultdict[int, Door] = defaultdict(Door)
_lock = threading.Lock()


def of_portal(portal_id: int) -> Door:
    """Kept for the process's life: a hundred bytes a portal."""
    with _lock:
        return _doors[portal_id]
