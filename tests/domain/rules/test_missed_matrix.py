"""The missed-call matrix is a view of ordinary rules: there and back, and what was changed by hand is left alone."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from bx24app.domain import rules
from bx24app.domain.rules import missed_matrix
from bx24app.domain.rules.missed_matrix import CELL_KEY_BY_NAME, CELL_KEYS, MATRIX_PRESETS, Cell, Matrix
from bx24app.domain.settings import Settings

WHO = st.sampled_from([None, 12, "line", "owner", "answered"])
MINUTES = st.integers(1, 5000)
CELLS = st.one_of(
    st.just(Cell("nothing")),
    st.builds(
        Cell, result=st.just("todo"), responsible=WHO, deadline_minutes=MINUTES, counts_working_time=st.booleans()
    ),
    st.builds(Cell, result=st.sampled_from(["lead", "deal"]), responsible=WHO),
    st.builds(
        Cell, result=st.just("deal"), category_id=st.none() | st.integers(0, 50), responsible=WHO,
        deadline_minutes=MINUTES, counts_working_time=st.booleans(),
    ),
)  # fmt: skip
MATRICES = st.builds(Matrix, st.dictionaries(st.sampled_from(CELL_KEYS), CELLS))
OTHER: dict[str, Any] = {"name": "Mine", "when": {"outcome": "missed"}, "do": [{"nothing": {}}]}


@given(MATRICES)
def test_there_and_back(found: Matrix) -> None:
    made = missed_matrix.to_rules(found)
    assert missed_matrix.from_rules(made) == found
    assert missed_matrix.to_rules(missed_matrix.from_rules(made)) == made
    assert list(rules.find_faults(Settings.model_validate({"rules": made}))) == []


@given(MATRICES, MATRICES)
def test_one_matrix_after_another_leaves_no_trace_and_no_other_rule_moves(first: Matrix, second: Matrix) -> None:
    once = missed_matrix.merge_rules([OTHER], first)
    twice = missed_matrix.merge_rules(once, second)
    assert missed_matrix.from_rules(twice) == second
    assert [rule for rule in twice if rule["name"] not in CELL_KEY_BY_NAME] == [OTHER]
    assert sorted(rule["name"] for rule in twice) == sorted(
        [OTHER["name"], *(missed_matrix.cell_rule_name(place) for place in second.cells)]
    )


def test_the_rules_stay_where_they_stand() -> None:
    made = missed_matrix.to_rules(MATRIX_PRESETS["leads"])
    mixed = [made[2], OTHER, made[0]]
    names = [rule["name"] for rule in missed_matrix.merge_rules(mixed, MATRIX_PRESETS["log"])]
    assert names[:3] == [rule["name"] for rule in mixed]
    assert len(names) == 5


def test_a_rule_changed_by_hand_is_not_taken_for_a_cell_and_not_overwritten() -> None:
    made = missed_matrix.to_rules(MATRIX_PRESETS["log"])
    made[0] = made[0] | {"do": [{"comment": {"text": "x"}}]}
    place = CELL_KEY_BY_NAME[made[0]["name"]]
    assert missed_matrix.customised_cells(made) == {place}
    assert place not in missed_matrix.from_rules(made).cells
    assert missed_matrix.merge_rules(made, MATRIX_PRESETS["leads"])[0] == made[0]
    wider = [made[1] | {"when": made[1]["when"] | {"line": "7495"}}]
    assert missed_matrix.from_rules(wider).cells == {}
    assert missed_matrix.customised_cells(wider) == {CELL_KEY_BY_NAME[made[1]["name"]]}


def test_what_is_no_rule_at_all() -> None:
    broken: list[dict[str, Any]] = [{}, {"name": missed_matrix.cell_rule_name(CELL_KEYS[0]), "do": [{"todo": 3}, 5]}]
    assert missed_matrix.from_rules(broken).cells == {}
    assert missed_matrix.merge_rules(broken, Matrix()) == broken


def test_presets_are_good_rules() -> None:
    for preset in MATRIX_PRESETS.values():
        assert list(rules.find_faults(Settings.model_validate({"rules": missed_matrix.to_rules(preset)}))) == []
        assert missed_matrix.from_rules(missed_matrix.to_rules(preset)) == preset
