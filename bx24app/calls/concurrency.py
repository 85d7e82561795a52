"""How many drains run at once in a process: one per portal (drain slot); and few that compute over all portals (fold
slot).

`calls.drain` takes the first for its whole run, the second while it folds. Each worker process has slots of its own:
between processes the portal's lock keeps the order, and a delivery leaves once because its row is claimed.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

from bx24app.infra.runtime import runtime
from bx24app.infra.sqlite_turns import SqliteTurns


class DrainSlot:
    """One portal's place for a drain. Whoever comes while one runs asks it to look again, and ends.

    Without it each notification of a portal that answers slowly would take another thread of the worker.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._nudge: Callable[[], None] | None = None
        """Wakes the running drain if it waits for answers; None: no drain runs."""
        self._is_nudged = False

    def enter(self, nudge: Callable[[], None]) -> bool:
        """Take the slot. False: a drain has it, and was asked to look again."""
        with self._lock:
            if self._nudge is None:
                self._nudge = nudge
                return True
        return not self.ask_again()

    def ask_again(self) -> bool:
        """Let the running drain look again. It will see all that was committed before. False: none runs."""
        with self._lock:
            nudge, was_nudged = self._nudge, self._is_nudged
            self._is_nudged = nudge is not None
        if nudge is not None and not was_nudged:
            nudge()
        return nudge is not None

    @property
    def is_nudged(self) -> bool:
        """Was the running drain asked to look again since it began its last step?"""
        return self._is_nudged

    def take_nudge(self) -> bool:
        """`is_nudged`; a drain that begins a step with this has done what it was asked for."""
        with self._lock:
            was_nudged, self._is_nudged = self._is_nudged, False
        return was_nudged

    def leave(self) -> bool:
        """Give the slot back. True: the drain was asked to look again and has not done so."""
        with self._lock:
            was_nudged, self._nudge, self._is_nudged = self._is_nudged, None, False
        return was_nudged

    def leave_unless_nudged(self) -> bool:
        """Give the slot back; False: the drain was asked to look again, so it keeps the slot."""
        with self._lock:
            if not self._is_nudged:
                self._nudge = None
            return not self._is_nudged


class DrainGates:
    """The drain slots and fold slots of one application in one process."""

    def __init__(self) -> None:
        # By dialect. On PostgreSQL a fold waits for the server without the interpreter's lock, so more than one keeps a
        # process busy.
        self._fold_slots = {"sqlite": threading.BoundedSemaphore(1), "postgresql": threading.BoundedSemaphore(3)}
        self._drain_slots: defaultdict[int, DrainSlot] = defaultdict(DrainSlot)
        self._lock = threading.Lock()
        self._turns = SqliteTurns()

    def drain_slot(self, portal_id: int) -> DrainSlot:
        """The slot of a portal; kept for the process's life, a hundred bytes a portal."""
        with self._lock:
            return self._drain_slots[portal_id]

    @contextmanager
    def fold_slot(self, dialect: str, folder: Path) -> Iterator[None]:
        """Hold one of the few slots in which a fold may compute.

        The threads of a process share one interpreter; where many compute at once, changing from one to the next takes
        a good part of its time. SQLite has one writer: the drains of all processes take turns by lock files of the data
        directory (`folder`).
        """
        with self._fold_slots[dialect], self._turns.fold_turn(folder) if dialect == "sqlite" else nullcontext():
            yield


def drain_slot(portal_id: int) -> DrainSlot:
    """The drain slot of a portal of the current application."""
    return runtime().get(DrainGates).drain_slot(portal_id)


def fold_slot(dialect: str, folder: Path) -> AbstractContextManager[None]:
    """A fold slot of the current application (`DrainGates.fold_slot`)."""
    return runtime().get(DrainGates).fold_slot(dialect, folder)
