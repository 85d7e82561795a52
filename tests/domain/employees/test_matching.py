"""Who of the portal is who of the PBX."""

from __future__ import annotations

import pytest

from bx24app.domain.employees.matching import EmployeeMatcher, PbxExtension, Person, Suggestion

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
        (PbxExtension("900", "Кто-то", "ANNA@firma.example"), Suggestion(1, "email", True)),
        (PbxExtension("900", "Кто-то", "", ("89160000001",)), Suggestion(1, "mobile", True)),
        (PbxExtension("102", "Котов Б."), Suggestion(2, "extension", True)),
        (PbxExtension("102"), Suggestion(2, "extension", True)),
        (PbxExtension("102", "Зоя Новая"), Suggestion(2, "extension", False)),
        (PbxExtension("900", "алешин  Петр"), Suggestion(3, "name", False)),
        (PbxExtension("900", "Пётр Иванов"), None),
        (PbxExtension("900", "Никто"), None),
        (PbxExtension("102", "Анна Орлова", "anna@firma.example"), Suggestion(1, "email", True)),
    ],
)
def test_the_strongest_reason_counts(seat: PbxExtension, found: Suggestion | None) -> None:
    assert EmployeeMatcher(PEOPLE).suggest_user(seat) == found


def test_extensions_repeat_between_offices() -> None:
    """Somebody who sits at another PBX is not surely the one with the same extension here; the e-mail still is sure."""
    directory = EmployeeMatcher(PEOPLE, elsewhere={1, 2})
    assert directory.suggest_user(PbxExtension("102", "Котов")) == Suggestion(2, "extension", False)
    assert directory.suggest_user(PbxExtension("7", "", "anna@firma.example")) == Suggestion(1, "email", True)
