"""Turns at SQLite's one write lock, between the drains of all processes and the notifications that wait to be stored.

SQLite has one writer, and a connection that waits for it only polls: beside folds that follow each other it hardly ever
finds the lock free. So a writer takes `turn.lock`, waits for `desk.lock`, and gives back the turn: whoever has written
cannot write again before the one who has waited. These files only keep order; the lock is SQLite's.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

POLL_SECONDS = 0.001
"""How often the inbox looks whether the lock is free; a fold has it for hundredths of a second."""


class SqliteTurns:
    """The lock files as the process of one application has them open."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._files: dict[int, tuple[int, int]] = {}
        """Process id -> descriptors of `turn.lock` and `desk.lock`: a forked process would share its parent's locks."""

    @contextmanager
    def fold_turn(self, folder: Path) -> Iterator[None]:
        """For a fold of this process: one thread at a time. `folder`: the data directory."""
        turn, writer = self._open(folder)
        fcntl.flock(turn, fcntl.LOCK_EX)
        try:
            fcntl.flock(writer, fcntl.LOCK_EX)
        finally:
            fcntl.flock(turn, fcntl.LOCK_UN)
        try:
            yield
        finally:
            fcntl.flock(writer, fcntl.LOCK_UN)

    @contextmanager
    def inbox_turn(self, folder: Path, seconds: float) -> Iterator[None]:
        """To store notifications: one thread of a process at a time.

        After `seconds` (a process has frozen in its turn) it goes on without one, and SQLite decides.
        """
        files = self._open(folder)
        give_up_at, taken = time.monotonic() + seconds, list[int]()
        try:
            for descriptor in files:
                if not _lock_in_time(descriptor, give_up_at):
                    break
                taken.append(descriptor)
            if len(taken) == len(files):
                fcntl.flock(taken.pop(0), fcntl.LOCK_UN)
            yield
        finally:
            for descriptor in taken:
                fcntl.flock(descriptor, fcntl.LOCK_UN)

    def _open(self, folder: Path) -> tuple[int, int]:
        with self._lock:
            if os.getpid() not in self._files:
                flags = os.O_CREAT | os.O_RDWR | os.O_CLOEXEC
                turn, writer = (os.open(folder / name, flags, 0o600) for name in ("turn.lock", "desk.lock"))
                self._files[os.getpid()] = turn, writer
            return self._files[os.getpid()]


def _lock_in_time(descriptor: int, give_up_at: float) -> bool:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > give_up_at:
                return False
            time.sleep(POLL_SECONDS)
        else:
            return True
