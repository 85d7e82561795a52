"""Who of the portal is who of the PBX: a suggestion with its reason, for the table of employees. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple

MatchReason = Literal["extension", "email", "mobile", "name"]


class Person(NamedTuple):
    """An employee of the portal. `inner`: the internal number in their profile."""

    user_id: int
    name: str
    email: str = ""
    inner_number: str = ""
    phones: tuple[str, ...] = ()


class PbxExtension(NamedTuple):
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
    reason: MatchReason
    is_certain: bool


AMBIGUOUS = 0
"""Instead of a user: more than one fits."""


class EmployeeMatcher:
    """All people of a portal, ready to be looked up thousands of times. What nobody looks for is not put in order: there may be 10,000 of them."""

    def __init__(self, people: Iterable[Person], elsewhere: Iterable[int] = ()) -> None:
        """`elsewhere`: users who have an extension on another PBX of the portal."""
        self._people = {person.user_id: person for person in people}
        self._mapped_elsewhere = frozenset(elsewhere)
        self._indexes: dict[MatchReason, dict[str, int]] = {}

    def suggest_user(self, seat: PbxExtension) -> Suggestion | None:
        """The one person who fits best; None where nobody fits, or several fit equally well."""
        for reason, values in (
            ("email", [seat.email.strip().lower()]),
            ("mobile", [_last_digits(number) for number in seat.numbers]),
            ("extension", [seat.extension]),
            ("name", [_normalise_name(seat.name)]),
        ):
            found = {self._find_user(reason, value) for value in values if value} - {None}  # type: ignore[arg-type]
            if len(found) == 1 and (user := found.pop()):
                return Suggestion(user, reason, self._is_certain(user, reason, seat))  # type: ignore[arg-type]
        return None

    def _find_user(self, reason: MatchReason, key: str) -> int | None:
        if reason not in self._indexes:
            index: dict[str, int] = {}
            for person in self._people.values():
                for held in _MATCH_KEYS[reason](person):
                    if held and index.setdefault(held, person.user_id) != person.user_id:
                        index[held] = AMBIGUOUS
            self._indexes[reason] = index
        return self._indexes[reason].get(key)

    def _is_certain(self, user: int, reason: MatchReason, seat: PbxExtension) -> bool:
        if reason != "extension":
            return reason != "name"
        here, there = set(_normalise_name(seat.name).split()), set(_normalise_name(self._people[user].name).split())
        return user not in self._mapped_elsewhere and (not here or not there or bool(here & there))


def _last_digits(number: str) -> str:
    """The last ten digits: 8, 7 and +7 in front of a Russian number are the same; shorter ones are no telephones."""
    digits = re.sub(r"\D", "", number.partition("@")[0])
    return digits[-10:] if len(digits) >= 10 else ""


def _normalise_name(name: str) -> str:
    """First name and surname in any order."""
    return " ".join(sorted(name.lower().replace("ё", "е").split()))


_MATCH_KEYS: dict[MatchReason, Callable[[Person], Iterable[str]]] = {
    "extension": lambda person: (person.inner_number.strip(),),
    "email": lambda person: (person.email.strip().lower(),),
    "mobile": lambda person: map(_last_digits, person.phones),
    "name": lambda person: (_normalise_name(person.name),),
}
