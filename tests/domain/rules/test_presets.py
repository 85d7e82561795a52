"""Ready-made handlings of calls: what they put into a document, and how they are told apart again."""

from __future__ import annotations

from typing import Any

import pytest

from bx24app.domain import document
from bx24app.domain.rules import presets
from bx24app.domain.settings import Rule, Settings

NAME = "Deal for new clients"
OWN = Rule(name="own", do=({"nothing": {}},))


def data(*rules: Rule) -> dict[str, Any]:
    return document.dump(Settings(rules=rules))


@pytest.mark.parametrize("preset", presets.PRESETS)
def test_a_preset_is_a_valid_document_and_is_known_again(preset: str) -> None:
    made = data(OWN)
    presets.apply_preset(made, preset, None, NAME)
    found = Settings.model_validate(made)
    names = [rule.name for rule in found.rules]
    assert names[0] == "own", "rules that exist stay in front"
    assert presets.current_preset(made["calls"], NAME in names) == preset
    assert made["calls"]["recordings"] == data()["calls"]["recordings"], "what a preset does not name stays"


def test_deals_go_into_the_pipeline_that_was_chosen_and_the_rule_is_made_once() -> None:
    made = data(OWN)
    presets.apply_preset(made, "deals", 7, NAME)
    presets.apply_preset(made, "deals", 8, NAME)
    [own, rule] = made["rules"]
    assert own["name"] == "own"
    assert rule["do"] == [{"create": {"entity": "deal", "category_id": 8}}]
    assert rule["when"] == {"direction": "in", "client": "new"}


def test_what_somebody_made_is_no_preset() -> None:
    made = data()
    made["calls"]["missed"] = "nothing"
    assert presets.current_preset(made["calls"], False) is None
    assert presets.current_preset(data()["calls"], True) is None
