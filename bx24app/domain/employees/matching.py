"""Who of the portal is who of the PBX: a suggestion with its reason, for the table of employees. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple

Reason = Literal["extension", "email", "mobile", "name"]


class Person(NamedTuple):
    """An employee of the portal. `inner`: the internal number in their profile."""

    user_id: int
    name: str
    email: str = ""
    inner: str = ""
    phones: tuple[str, ...] = ()


class Seat(NamedTuple):
    """An extension of the PBX with what the PBX knows of whoever sits there."""

    extension: str
    name: str = ""
    email: str = ""
    numbers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Suggestion:
    """`sure`: exactly one person fits, by something stronger than the name. Extensions repeat between offices, so an equal one is sure only where
    nothing speaks against it: another name at the PBX, a place of this person on another PBX."""

    user_id: int
    reason: Reason
    sure: bool


SEVERAL = 0
"""Instead of a user: more than one fits."""


class Directory:
    """All people of a portal, ready to be looked up thousands of times. What nobody looks for is not put in order: there may be 10,000 of them."""

    def __init__(self, people: Iterable[Person], elsewhere: Iterable[int] = ()) -> None:
        """`elsewhere`: users who have an extension on another PBX of the portal."""
        self._people = {person.user_id: person for person in people}
        self._elsewhere = frozenset(elsewhere)
        self._by: dict[Reason, dict[str, int]] = {}

    def suggest(self, seat: Seat) -> Suggestion | None:
        """The one person who fits best; None where nobody fits, or several fit equally well."""
        for reason, values in (
            ("email", [seat.email.strip().lower()]),
            ("mobile", [_digits(number) for number in seat.numbers]),
            ("extension", [seat.extension]),
            ("name", [_name(seat.name)]),
        ):
            found = {self._found(reason, value) for value in values if value} - {None}  # type: ignore[arg-type]
            if len(found) == 1 and (user := found.pop()):
                return Suggestion(user, reason, self._sure(user, reason, seat))  # type: ignore[arg-type]
        return None

    def _found(self, reason: Reason, key: str) -> int | None:
        if reason not in self._by:
            index: dict[str, int] = {}
            for person in self._people.values():
                for held in _KEYS[reason](person):
                    if held and index.setdefault(held, person.user_id) != person.user_id:
                        index[held] = SEVERAL
            self._by[reason] = index
        return self._by[reason].get(key)

    def _sure(self, user: int, reason: Reason, seat: Seat) -> bool:
        if reason != "extension":
            return reason != "name"
        here, there = set(_name(seat.name).split()), set(_name(self._people[user].name).split())
        return user not in self._elsewhere and (not here or not there or bool(here & there))


def _digits(number: str) -> str:
    """The last ten digits: 8, 7 and +7 in front of a Russian number are the same; shorter ones are no telephones."""
    digits = re.sub(r"\D", "", number.partition("@")[0])
    return digits[-10:] if len(digits) >= 10 else ""


def _name(name: str) -> str:
    """First name and surname in any order."""
    return " ".join(sorted(name.lower().replace("ё", "е").split()))


_KEYS: dict[Reason, Callable[[Person], Iterable[str]]] = {
    "extension": lambda person: (person.inner.strip(),),
    "email": lambda person: (person.email.strip().lower(),),
    "mobile": lambda person: map(_digits, person.phones),
    "name": lambda person: (_name(person.name),),
}
