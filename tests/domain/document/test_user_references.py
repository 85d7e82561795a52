"""Where a document names whom."""

from __future__ import annotations

from bx24app.domain.document.user_references import Naming, namings
from bx24app.domain.settings import Employee, Line, Pbx, Portal, Responsible, Rule, Settings

DOCUMENT = Settings(
    portal=Portal(default_user_id=1),
    pbxs=(
        Pbx(
            key="a",
            default_user_id=2,
            lines=(Line(number="7495"), Line(number="7812", responsible=Responsible(users=(1, 3)))),
            employees=(Employee(extension="101", user_id=3), Employee(extension="102", user_id=3)),
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
    assert list(namings(DOCUMENT)) == [
        Naming(1, "portal"),
        Naming(2, "pbx", "a"),
        Naming(1, "line", "a", "7812"),
        Naming(3, "line", "a", "7812"),
        Naming(3, "employee", "a", "101"),
        Naming(3, "employee", "a", "102"),
        Naming(3, "rule", what="second"),
    ]


def test_only_of_the_wanted() -> None:
    assert {one.user_id for one in namings(DOCUMENT, {2})} == {2}
    assert list(namings(DOCUMENT, {9})) == []
    assert list(namings(DOCUMENT, set())) == []
