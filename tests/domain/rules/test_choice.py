"""Which rule matches a call: conditions, what is not known yet, the trace."""

from __future__ import annotations

from typing import Any

import pytest

from bx24app.domain import rules
from bx24app.domain.rules import RuleFacts, actions, choose_rule, parse_rules
from bx24app.domain.settings import LineSettings, PbxSettings, Rule, Settings

MISSED = RuleFacts(
    moment="end",
    direction="in",
    outcome="missed",
    pbx="moscow",
    line="+74950000001",
    number="+79160000001",
    client="new",
    hours="off",
    weekday="sun",
    day_of_month=frozenset({"31", "last"}),
    talk_seconds=0,
    rang=frozenset({"101", "300"}),
    open_records=frozenset(),
    minutes_since_last=12.0,
)
ANSWERED = RuleFacts(
    moment="end",
    direction="in",
    outcome="answered",
    pbx="moscow",
    line="+74950000002",
    number="",
    client=None,
    hours="working",
    weekday="mon",
    day_of_month=frozenset({"1"}),
    talk_seconds=40,
    rang=frozenset({"101"}),
    open_records=frozenset({"deal"}),
    minutes_since_last=rules.NEVER,
)


def parsed(*whens: dict[str, Any]) -> tuple[rules.ParsedRule, ...]:
    lines = (LineSettings(number="74950000001", line_number="moscow-1"), LineSettings(number="+7 495 000-00-02"))
    made = [Rule(name=f"rule {index}", when=when, do=({"nothing": {}},)) for index, when in enumerate(whens)]
    settings = Settings(pbxs=(PbxSettings(key="moscow", lines=lines),), rules=tuple(made))
    assert list(rules.find_faults(settings)) == []
    return parse_rules(settings)


@pytest.mark.parametrize(
    ("when", "missed", "answered"),
    [
        ({}, True, True),
        ({"direction": "in"}, True, True),
        ({"direction": ["out"]}, False, False),
        ({"outcome": ["missed", "failed"]}, True, False),
        ({"client": "new"}, True, False),
        ({"client": ["new", "known"]}, True, False),
        ({"hours": "off"}, True, False),
        ({"hours": "any"}, True, True),
        ({"pbx": "moscow"}, True, True),
        ({"line": "moscow-1"}, True, False),
        ({"line": 74950000002}, False, True),
        ({"number": "7916"}, True, False),
        ({"number": ["+7495", "+7916"]}, True, False),
        ({"min_seconds": 40}, False, True),
        ({"min_seconds": 0}, True, True),
        ({"client_has_open": ["deal", "lead"]}, False, True),
        ({"repeat_within_minutes": 12}, True, False),
        ({"repeat_within_minutes": 11}, False, False),
        ({"rang": 300}, True, False),
        ({"weekday": ["sat", "sun"]}, True, False),
        ({"day_of_month": 1}, False, True),
        ({"day_of_month": "last"}, True, False),
        ({"day_of_month": [1, 31]}, True, True),
        ({"day_of_month": [2, 30]}, False, False),
        ({"moment": "end"}, True, True),
        ({"direction": "in", "outcome": "missed", "hours": "working"}, False, False),
    ],
)
def test_conditions(when: dict[str, Any], missed: bool, answered: bool) -> None:
    tried = parsed(when)
    for facts, good in ((MISSED, missed), (ANSWERED, answered)):
        choice = choose_rule(tried, facts)
        assert (choice.rule is not None, choice.is_decided) == (good, True)
        assert choice.trace[0].verdict == ("matched" if good else "passed")


def test_every_condition_is_tried_here() -> None:
    mark = test_conditions.pytestmark[0]  # type: ignore[attr-defined]
    assert {key for when, _, _ in mark.args[1] for key in when} == set(rules.CONDITIONS)


def test_the_first_from_the_top_decides() -> None:
    tried = parsed({"outcome": "answered"}, {"client": "new"}, {})
    choice = choose_rule(tried, MISSED)
    assert choice.rule is tried[1]
    assert [trial.verdict for trial in choice.trace] == ["passed", "matched", "behind"]


RING = RuleFacts(
    moment="ring", direction="in", pbx="moscow", line="+74950000001", number="+79160000001", client="new", hours="off"
)


@pytest.mark.parametrize(
    ("whens", "decided", "chosen"),
    [
        ([{"direction": "in"}], True, 0),
        ([{"outcome": "missed"}], False, None),
        ([{"outcome": "missed", "client": "known"}, {"direction": "in"}], True, 1),  # cannot match any more
        ([{"outcome": "missed"}, {"direction": "in"}], False, None),  # the first may yet
        ([{"direction": "in"}, {"outcome": "missed"}], True, 0),
        ([{"min_seconds": 0}], False, None),
        ([{"rang": "300"}], False, None),
        ([{"moment": "answer"}], False, None),
        ([{"moment": "ring"}], True, 0),
        ([{"direction": "out"}], True, None),
    ],
)
def test_what_is_not_known_yet_decides_nothing(whens: list[dict[str, Any]], decided: bool, chosen: int | None) -> None:
    tried = parsed(*whens)
    choice = choose_rule(tried, RING)
    assert choice.is_decided is decided
    assert choice.rule is (None if chosen is None else tried[chosen])


def test_a_moment_is_not_earlier_than() -> None:
    tried = parsed({"moment": "answer"})
    assert [choose_rule(tried, RuleFacts(moment=moment)).rule is not None for moment in ("ring", "answer", "end")] == [
        False,
        True,
        True,
    ]


def test_at_the_end_what_was_never_known_holds_for_nothing() -> None:
    choice = choose_rule(parsed({"client": "new"}), RuleFacts(moment="end"))
    assert (choice.rule, choice.is_decided) == (None, True)


def test_the_trace_says_what_was_expected_and_seen() -> None:
    trial = choose_rule(parsed({"rang": "300", "hours": ["working", "off"], "outcome": "answered"}), MISSED).trace[0]
    told = [(one.condition, one.expected, one.actual, one.is_fulfilled) for one in trial.conditions]
    assert told == [
        ("rang", "300", ["101", "300"], True),
        ("hours", ["working", "off"], "off", True),
        ("outcome", "answered", "missed", False),
    ]
    assert [one.is_fulfilled for one in choose_rule(parsed({"outcome": "missed"}), RING).trace[0].conditions] == [None]


def test_actions_become_types() -> None:
    do = (
        {"create": {"entity": "128", "title": "x", "responsible": 7, "fields": {"a": 1}, "stage_id": 5}},
        {"todo": {"deadline_minutes": 5, "responsible": "line"}},
        {"comment": {"text": "x"}},
        {"notify": {"user": "owner", "text": "y"}},
    )
    [rule] = parse_rules(Settings(rules=(Rule(name="r", do=do),)))
    assert rule.actions == (
        actions.CreateAction(entity=128, title="x", responsible=7, fields=(("a", 1),), stage_id="5"),
        actions.TodoAction(deadline_minutes=5, responsible="line"),
        actions.CommentAction(text="x"),
        actions.NotifyAction(user="owner", text="y"),
    )
    [nothing] = parse_rules(Settings(rules=(Rule(name="r", do=({"nothing": None},)),)))
    assert nothing.actions == (actions.NothingAction(),)
