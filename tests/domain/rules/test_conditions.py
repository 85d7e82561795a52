"""The table of conditions: each row is whole, each fact is computed; the day of the month."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import UTC, datetime
from typing import Any

import pytest

from bx24app.domain import rules
from bx24app.domain.rules import CONDITIONS, CallSnapshot, RuleFacts, compute_facts
from bx24app.domain.rules.facts import STORED_FACTS
from bx24app.domain.settings import HoursBlock, LineSettings, PbxSettings, Rule, Settings

LINE = LineSettings(number="+7 495 000-00-01", working_hours=(HoursBlock(days=("mon",), from_="09:00", to="18:00"),))
SNAPSHOT = CallSnapshot(
    moment="end",
    started_at=datetime(2026, 4, 13, 6, 0, tzinfo=UTC),
    timezone="Europe/Moscow",
    pbx_key="moscow",
    line=LINE,
    direction="in",
    outcome="answered",
    client_number="+79160000001",
    client="known",
    talk_seconds=60,
    rang=frozenset({"101"}),
    open_records=frozenset({"deal"}),
    minutes_since_last=5.0,
)


def began(local: str, zone: str = "Europe/Moscow") -> CallSnapshot:
    """A call that began at this moment (ISO 8601 with an offset) in a portal of this zone."""
    return CallSnapshot(moment="ring", started_at=datetime.fromisoformat(local), timezone=zone, pbx_key="moscow")


@pytest.mark.parametrize("key", CONDITIONS)
def test_each_condition_computes_its_fact(key: str) -> None:
    assert getattr(compute_facts(SNAPSHOT), CONDITIONS[key].fact) not in (None, frozenset(), "")


def test_each_fact_belongs_to_one_condition() -> None:
    used = sorted(condition.fact for condition in CONDITIONS.values())
    assert used == sorted(field.name for field in fields(RuleFacts))


@pytest.mark.parametrize("key", CONDITIONS)
def test_each_row_agrees_with_itself(key: str) -> None:
    condition = CONDITIONS[key]
    pbx = PbxSettings(key="moscow", lines=(LineSettings(number="74951234567"),))
    values = [int(value) if value.isdecimal() else value for value in condition.values]
    for value in [condition.example, *values]:
        settings = Settings(pbxs=(pbx,), rules=(Rule(name="r", when={key: value}, do=({"nothing": {}},)),))
        assert list(rules.find_faults(settings)) == []
    assert isinstance(condition.example, list) <= condition.accepts_list
    if condition.wildcard:
        assert condition.wildcard in condition.values
    if condition.control.kind in ("ticks", "choice"):
        assert condition.named_by or any(value.option for value in condition.values.values())
    assert (condition.control.empty_option is not None) == (condition.control.kind == "choice")
    assert condition.control.has_numbers == any(value.isdecimal() for value in condition.values)


def test_stored_facts_survive_the_row() -> None:
    facts = compute_facts(SNAPSHOT)
    stored = rules.facts_to_json(facts)
    assert set(stored) == set(STORED_FACTS)
    again = rules.snapshot_from_json(
        stored, started_at=SNAPSHOT.started_at, timezone="Europe/Moscow", pbx_key="moscow", line=LINE, raw_line=None
    )
    assert compute_facts(again) == facts


def test_stored_facts_that_this_version_does_not_know_are_passed_over() -> None:
    snapshot = rules.snapshot_from_json(
        {"colour": "red"}, started_at=SNAPSHOT.started_at, timezone="UTC", pbx_key="moscow", line=None, raw_line=None
    )
    assert (snapshot.moment, snapshot.rang, snapshot.minutes_since_last) == ("end", frozenset(), None)


@pytest.mark.parametrize(
    ("previous", "minutes"), [(None, None), (float("-inf"), rules.NEVER), (940.0, 1.0), (2000.0, 0.0)]
)
def test_minutes_since_the_previous_call(previous: float | None, minutes: float | None) -> None:
    assert rules.minutes_between(previous, 1000.0) == minutes


@pytest.mark.parametrize(
    ("snapshot", "days"),
    [
        (began("2026-02-27T12:00+03:00"), {"27"}),
        (began("2026-02-28T12:00+03:00"), {"28", "last"}),
        (began("2024-02-28T12:00+03:00"), {"28"}),
        (began("2024-02-29T12:00+03:00"), {"29", "last"}),
        (began("2026-03-01T12:00+03:00"), {"1"}),
        (began("2026-04-30T12:00+03:00"), {"30", "last"}),
        (began("2026-05-30T12:00+03:00"), {"30"}),
        (began("2026-05-31T12:00+03:00"), {"31", "last"}),
        (began("2026-12-31T23:59:59+03:00"), {"31", "last"}),
        (began("2027-01-01T00:00+03:00"), {"1"}),
        (began("2026-12-31T20:59:59+00:00"), {"31", "last"}),
        (began("2026-12-31T21:00+00:00"), {"1"}),
        (began("2026-12-31T21:00+00:00", "UTC"), {"31", "last"}),
        (began("2026-02-28T22:00+00:00", "Asia/Vladivostok"), {"1"}),
        (began("2024-03-01T03:00+00:00", "America/New_York"), {"29", "last"}),
    ],
)
def test_the_day_of_the_month_in_the_portals_zone(snapshot: CallSnapshot, days: set[str]) -> None:
    assert compute_facts(snapshot).day_of_month == days


@pytest.mark.parametrize(
    ("days", "moment", "fits"),
    [
        (31, "2026-02-28T12:00+03:00", False),
        ("last", "2026-02-28T12:00+03:00", True),
        ("last", "2024-02-28T12:00+03:00", False),
        ([28, "last"], "2024-02-28T12:00+03:00", True),
        ([1, 15, "last"], "2026-04-30T12:00+03:00", True),
        ([1, 15, "last"], "2026-04-29T12:00+03:00", False),
    ],
)
def test_a_rule_by_the_day_of_the_month(days: Any, moment: str, fits: bool) -> None:
    settings = Settings(rules=(Rule(name="day", when={"day_of_month": days}, do=({"nothing": {}},)),))
    choice = rules.choose_rule(rules.parse_rules(settings), compute_facts(began(moment)))
    assert (choice.rule is not None, choice.is_decided) == (fits, True)


def test_the_day_does_not_follow_the_lines_zone() -> None:
    hours = HoursBlock(days=("mon",), from_="09:00", to="18:00", timezone="Asia/Vladivostok")
    line = LineSettings(number="1", working_hours=(hours,))
    facts = compute_facts(replace(began("2026-11-29T20:00+00:00"), line=line))
    assert (facts.day_of_month, facts.weekday) == ({"29"}, "mon")
