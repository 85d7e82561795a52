"""Whose a Redis is: by what it remembers, by how far the ids have come, by who works with it."""

from __future__ import annotations

import pytest

from bx24app.domain.database_life import DatabaseMark, Owner, find_owner

MINE = DatabaseMark("mine", {"call": 7, "portal": 2})


@pytest.mark.parametrize(
    ("remembered", "is_other_alive", "owner"),
    [
        (None, False, Owner.NOBODY),
        (None, True, Owner.NOBODY),
        (MINE, False, Owner.SAME),
        (MINE, True, Owner.SAME),
        (DatabaseMark("mine", {"call": 6}), True, Owner.SAME),
        (DatabaseMark("mine", {"call": 8, "portal": 2}), False, Owner.LATER_LIFE),
        (DatabaseMark("mine", {"recording": 1}), False, Owner.LATER_LIFE),
        (DatabaseMark("mine", {"call": 8, "portal": 2}), True, Owner.IN_USE),
        (DatabaseMark("theirs", {}), False, Owner.OTHER),
        (DatabaseMark("theirs", {"call": 99}), False, Owner.OTHER),
        (DatabaseMark("theirs", {}), True, Owner.IN_USE),
    ],
)
def test_every_case(remembered: DatabaseMark | None, is_other_alive: bool, owner: Owner) -> None:
    assert find_owner(MINE, remembered, is_other_alive) is owner
