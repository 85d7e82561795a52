"""The doctor's words about the shape of statistics, under each reading."""

from __future__ import annotations

from typing import Any

import pytest

from bx24app.mango import statistics_shape as shape

ENTRY: dict[str, Any] = {
    "context_type": 2, "caller_id": "7", "context_start_time": "1700000000",
    "context_calls": [
        {"call_type": "number", "call_abonent_id": "7", "call_abonent_number": None, "recording_id": ["MTIz"]},
        {"call_type": "user", "call_abonent_extension": "101", "recording_id": ""},
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    ("data", "is_read", "says"),
    [
        ([{"list": [ENTRY]}], True, "an array of 1"),
        ({"list": [ENTRY]}, True, "one object"),
        ({}, False, "one object without a list"),
        ([{"list": []}, {}], False, "an array of 2, not all with a list"),
        ([], True, "an array of 0"),
        (None, False, "neither an array nor an object (NoneType)"),
        ("x", False, "neither an array nor an object (str)"),
    ],
)
def test_the_form_of_data(data: Any, is_read: bool, says: str) -> None:
    assert shape.describe_data({"data": data}) == (is_read, says)


@pytest.mark.parametrize("data", [[{"list": [ENTRY]}], {"list": [ENTRY]}])
def test_legs_window_and_recording(data: Any) -> None:
    answer = {"data": data}
    assert shape.describe_legs(answer) == (
        "1 x outgoing number leg without an extension, abonent is the caller; 1 x outgoing user leg with an extension"
    )
    assert shape.count_outside(answer, 1699999999, 1700000001) == (0, 1)
    assert shape.count_outside(answer, 1700000001, 1700000009) == (1, 1)
    assert shape.find_recording(answer, 1700000001) == "MTIz"
    assert shape.find_recording(answer, 1700000000) is None


@pytest.mark.parametrize("answer", [{}, {"data": [None, 5]}, {"data": [{"list": [{"context_calls": "x"}, 1]}]}])
def test_nothing_is_nothing(answer: dict[str, Any]) -> None:
    assert shape.describe_legs(answer) == "no legs"
    assert shape.count_outside(answer, 0, 1) == (0, 0)
    assert shape.find_recording(answer, 1) is None
