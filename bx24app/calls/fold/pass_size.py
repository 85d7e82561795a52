"""How many calls one pass of a fold takes: so many as it can fold in a bounded time.

On SQLite a step holds the one write lock, for which accepted notifications wait too; on any database the threads of a
worker share one interpreter. So a flooded portal is folded in short passes, shorter ones while other portals have work.
`portal_fold` asks before a pass and says how long it took. What is left stays new in the table.
"""

from __future__ import annotations

from collections.abc import Sequence

from bx24app.calls import giving_way
from bx24app.calls.fold.grouping import PASS_LIMIT
from bx24app.infra.runtime import runtime
from bx24app.models import Notification
from bx24app.models.base import is_sqlite

PASS_SECONDS, SHARED_SECONDS = 0.15, 0.04
"""How long a pass may take, and one while other portals are about."""
UNLOCKED_SECONDS = 1.0
"""How long a pass may take on PostgreSQL, where nobody else waits for it, while the portal is alone."""
MIN_CALLS = 4
FIRST_GUESS, LEARNING = 0.01, 0.2
"""Seconds a call until a process has measured, and the weight of a new measurement."""
ROWS_A_CALL = 13
"""About so many notifications has a call; a pass does not read many more than it takes."""


class PassSizes:
    """What a process has learnt about the time of its folds."""

    def __init__(self) -> None:
        self._seconds_a_call = FIRST_GUESS

    def note(self, calls: int, seconds: float) -> None:
        """A pass has folded so many calls."""
        if calls:
            self._seconds_a_call += LEARNING * (seconds / calls - self._seconds_a_call)

    def count_calls(self, seconds: float) -> int:
        """How many calls a pass of this time takes."""
        return max(MIN_CALLS, int(seconds / self._seconds_a_call))


def choose_calls(portal_id: int) -> int:
    """How many calls the next pass of this portal takes."""
    seconds = PASS_SECONDS if is_sqlite() else UNLOCKED_SECONDS
    if giving_way.are_others_about(portal_id):
        seconds = SHARED_SECONDS
    return runtime().get(PassSizes).count_calls(seconds)


def count_rows(calls: int) -> int:
    """How many notifications to read for so many calls."""
    return min(PASS_LIMIT, calls * ROWS_A_CALL)


def take_first(rows: Sequence[Notification], calls: int) -> list[Notification]:
    """Of these notifications, oldest first, all of the first calls, and every click."""
    taken: set[tuple[int, str | None, str | None]] = set()
    chosen: list[Notification] = []
    for row in rows:
        key = row.pbx_id, row.entry_id, row.command_id
        if row.pbx_id and key not in taken:
            if len(taken) == calls:
                continue
            taken.add(key)
        chosen.append(row)
    return chosen
