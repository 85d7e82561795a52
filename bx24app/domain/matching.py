"""Who of the portal is who of the PBX: a suggestion with its reason, for the table of employees. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Reason = Literal["extension", "email", "mobile", "name"]


@dataclass(frozen=True, slots=True)
class Person:
    """An employee of the portal. `inner`: the internal number in their profile."""

    user_id: int
    name: str
    email: str = ""
    inner: str = ""
    phones: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Seat:
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


class Directory:
    """All people of a portal, ready to be looked up thousands of times."""

    def __init__(self, people: Iterable[Person], elsewhere: Iterable[int] = ()) -> None:
        """`elsewhere`: users who have an extension on another PBX of the portal."""
        self._elsewhere = frozenset(elsewhere)
        self._names: dict[int, str] = {}
        self._by: dict[Reason, dict[str, set[int]]] = {"extension": {}, "email": {}, "mobile": {}, "name": {}}
        for person in people:
            self._names[person.user_id] = _name(person.name)
            self._note("extension", person.inner.strip(), person.user_id)
            self._note("email", person.email.strip().lower(), person.user_id)
            self._note("name", _name(person.name), person.user_id)
            for phone in person.phones:
                self._note("mobile", _digits(phone), person.user_id)

    def _note(self, reason: Reason, key: str, user_id: int) -> None:
        if key:
            self._by[reason].setdefault(key, set()).add(user_id)

    def suggest(self, seat: Seat) -> Suggestion | None:
        """The one person who fits best; None where nobody fits, or several fit equally well."""
        keys: tuple[tuple[Reason, list[str]], ...] = (
            ("email", [seat.email.strip().lower()]),
            ("mobile", [_digits(number) for number in seat.numbers]),
            ("extension", [seat.extension]),
            ("name", [_name(seat.name)]),
        )
        for reason, values in keys:
            found = {user for value in values if value for user in self._by[reason].get(value, ())}
            if len(found) == 1:
                [user] = found
                return Suggestion(user, reason, self._sure(user, reason, seat))
        return None

    def _sure(self, user: int, reason: Reason, seat: Seat) -> bool:
        if reason != "extension":
            return reason != "name"
        here, there = set(_name(seat.name).split()), set(self._names[user].split())
        return user not in self._elsewhere and (not here or not there or bool(here & there))


def _digits(number: str) -> str:
    """The last ten digits: 8, 7 and +7 in front of a Russian number are the same; shorter ones are no telephones."""
    digits = re.sub(r"\D", "", number.partition("@")[0])
    return digits[-10:] if len(digits) >= 10 else ""


def _name(name: str) -> str:
    """First name and surname in any order."""
    return " ".join(sorted(name.lower().replace("ё", "е").split()))
