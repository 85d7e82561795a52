"""docs/rules.md says what the parser takes: its tables are written from the same table, its examples are good rules."""

from __future__ import annotations

import re
from typing import Any

import pytest

from bx24app.domain import document, rules
from bx24app.domain.faults import Fault
from bx24app.domain.rules import ACTIONS, CONDITIONS
from bx24app.domain.settings import LineSettings, PbxSettings, Rule, Settings
from scripts import rules_doc

TEXT = rules_doc.FILE.read_text(encoding="utf-8")
PBX = PbxSettings(key="moscow", lines=(LineSettings(number="74951234567"),))


def faults(*written: Any) -> list[Fault]:
    return list(rules.find_faults(Settings(pbxs=(PBX,), rules=tuple(Rule.model_validate(rule) for rule in written))))


def test_the_tables_are_those_of_the_parser() -> None:
    assert rules_doc.written(TEXT) == TEXT, "run: python -m scripts.rules_doc"
    for key in CONDITIONS:
        assert f"\n| `{key}` | " in TEXT
    for action, parts in ACTIONS.items():
        for part in parts:
            assert f"\n| `{action}` | `{part}` | " in TEXT


def test_a_table_that_says_something_else_is_found() -> None:
    assert rules_doc.written(TEXT.replace("| `hours` |", "| `time` |")) != TEXT.replace("| `hours` |", "| `time` |")
    with pytest.raises(ValueError, match="places for actions"):
        rules_doc.written(TEXT.replace("<!-- actions -->", ""))


@pytest.mark.parametrize("key", CONDITIONS)
def test_the_example_of_each_condition_is_good(key: str) -> None:
    row = next(line for line in TEXT.splitlines() if line.startswith(f"| `{key}` | "))
    example = row.split(" | ")[4].strip("`")
    rule = document.load_yaml(f"rules: [{{name: x, when: {{{example}}}, do: [nothing: {{}}]}}]")["rules"][0]
    assert rule["when"] == {key: CONDITIONS[key].example}
    assert faults(rule) == []


def test_the_examples_are_good_rules() -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", TEXT, flags=re.DOTALL)
    assert blocks
    for block in blocks:
        assert faults(*document.load_yaml(block)["rules"]) == []
