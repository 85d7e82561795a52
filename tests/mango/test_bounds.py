"""No value of a notification or of the statistics is beyond what a column holds: its field is named (t02)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bx24app.domain import phone
from bx24app.domain.bounds import MAX_NAME, MAX_TALK_SECONDS, MAX_WHOLE
from bx24app.mango import events_dialect, statistics, vpbx
from bx24app.mango.notification import MalformedNotification
from bx24app.settings import hook_keys

SUMMARY = {"entry_id": "e", "call_direction": 1, "from": {"number": "79160000001"}, "to": {"extension": "101"},
           "create_time": 1776060000, "talk_time": 1776060010, "end_time": 1776060060}  # fmt: skip
END = {"uuid": "u", "start_time": 1776060000, "finish_time": 1776060065, "call_state": "Answered", "duration": 60,
       "from": "79160000001", "to": {"extension": "101"}, "direction": "in"}  # fmt: skip
ENTRY = {"entry_id": "e", "context_type": 1, "context_status": 1, "caller_number": "79160000001",
         "called_number": "7495", "context_start_time": 1776060000, "context_calls": []}  # fmt: skip


@pytest.mark.parametrize("field", ["disconnect_reason", "call_direction", "end_time", "talk_time"])
@pytest.mark.parametrize("value", [3_000_000_000, -3_000_000_000, "3000000000", 2**62, 9_999_999_998])
def test_whole_numbers_of_the_signed_dialect(field: str, value: Any) -> None:
    if field.endswith("_time") and str(value).lstrip("-") == "3000000000" and not str(value).startswith("-"):
        return  # a moment of the year 2065
    with pytest.raises(MalformedNotification, match=field):
        vpbx.identify_strictly("events/summary", json.dumps(SUMMARY | {field: value}), 0)


@pytest.mark.parametrize(
    ("field", "value"),
    [("disconnect_reason", MAX_WHOLE + 1), ("duration", MAX_TALK_SECONDS + 1), ("finish_time", 9_999_999_998),
     ("finish_time", "2286-01-01T00:00:00+00:00")],
)  # fmt: skip
def test_the_short_dialect(field: str, value: Any) -> None:
    with pytest.raises(MalformedNotification, match=field):
        events_dialect.identify("call_end", json.dumps(END | {field: value}))


@pytest.mark.parametrize(
    ("field", "value"),
    [("duration", 2**31), ("talk_duration", MAX_TALK_SECONDS + 1), ("context_start_time", 9_999_999_998)],
)
def test_statistics(field: str, value: Any) -> None:
    with pytest.raises(MalformedNotification, match=field):
        statistics.parse(statistics.CALLS, json.dumps(ENTRY | {field: value}))


def test_ids_of_recordings_in_the_older_statistics() -> None:
    row = {"entry_id": "e", "start": "1776060000", "finish": "1776060060", "records": f"[a,{'b' * 600}]"}
    with pytest.raises(MalformedNotification, match="records"):
        statistics.parse(statistics.LEGS, json.dumps({"entry_id": "e", "rows": [row]}))


def test_a_number_of_more_digits_than_any_plan_has_is_no_telephone() -> None:
    assert phone.normalise("7" * 32) == "+" + "7" * 32
    assert phone.normalise("7" * 33) is None


def test_a_hook_key_that_no_database_takes_is_no_key() -> None:
    assert hook_keys.key_params("\0\1")["hook_key"] == "\ufffd\1"
    assert len(hook_keys.key_params("k" * 70_000)["hook_key"]) == MAX_NAME
