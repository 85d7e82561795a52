"""Suggests which user of the portal has which extension of a PBX, with the reason, for the page of employees. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple

MatchReason = Literal["extension", "email", "mobile", "name"]


class Person(NamedTuple):
    """A user of the portal. `inner_number`: the internal number in their profile."""

    user_id: int
    name: str
    email: str = ""
    inner_number: str = ""
    phones: tuple[str, ...] = ()


class PbxExtension(NamedTuple):
    """An extension of the PBX, and what the PBX knows about its owner."""

    extension: str
    name: str = ""
    email: str = ""
    numbers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A user who fits. `is_certain`: exactly one does, by something stronger than the name.

    Extensions repeat between offices. An equal extension is certain only if the PBX has no other name for it and the
    user has no extension on another PBX.
    """

    user_id: int
    reason: MatchReason
    is_certain: bool


AMBIGUOUS = 0
"""In place of a user id: several users fit."""


class EmployeeMatcher:
    """All users of a portal, indexed for thousands of look-ups.

    An index is built at its first use: there may be 10,000 users.
    """

    def __init__(self, people: Iterable[Person], elsewhere: Iterable[int] = ()) -> None:
        """`elsewhere`: users who have an extension on another PBX of the portal."""
        self._people = {person.user_id: person for person in people}
        self._mapped_elsewhere = frozenset(elsewhere)
        self._indexes: dict[MatchReason, dict[str, int]] = {}

    def suggest_user(self, extension: PbxExtension) -> Suggestion | None:
        """The user who fits best; None: no user fits, or several fit equally well."""
        for reason, values in (
            ("email", [extension.email.strip().lower()]),
            ("mobile", [_last_digits(number) for number in extension.numbers]),
            ("extension", [extension.extension]),
            ("name", [_normalise_name(extension.name)]),
        ):
            users = {self._find_user(reason, value) for value in values if value} - {None}  # type: ignore[arg-type]
            if len(users) == 1 and (user := users.pop()):
                return Suggestion(user, reason, self._is_certain(user, reason, extension))  # type: ignore[arg-type]
        return None

    def _find_user(self, reason: MatchReason, key: str) -> int | None:
        if reason not in self._indexes:
            index: dict[str, int] = {}
            for person in self._people.values():
                for value in _MATCH_KEYS[reason](person):
                    if value and index.setdefault(value, person.user_id) != person.user_id:
                        index[value] = AMBIGUOUS
            self._indexes[reason] = index
        return self._indexes[reason].get(key)

    def _is_certain(self, user: int, reason: MatchReason, extension: PbxExtension) -> bool:
        if reason != "extension":
            return reason != "name"
        pbx_names = set(_normalise_name(extension.name).split())
        portal_names = set(_normalise_name(self._people[user].name).split())
        has_same_name = not pbx_names or not portal_names or bool(pbx_names & portal_names)
        return user not in self._mapped_elsewhere and has_same_name


def _last_digits(number: str) -> str:
    """The last ten digits, since 8, 7 and +7 before a Russian number mean the same; empty for a shorter number."""
    digits = re.sub(r"\D", "", number.partition("@")[0])
    return digits[-10:] if len(digits) >= 10 else ""


def _normalise_name(name: str) -> str:
    """The words of a name in alphabetical order, since first name and surname come in either order."""
    return " ".join(sorted(name.lower().replace("ё", "е").split()))


_MATCH_KEYS: dict[MatchReason, Callable[[Person], Iterable[str]]] = {
    "extension": lambda person: (person.inner_number.strip(),),
    "email": lambda person: (person.email.strip().lower(),),
    "mobile": lambda person: map(_last_digits, person.phones),
    "name": lambda person: (_normalise_name(person.name),),
}
