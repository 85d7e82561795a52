"""Whose is this Redis? Compares what it remembers of a database with the database itself.

Everything in Redis may be thrown away, but only by the database to which it belongs, or by the next one when nobody
works with it any more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Owner(StrEnum):
    """Whose Redis it is, seen from one database."""

    NOBODY = "nobody"
    """It remembers no database: it is new, was emptied, or a version before 0019 used it."""
    SAME = "same"
    OTHER = "other"
    """Another database's, and nobody works with that one."""
    LATER_LIFE = "later life"
    """That of this database at a later time: the database was restored from a backup."""
    IN_USE = "in use"
    """Another database's, or a later life's, and somebody works with it."""


@dataclass(frozen=True, slots=True)
class DatabaseMark:
    """What identifies a database at one moment: its id, and the last id that each table has given away."""

    value: str
    last_ids: Mapping[str, int]


def find_owner(mine: DatabaseMark, remembered: DatabaseMark | None, is_other_alive: bool) -> Owner:
    """`remembered`: what Redis holds; `is_other_alive`: some other process has said lately that it works with Redis."""
    if remembered is None:
        return Owner.NOBODY
    is_same = remembered.value == mine.value
    if is_same and not is_behind(mine, remembered):
        return Owner.SAME
    if is_other_alive:
        return Owner.IN_USE
    return Owner.LATER_LIFE if is_same else Owner.OTHER


def is_behind(mine: DatabaseMark, remembered: DatabaseMark) -> bool:
    """Has this database not yet given away an id that Redis knows to be given away?

    >>> is_behind(DatabaseMark("a", {"call": 7}), DatabaseMark("a", {"call": 9}))
    True
    """
    return any(mine.last_ids.get(name, 0) < last for name, last in remembered.last_ids.items())
