"""Where a document names whom."""

from __future__ import annotations

from bx24app.domain.document.user_references import UserReference, find_references
from bx24app.domain.settings import (
    EmployeeSettings,
    LineResponsible,
    LineSettings,
    PbxSettings,
    PortalSettings,
    Rule,
    Settings,
)

DOCUMENT = Settings(
    portal=PortalSettings(default_user_id=1),
    pbxs=(
        PbxSettings(
            key="a",
            default_user_id=2,
            lines=(LineSettings(number="7495"), LineSettings(number="7812", responsible=LineResponsible(users=(1, 3)))),
            employees=(EmployeeSettings(extension="101", user_id=3), EmployeeSettings(extension="102", user_id=3)),
        ),
    ),
    rules=(
        Rule(name="first", do=({"nothing": {}},)),
        Rule(
            name="second", do=({"notify": {"user": 3, "text": "x"}}, {"create": {"entity": "lead", "responsible": 3}})
        ),
    ),
)


def test_every_place_is_found_once() -> None:
    assert list(find_references(DOCUMENT)) == [
        UserReference(1, "portal"),
        UserReference(2, "pbx", "a"),
        UserReference(1, "line", "a", "7812"),
        UserReference(3, "line", "a", "7812"),
        UserReference(3, "employee", "a", "101"),
        UserReference(3, "employee", "a", "102"),
        UserReference(3, "rule", name="second"),
    ]


def test_only_of_the_wanted() -> None:
    assert {one.user_id for one in find_references(DOCUMENT, {2})} == {2}
    assert list(find_references(DOCUMENT, {9})) == []
    assert list(find_references(DOCUMENT, set())) == []
