"""What the settings and the fold must know of the dialects in which a PBX can notify. How a dialect is read:
`bx24app.mango.dialects`.

A table of plain data, so that the domain need not know the adapter. `Pbx.dialects` and the settings document name its
keys.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DialectTraits:
    """How the notifications of one dialect differ from those of another."""

    needs_keys: bool
    """Notifications are signed: without the PBX's API key and salt none can be accepted."""
    has_legs: bool
    """Each phone that rings is a leg of its own, and legs and recordings have the ids that Mango's statistics give
    them. False: a call is one leg, and its ids are the sender's."""
    may_omit_line: bool
    """The line of an incoming call may be missing; the PBX's first line stands in."""
    has_statistics: bool = True
    """Mango's statistics can be asked for calls of which notifications were lost."""


DIALECT_TRAITS: dict[str, DialectTraits] = {
    "vpbx": DialectTraits(needs_keys=True, has_legs=True, may_omit_line=False),
    "events": DialectTraits(needs_keys=False, has_legs=False, may_omit_line=True),
}


def traits_of(names: Iterable[str]) -> list[DialectTraits]:
    """The traits of these dialects; an unknown name, written by a newer version, is left out."""
    return [DIALECT_TRAITS[name] for name in names if name in DIALECT_TRAITS]


def split_names(text: str) -> tuple[str, ...]:
    """The names in the comma list of `Pbx.dialects`."""
    return tuple(name for name in text.split(",") if name)
