"""`CallFacts`: rows of every version are read, keys of another version survive, and nobody else writes the column."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from bx24app.models import Call
from bx24app.models.call_facts import CallFacts

FOLDED: dict[str, Any] = {
    "click_user": 11,
    "form_callback": True,
    "line": "74950000001",
    "cannot": {"status": "404", "words": "no extension"},
    "quiet": True,
    "background": True,
    "no_notices": True,
    "no_records": True,
    "joined": 3,
    "rang": ["101"],
    "groups": [],
    "open": False,
    "unmapped": [],
    "client": "new",
    "record": {"entity": "lead", "id": 5},
    "records": [{"entity": "lead", "id": 5, "responsible": 11}],
    "deals": [],
    "pick": 0,
    "chosen": "",
    "seen": {"direction": "in"},
    "case": {"raw_line": None, "days": {"11": "OPENED"}, "misses": 1, "of_a_newer_version": 1},
    "continues": 7,
    "handed_to": 12,
    "makes": True,
}
"""Every key as version 4f532bf writes it, and `joined`, which is younger;
values that are false but not the default among them."""


def test_a_row_of_today_is_written_back_as_it_was() -> None:
    assert CallFacts.from_json(FOLDED).to_json() == FOLDED


def test_every_field_has_a_key() -> None:
    facts = CallFacts.from_json(FOLDED)
    defaults = CallFacts()
    same = {one.name for one in fields(CallFacts) if getattr(facts, one.name) == getattr(defaults, one.name)}
    assert same == {"unknown"}, "a field that is not stored would be lost at each fold"


@pytest.mark.parametrize("document", [None, {}, {"line": None, "record": None, "no_records": False, "case": None}])
def test_missing_and_null_keys_read_as_defaults(document: dict[str, Any] | None) -> None:
    assert CallFacts.from_json(document) == CallFacts()
    assert CallFacts.from_json(document).to_json() == {}


def test_keys_of_another_version_survive_a_rewrite() -> None:
    facts = CallFacts.from_json({"of_tomorrow": {"a": [1]}, "nothing": None, "continues": 3})
    facts.continued_call_id, facts.pick = None, 4
    assert facts.to_json() == {"of_tomorrow": {"a": [1]}, "nothing": None, "pick": 4}


def test_a_call_reads_and_writes_its_facts() -> None:
    call = Call()
    assert call.read_facts() == CallFacts()
    facts = call.read_facts()
    facts.chosen_rule = "Night"
    assert call.read_facts().chosen_rule is None, "nothing is stored before write_facts"
    call.write_facts(facts)
    assert (call.facts, call.read_facts()) == ({"chosen": "Night"}, facts)


def test_nobody_else_touches_the_column() -> None:
    package = Path(__file__).parents[2] / "bx24app"
    touching = {
        str(path.relative_to(package))
        for path in package.rglob("*.py")
        if re.search(r"\bcall\.facts\b|\bCall\.facts\b", path.read_text())
    }
    # Erasure replaces numbers in the JSON of any version; batches read one key of many rows.
    assert touching == {"models/call_facts.py", "operations/redaction.py", "calls/outbox/batches.py"}
