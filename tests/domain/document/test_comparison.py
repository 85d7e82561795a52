"""What is told of two settings."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bx24app.domain.document import comparison
from bx24app.domain.document.comparison import FieldChange, compare_settings
from bx24app.domain.settings import (
    CallSettings,
    EmployeeSettings,
    LineResponsible,
    LineSettings,
    PbxSettings,
    PortalSettings,
    RecordingSettings,
    Rule,
    Settings,
)

LINES = (LineSettings(number="74951234567", name="One"), LineSettings(number="74951234568"))
PBX = PbxSettings(key="a", name="A", lines=LINES, employees=(EmployeeSettings(extension="101", user_id=5),))
BASE = Settings(pbxs=(PBX,), rules=tuple(Rule(name=name, do=({"nothing": {}},)) for name in "abcd"))


def said(new: Settings, old: Settings = BASE) -> list[tuple[str, str, str, str]]:
    return [(one.kind, one.change, one.pbx, one.name) for one in compare_settings(old, new)]


def test_nothing_is_nothing() -> None:
    assert compare_settings(BASE, BASE) == []


def test_values_with_their_paths() -> None:
    new = BASE.model_copy(
        update={
            "portal": PortalSettings(timezone="Asia/Omsk"),
            "calls": CallSettings(recordings=RecordingSettings(min_seconds=9)),
        }
    )
    portal, calls = compare_settings(BASE, new)
    assert portal.fields == (FieldChange("timezone", "Europe/Moscow", "Asia/Omsk"),)
    assert calls.fields == (FieldChange("recordings.min_seconds", 0, 9),)


def test_things_come_go_and_change() -> None:
    line = LineSettings(number="+7 495 123-45-67", name="Uno", responsible=LineResponsible(users=(7,)))
    pbx = PBX.model_copy(
        update={"lines": (line, LineSettings(number="3")), "employees": (EmployeeSettings(extension="101", user_id=6),)}
    )
    other = PbxSettings(key="b", lines=(LineSettings(number="9"),))
    assert said(BASE.model_copy(update={"pbxs": (pbx, other)})) == [
        ("pbx", "added", "", "b"),
        ("line", "removed", "a", "74951234568"),
        ("line", "changed", "a", "+7 495 123-45-67"),
        ("line", "added", "a", "3"),
        ("employee", "changed", "a", "101"),
    ]
    assert said(Settings()) == [("pbx", "removed", "", "a"), *(("rule", "removed", "", name) for name in "abcd")]


def test_a_line_that_is_written_otherwise_is_the_same_line() -> None:
    changed = compare_settings(
        BASE,
        BASE.model_copy(
            update={
                "pbxs": (
                    PBX.model_copy(update={"lines": (LineSettings(number="+7 495 123-45-67", name="One"), LINES[1])}),
                )
            }
        ),
    )
    assert [field.name for field in changed[0].fields] == ["number"]


def test_one_rule_that_moved_is_one_difference() -> None:
    assert said(BASE.model_copy(update={"rules": (*BASE.rules[1:], BASE.rules[0])})) == [("rule", "moved", "", "a")]
    assert said(BASE.model_copy(update={"rules": (BASE.rules[3], *BASE.rules[:3])})) == [("rule", "moved", "", "d")]


@given(st.permutations(list("abcdefgh")))
def test_what_moved_explains_the_order(new: list[str]) -> None:
    old = list("abcdefgh")
    moved = set(comparison._moved_keys(old, new))
    assert [key for key in old if key not in moved] == [key for key in new if key not in moved]
