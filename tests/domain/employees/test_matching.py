"""Who of the portal is who of the PBX."""

from __future__ import annotations

import pytest

from bx24app.domain.employees.matching import Directory, Person, Seat, Suggestion

PEOPLE = (
    Person(1, "Анна Орлова", "anna@firma.example", "101", ("+7 (916) 000-00-01",)),
    Person(2, "Борис Котов", "boris@firma.example", "102"),
    Person(3, "Пётр Алёшин", "", "103"),
    Person(4, "Пётр Иванов", "", ""),
    Person(5, "Пётр Иванов", "", ""),
)


@pytest.mark.parametrize(
    ("seat", "found"),
    [
        (Seat("900", "Кто-то", "ANNA@firma.example"), Suggestion(1, "email", True)),
        (Seat("900", "Кто-то", "", ("89160000001",)), Suggestion(1, "mobile", True)),
        (Seat("102", "Котов Б."), Suggestion(2, "extension", True)),
        (Seat("102"), Suggestion(2, "extension", True)),
        (Seat("102", "Зоя Новая"), Suggestion(2, "extension", False)),
        (Seat("900", "алешин  Петр"), Suggestion(3, "name", False)),
        (Seat("900", "Пётр Иванов"), None),
        (Seat("900", "Никто"), None),
        (Seat("102", "Анна Орлова", "anna@firma.example"), Suggestion(1, "email", True)),
    ],
)
def test_the_strongest_reason_counts(seat: Seat, found: Suggestion | None) -> None:
    assert Directory(PEOPLE).suggest(seat) == found


def test_extensions_repeat_between_offices() -> None:
    """Somebody who sits at another PBX is not surely the one with the same extension here; the e-mail still is sure."""
    directory = Directory(PEOPLE, elsewhere={1, 2})
    assert directory.suggest(Seat("102", "Котов")) == Suggestion(2, "extension", False)
    assert directory.suggest(Seat("7", "", "anna@firma.example")) == Suggestion(1, "email", True)
