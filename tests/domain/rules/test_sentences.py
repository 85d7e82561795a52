"""Rules read back in words: every condition and action has its words, and nothing that a draft holds breaks them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bx24app.domain.rules import ACTIONS, CONDITIONS, sentences
from bx24app.domain.rules.phrases import LANGUAGES
from bx24app.domain.rules.sentences import DisplayNames, describe_rule
from tests.portals.test_crm_dictionaries import KNOWN

NAMES = DisplayNames(
    user=lambda number: {12: "Anna"}.get(number, f"#{number}"),
    line={"74951234567": "Moscow"}.get,  # type: ignore[arg-type]
    pbx={"moscow": "Moscow office"}.get,  # type: ignore[arg-type]
    dictionaries=KNOWN,
)
RULE = {
    "when": {"direction": "in", "outcome": "missed", "line": "74951234567", "hours": "off"},
    "do": [
        {"create": {"entity": "deal", "category_id": 9, "stage_id": "C9:NEW", "responsible": 12}},
        {"todo": {"deadline_minutes": 15, "working": True, "responsible": "line", "if_absent": "next"}},
    ],
}


def test_english() -> None:
    assert describe_rule(RULE, NAMES, "en") == (
        "If a call comes in, is missed, is on the line “Moscow”, falls outside working hours: create a deal in the "
        "pipeline “Missed” at the stage “New”, responsible: Anna; set a to-do due in 15 min of working time, "
        "responsible: whoever answers for the line, and the next one if their working day is closed."
    )


def test_russian() -> None:
    assert describe_rule(RULE, NAMES, "ru") == (
        "Если звонок входящий, пропущен, на линии «Moscow», в нерабочее время: создать сделку в воронке «Missed» на "
        "стадии «New», ответственный — Anna; поставить дело на 15 мин рабочего времени, ответственный — "
        "тот, кто отвечает за линию, а если его рабочий день закрыт — следующий."
    )
    rule = {"when": {}, "do": [{"nothing": {}}]}
    assert describe_rule(rule, NAMES, "ru") == "Для любого звонка: ничего не создавать."


def test_lists_are_joined_and_smart_processes_named() -> None:
    rule = {"when": {"weekday": ["sat", "sun"]}, "do": [{"create": {"entity": "1038"}}]}
    assert describe_rule(rule, NAMES, "en") == "If a call falls on a Saturday or Sunday: create an item of “Requests”."


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_condition_and_every_action_has_words(language: str) -> None:
    for key, condition in CONDITIONS.items():
        frame = condition.phrase.in_language(language)
        assert "{}" in frame
        assert condition.label.in_language(language)
        for value, words in condition.values.items():
            clause = frame.format(words.phrase.in_language(language))
            assert sentences.describe_condition(key, value, NAMES, language) == clause
    for action in ACTIONS:
        assert sentences.describe_action({action: {}}, NAMES, language) != action


@pytest.mark.parametrize(
    ("days", "english", "russian"),
    [
        (1, "falls on the 1st of the month", "1-го числа"),
        (["last"], "falls on the last day of the month", "в последний день месяца"),
        ([3, 11], "falls on the 3rd or the 11th of the month", "3-го числа или 11-го числа"),
        (
            [2, 31, "last"],
            "falls on the 2nd or the 31st or the last day of the month",
            "2-го числа или 31-го числа или в последний день месяца",
        ),
    ],
)
def test_days_of_the_month(days: Any, english: str, russian: str) -> None:
    rule = {"when": {"day_of_month": days}, "do": [{"nothing": {}}]}
    assert describe_rule(rule, NAMES, "en") == f"If a call {english}: make nothing."
    assert describe_rule(rule, NAMES, "ru") == f"Если звонок {russian}: ничего не создавать."


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(
    "value",
    [
        ("create", "category_id", 9),
        ("create", "stage_id", "NEW"),
        ("create", "title", "T"),
        ("create", "source_id", "CALL"),
        ("create", "responsible", 12),
        ("create", "fields", {"UF_X": "1"}),
        ("create", "duplicate", "allow"),
        ("create", "if_absent", "next"),
        ("todo", "deadline_minutes", 99),
        ("todo", "working", True),
        ("todo", "title", "T"),
        ("todo", "responsible", "owner"),
        ("todo", "if_absent", "next"),
        ("comment", "text", "T"),
        ("notify", "user", 12),
        ("notify", "text", "T"),
        ("create", "entity", "lead"),
    ],
)
def test_every_part_of_an_action_has_words(language: str, value: tuple[str, str, Any]) -> None:
    action, part, given_value = value
    bare = {"create": {"entity": "deal"}}.get(action, {}) if part != "entity" else {}
    words = sentences.describe_action({action: bare | {part: given_value}}, NAMES, language)
    assert words != sentences.describe_action({action: bare}, NAMES, language)
    assert part in ACTIONS[action]


def test_values_by_themselves() -> None:
    assert sentences.describe_expected("client", "new", NAMES, "ru") == "новый"
    assert sentences.describe_expected("line", "74951234567", NAMES, "en") == "“Moscow”"
    assert sentences.describe_expected("weekday", ["sat", "sun"], NAMES, "en") == "Saturday or Sunday"
    assert sentences.describe_expected("weekday", "sat", NAMES, "ru") == "суббота"
    assert sentences.describe_expected("min_seconds", 30, NAMES, "ru") == "30"
    assert sentences.describe_expected("day_of_month", [5, "last"], NAMES, "ru") == "5 или последний день"
    assert sentences.describe_actual("day_of_month", ["30", "last"], NAMES, "en") == "30, last day"
    assert sentences.describe_actual("rang", ["101", "300"], NAMES, "en") == "101, 300"
    assert sentences.describe_actual("pbx", "moscow", NAMES, "en") == "“Moscow office”"


FILLED: list[tuple[dict[str, Any], str, str]] = [
    (
        {
            "action": "create",
            "entity": "deal",
            "category_id": 9,
            "text": "x +7495",
            "fields": {"UF_A": "1"},
            "user": 12,
        },
        "create a deal in the pipeline “Missed” named “x +7495”, with the fields UF_A, responsible: Anna",
        "создать сделку в воронке «Missed» с названием «x +7495», заполнить поля UF_A, ответственный — Anna",
    ),
    (
        {"action": "todo", "text": "Call", "deadline_at": "noon", "user": 12},
        "set a to-do “Call” due by noon, responsible: Anna",
        "поставить дело «Call» до noon, ответственный — Anna",
    ),
    ({"action": "comment", "text": "y"}, "write in the client's timeline “y”", "написать в ленте клиента «y»"),
    ({"action": "notify", "user": 12, "text": "y"}, "tell Anna: “y”", "сообщить (Anna): «y»"),
    ({"action": "nothing"}, "make nothing", "ничего не создавать"),
]


@pytest.mark.parametrize(("action", "english", "russian"), FILLED)
def test_filled_actions(action: dict[str, Any], english: str, russian: str) -> None:
    assert sentences.describe_planned_action(action, NAMES, "en", str) == english
    assert sentences.describe_planned_action(action, NAMES, "ru", str) == russian


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", *CONDITIONS, *ACTIONS]), inner),
    max_leaves=12,
)


@given(JSON, JSON, st.dictionaries(st.sampled_from([part for parts in ACTIONS.values() for part in parts]), JSON))
def test_no_draft_breaks_them(when: Any, do: Any, parts: dict[str, Any]) -> None:
    for language in LANGUAGES:
        assert describe_rule({"when": when, "do": do}, DisplayNames(dictionaries=KNOWN), language)
        for action in ACTIONS:
            assert describe_rule({"do": [{action: parts}]}, DisplayNames(dictionaries=KNOWN), language)
