"""Each list of a document has a bound, told at its path; no document costs more than it may to refuse."""

from __future__ import annotations

import time
from typing import Any

import pytest

from bx24app.domain.document import DocumentError, load_yaml, parse, sizes
from bx24app.domain.employees import csv_table
from bx24app.domain.faults import SENTENCES
from bx24app.domain.settings import Settings


def rules(count: int) -> list[dict[str, Any]]:
    return [{"name": f"Rule {number}", "when": {}, "do": [{"nothing": {}}]} for number in range(count)]


def pbxs(count: int = 1, **lists: int) -> list[dict[str, Any]]:
    entries = {
        "lines": [{"number": f"7495{number:07d}"} for number in range(lists.get("lines", 0))],
        "employees": [{"extension": str(number), "user_id": 1} for number in range(lists.get("employees", 0))],
    }
    return [{"key": f"p{number}", "dialects": ["events"], **entries} for number in range(count)]


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


TOO_LARGE = [
    ({"rules": rules(sizes.MAX_RULES + 1)}, "too_many", "rules"),
    ({"rules": [{"name": "R", "do": [{"nothing": {}}] * (sizes.MAX_ACTIONS + 1)}]}, "too_many", "rules[0].do"),
    ({"rules": [{"name": "R", "when": {"rang": ["101"] * 501}}]}, "too_many", "rules[0].when.rang"),
    ({"rules": [{"name": "R", "when": {f"c{n}": 1 for n in range(501)}}]}, "too_many", "rules[0].when"),
    ({"rules": [{"name": "R" * (sizes.MAX_TEXT + 1)}]}, "too_long", "rules[0].name"),
    ({"rules": [{"name": "R", "when": {"rang": nested(990)}}]}, "too_deep", "rules[0].when.rang" + "[0]" * 36),
    ({"pbxs": pbxs(sizes.MAX_PBXS + 1)}, "too_many", "pbxs"),
    ({"pbxs": pbxs(lines=sizes.MAX_LINES + 1)}, "too_many", "pbxs[0].lines"),
    ({"pbxs": pbxs(employees=sizes.MAX_EMPLOYEES + 1)}, "too_many", "pbxs[0].employees"),
    ({"pbxs": pbxs(2, lines=sizes.MAX_LINES // 2 + 1)}, "too_many", "pbxs"),
    ({"pbxs": pbxs(20, employees=10_000)}, "too_many", "pbxs"),
    ({"portal": {f"name{n}": ["x"] * 499 for n in range(500)}}, "too_many_values", ""),
]


@pytest.mark.parametrize(("data", "code", "path"), TOO_LARGE, ids=range(len(TOO_LARGE)))
def test_what_is_too_large_is_told_at_its_path_and_nothing_else_is_done(
    data: dict[str, Any], code: str, path: str
) -> None:
    before = time.process_time()
    with pytest.raises(DocumentError) as refused:
        parse(data)
    assert time.process_time() - before < 5
    assert (code, path) in {(fault.code, fault.path) for fault in refused.value.faults}
    assert {fault.code for fault in refused.value.faults} <= {"too_many", "too_many_values", "too_long", "too_deep"}
    assert all(fault.message and fault.code in SENTENCES for fault in refused.value.faults)


@pytest.mark.parametrize(
    "data",
    [
        {"rules": rules(sizes.MAX_RULES)},
        {"pbxs": pbxs(sizes.MAX_PBXS)},
        {"pbxs": pbxs(lines=sizes.MAX_LINES)},
        {"pbxs": pbxs(employees=sizes.MAX_EMPLOYEES)},
    ],
    ids=["rules", "pbxs", "lines", "employees"],
)
def test_what_just_fits_is_taken(data: dict[str, Any]) -> None:
    assert parse(data).settings


def test_a_document_from_before_the_bounds_may_be_saved_but_not_grow() -> None:
    base = Settings.model_validate({"rules": rules(sizes.MAX_RULES + 9)})
    assert len(parse({"rules": rules(sizes.MAX_RULES + 9)}, base).settings.rules) == sizes.MAX_RULES + 9
    assert parse({"portal": {"timezone": "Europe/Moscow"}}, base).settings.rules == base.rules
    with pytest.raises(DocumentError):
        parse({"rules": rules(sizes.MAX_RULES + 10)}, base)


@pytest.mark.parametrize("text", ["rules: [" + "[]," * 300_000 + "]", "rules:\n" + "- 1\n" * 260_000])
def test_yaml_with_too_many_pieces_is_not_read(text: str) -> None:
    before = time.process_time()
    with pytest.raises(DocumentError, match="more than 250000 values"):
        load_yaml(text)
    assert time.process_time() - before < 1


@pytest.mark.parametrize("text", ["extension;user_id\n" + "\n" * 4_000_000, "extension" + ";" * 4_000_000])
def test_a_file_of_nothing_but_rows_or_cells_is_not_read(text: str) -> None:
    before = time.process_time()
    preview = csv_table.preview_import(text, {}, lambda *_: "unknown")
    assert [fault.code for fault in preview.faults] == ["long"]
    assert time.process_time() - before < 1
