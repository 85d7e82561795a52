"""Rules are checked at saving: conditions, actions, templates."""

from __future__ import annotations

from typing import Any

import pytest

from bx24app.domain import rules
from bx24app.domain.rules import templates
from bx24app.domain.settings import LineSettings, PbxSettings, Rule, Settings


def faults(when: dict[str, Any], *do: dict[str, Any]) -> dict[str, str]:
    pbx = PbxSettings(key="moscow", lines=(LineSettings(number="74950000001"),))
    rule = Rule(name="r", when=when, do=do or ({"nothing": {}},))
    return {fault.path: fault.message for fault in rules.find_faults(Settings(pbxs=(pbx,), rules=(rule,)))}


GOOD = [
    {"direction": ["in", "out"], "outcome": "missed", "client": "new", "hours": "off"},
    {"pbx": "moscow", "line": "+74950000001", "number": "+7495", "min_seconds": 5},
    {
        "moment": "answer",
        "client_has_open": "deal",
        "repeat_within_minutes": 30,
        "rang": "300",
        "weekday": ["sat", "sun"],
        "day_of_month": [1, 31, "last"],
    },
    {"day_of_month": 15},
    {"day_of_month": "last"},
]


@pytest.mark.parametrize("when", GOOD)
def test_good_conditions(when: dict[str, Any]) -> None:
    assert faults(when) == {}


BAD = [
    ("direction", "sideways"),
    ("outcome", 3),
    ("client", []),
    ("hours", "always"),
    ("pbx", "nowhere"),
    ("line", "7495"),
    ("number", "abc"),
    ("min_seconds", -1),
    ("min_seconds", [1]),
    ("moment", "later"),
    ("weekday", "someday"),
    ("day_of_month", 0),
    ("day_of_month", [1, 32]),
    ("day_of_month", "15"),
    ("day_of_month", "first"),
    ("day_of_month", True),
    ("day_of_month", 1.0),
    ("day_of_month", []),
    ("colour", "red"),
    ("pbx", {"a": 1}),
    ("line", None),
    ("number", True),
    ("rang", ""),
    ("repeat_within_minutes", 0),
]


@pytest.mark.parametrize(("key", "value"), BAD)
def test_bad_conditions_are_told_by_their_key(key: str, value: Any) -> None:
    assert list(faults({key: value})) == [f"rules[0].when.{key}"]


@pytest.mark.parametrize(
    "action",
    [
        {
            "create": {
                "entity": "deal",
                "category_id": 0,
                "title": "{{ client.number }} {{ call.started_at | date }}",
                "responsible": 7,
            }
        },
        {
            "create": {
                "entity": 128,
                "fields": {"ufCrm1": "{{ line.name }}", "opportunity": 5},
                "duplicate": "allow",
                "if_absent": "next",
            }
        },
        {"todo": {"deadline_minutes": 30, "responsible": "owner", "title": "x"}},
        {"comment": {"text": "{{ call.talk_seconds | minutes }}"}},
        {"notify": {"user": "line", "text": "x"}},
        {"nothing": None},
    ],
)
def test_good_actions(action: dict[str, Any]) -> None:
    assert faults({}, action) == {}


@pytest.mark.parametrize(
    ("action", "path"),
    [
        ({"create": {"entity": "car"}}, "create.entity"),
        ({"create": {}}, "create.entity"),
        ({"create": {"entity": "deal", "responsible": "boss"}}, "create.responsible"),
        ({"create": {"entity": "deal", "stage": "NEW"}}, "create.stage"),
        ({"create": {"entity": "deal", "fields": {"a": "{{ secret }}"}}}, "create.fields.a"),
        ({"todo": {"deadline_minutes": 0}}, "todo.deadline_minutes"),
        ({"comment": {"text": "{% for x in y %}"}}, "comment.text"),
        ({"dance": {}}, "dance"),
        ({"create": {"entity": 2}}, "create.entity"),
        ({"create": {"entity": "deal", "responsible": True}}, "create.responsible"),
        ({"create": {"entity": "deal", "fields": {"a": [{"b": "{{ no }}"}]}}}, "create.fields.a"),
        ({"notify": {"text": "x"}}, "notify.user"),
        ({"todo": [1]}, "todo"),
    ],
)
def test_bad_actions(action: dict[str, Any], path: str) -> None:
    assert list(faults({}, action)) == [f"rules[0].do[0].{path}"]


def test_nothing_stands_alone() -> None:
    assert faults({}, {"nothing": {}}, {"comment": {"text": "x"}}) == {"rules[0].do": "`nothing` must stand alone"}


def test_a_rule_without_actions() -> None:
    rule = Rule(name="r")
    [fault] = rules.find_faults(Settings(rules=(rule,)))
    assert (fault.code, str(fault)) == ("no_action", "rules[0].do: must name at least one action")


@pytest.mark.parametrize(
    "source",
    [
        "{{ client.__class__ }}",
        "{{ call.started_at.__init__() }}",
        "{{ ''.join }}",
        "{{ 'x' * 9999999 }}",
        "{{ 2 ** 99999 }}",
        "{{ client",
        "{# a #}",
        "x" * 3000,
        "{{ client }}",
        "{{ '%999999999d' % call.talk_seconds }}",
        "{{ client.number | round(-999999999) }}",
        "{{ client.number | format }}",
        "{{ client.name | map('upper') }}",
        "{{ client.name" + " | title" * 200 + " }}",
        "{{ " + "(" * 900 + "1" + ")" * 900 + " }}",
        "{{ [" * 900,
    ],
)
def test_templates_that_are_refused(source: str) -> None:
    assert list(templates.find_faults(source))


def test_rendering() -> None:
    names = {"client": {"number": "+7916"}, "call": {"talk_seconds": 75}, "line": {"name": "Moscow"}}
    assert (
        templates.render("{{ client.number }} · {{ line.name | upper }} · {{ call.talk_seconds | minutes }}", names)
        == "+7916 · MOSCOW · 1:15"
    )


def test_what_is_rendered_is_bounded() -> None:
    names = {"client": {"name": "n" * 1500}}
    assert len(templates.render("{{ client.name }}" * 3, names)) == templates.MAX_LENGTH
    grown = "{{ client.name | replace('n', '" + "a" * 900 + "') | replace('a', '" + "b" * 900 + "') }}"
    assert list(templates.find_faults(grown)) == []
    assert len(templates.render(grown, names)) <= templates.MAX_LENGTH


def test_a_name_without_a_value_is_empty() -> None:
    assert templates.render("[{{ call.answered_at | time }}]", {"call": {}}) == "[]"
