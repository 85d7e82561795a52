"""What a call's notifications tell together: statistics beside legs that they cannot name."""

from __future__ import annotations

import json

import pytest
from flask import Flask

from bx24app.calls.fold.grouping import collect_events
from bx24app.domain.calls.events import CallEnded, LegEvent, RecordingEvent
from bx24app.mango import statistics
from bx24app.models import Notification, utcnow

ROW = {
    "entry_id": "E1",
    "records": "[rec]",
    "start": "1776060000",
    "finish": "1776060060",
    "answer": "1776060010",
    "from_extension": "",
    "from_number": "79160000001",
    "to_extension": "101",
    "to_number": "",
    "disconnect_reason": "1110",
    "line_number": "74951234567",
    "location": "abonent",
    "create": "1776060000",
}
LEG = {"call_type": "user", "call_abonent_extension": "101", "call_start_time": 1776060000, "external_call_id": "L1",
       "call_answer_time": 1776060010, "call_end_time": 1776060060, "recording_id": ["rec"]}  # fmt: skip
ENTRY = {
    "entry_id": "E1",
    "context_type": 1,
    "context_status": 1,
    "caller_number": "79160000001",
    "duration": 60,
    "called_number": "74951234567",
    "context_start_time": 1776060000,
    "talk_duration": 50,
    "context_calls": [LEG],
}
CALL = {
    "entry_id": "E1",
    "call_id": "L1",
    "timestamp": 1776060000,
    "seq": 1,
    "call_state": "Appeared",
    "location": "abonent",
    "from": {"number": "79160000001"},
    "to": {"extension": "101"},
}
SHORT = {"uuid": "E1", "from": "79160000001", "to": {"extension": "101"}, "direction": "in", "start_time": 1776060000}


def told(dialect: str, name: str, body: object) -> Notification:
    return Notification(
        pbx_id=1, dialect=dialect, name=name, body=json.dumps(body), state="handled", received_at=utcnow()
    )


CALLS = ("statistics", statistics.CALLS, ENTRY)
LEGS = ("statistics", statistics.LEGS, {"entry_id": "E1", "rows": [ROW]})


@pytest.mark.parametrize(
    ("rows", "legs", "recordings"),
    [
        ([CALLS], {"L1"}, ["rec"]),
        ([LEGS], {"E1/0"}, ["rec"]),
        ([("vpbx", "events/call", CALL), CALLS], {"L1"}, ["rec"]),
        ([("vpbx", "events/call", CALL), LEGS], {"L1"}, ["rec"]),
        ([CALLS, LEGS], {"L1"}, ["rec"]),
        ([("events", "call_start", SHORT), CALLS], {"E1"}, []),
        ([("events", "call_start", SHORT), LEGS], {"E1"}, []),
    ],
)
def test_no_leg_is_told_under_two_names(
    app: Flask, rows: list[tuple[str, str, object]], legs: set[str], recordings: list[str]
) -> None:
    events = collect_events([told(*row) for row in rows])
    assert {event.leg for event in events if isinstance(event, LegEvent)} == legs
    assert [event.recording_id for event in events if isinstance(event, RecordingEvent)] == recordings
    assert [event.ended_at for event in events if isinstance(event, CallEnded)] == [1776060060]
