"""Whose leg it is in `stats/calls`: by extension, by id, and on a dialled number."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bx24app.domain.calls.entry_assembly import assemble_entry
from bx24app.domain.calls.events import Party
from bx24app.mango import statistics, statistics_users

EXTENSIONS = {"300043164": "101", "300043135": "102"}


def _leg(kind: str, user_id: int, start: int, answer: int | None, end: int, **more: Any) -> dict[str, Any]:
    """With the keys of the documentation's example (D26, 3.4.2.3): no extension anywhere."""
    return {
        "call_type": kind, "call_abonent_id": user_id, "call_abonent_info": "Somebody", "call_abonent_number": None,
        "call_start_time": start, "call_answer_time": answer, "call_end_time": end, "call_duration": end - start,
        "talk_duration": end - answer if answer else 0, "dial_duration": 6, "hold_duration": None,
        "call_end_reason": 1110, "recording_id": [], "DirectionInbound": False, "DirectionOutbound": True,
        "ModeConversation": True, "ModeGroup": False, "BlindTransfer": False, "ConsultTransfer": False, "members": [],
    } | more  # fmt: skip


OUTGOING = {
    "entry_id": "NTAwODcxNjI1Ng==", "context_type": 2, "context_status": 1, "caller_id": 300043164,
    "caller_name": "Somebody", "caller_number": "sip:somebody@vpbx.mangosip.ru", "called_number": "7007374952233501",
    "context_start_time": 1555601310, "duration": 8, "talk_duration": 1, "context_init_type": 3,
    "context_calls": [_leg("number", 300043164, 1555601311, 1555601317, 1555601318, recording_id=["R1"])],
}  # fmt: skip
INCOMING = {
    "entry_id": "NTAwODcxNjIyNQ==", "context_type": 1, "context_status": 1, "caller_id": None,
    "caller_name": "74950000074", "caller_number": "74950000074", "called_number": "74950000067",
    "context_start_time": 1555660155, "duration": 14, "talk_duration": 9, "context_init_type": 0,
    "context_calls": [
        _leg("group", 10051192, 1555660155, 1555660160, 1555660169, ModeGroup=True, DirectionOutbound=False, members=[
            _leg("user", 300043135, 1555660155, 1555660160, 1555660169, call_abonent_number="sip:cu@t1.mangosip.ru",
                 DirectionInbound=True, DirectionOutbound=False, members=None),
        ]),
    ],
}  # fmt: skip


def _employee(party: Party) -> Party | None:
    return Party(party.extension) if party.extension else None


def _talkers(content: dict[str, Any]) -> list[tuple[str | None, int]]:
    entry = assemble_entry(statistics.parse(statistics.CALLS, json.dumps(content)), _employee)
    assert entry is not None
    return [(talk.employee.extension, (talk.end or entry.ended_at or 0) - talk.start) for talk in entry.talks]


@pytest.mark.parametrize(("content", "talkers"), [(OUTGOING, [("101", 1)]), (INCOMING, [("102", 9)])])
def test_an_id_becomes_the_employee(content: dict[str, Any], talkers: list[tuple[str, int]]) -> None:
    assert statistics_users.list_user_ids([content])
    completed = statistics_users.add_extensions(content, EXTENSIONS)
    assert not statistics_users.list_user_ids([completed])
    assert _talkers(completed) == talkers


def test_the_client_of_an_outgoing_call_is_whom_it_dialled() -> None:
    completed = statistics_users.add_extensions(OUTGOING, EXTENSIONS)
    entry = assemble_entry(statistics.parse(statistics.CALLS, json.dumps(completed)), _employee)
    assert entry is not None
    assert (entry.direction, entry.raw_client) == ("out", "7007374952233501")
    assert [(recording.id, recording.extension) for recording in entry.recordings] == [("R1", "101")]


def test_the_live_shape_has_the_extension_on_the_leg_to_the_number() -> None:
    live = {**OUTGOING, "context_calls": [{**OUTGOING["context_calls"][0], "call_abonent_extension": "101"}]}  # type: ignore[dict-item]
    assert not statistics_users.list_user_ids([live])
    assert _talkers(live) == [("101", 1)]


def test_a_handed_over_outgoing_call_keeps_both_talks() -> None:
    first = _leg("number", 300043164, 1000, 1010, 1044, call_abonent_extension="101")
    second = _leg("user", 300043135, 1040, 1044, 1124, call_abonent_extension="102", caller_extension="101",
                  BlindTransfer=True)  # fmt: skip
    content = {**OUTGOING, "context_start_time": 1000, "duration": 124, "talk_duration": 114,
               "context_calls": [first, second]}  # fmt: skip
    assert _talkers(content) == [("101", 34), ("102", 80)]


def test_a_dialled_leg_that_names_nobody_is_the_caller_s() -> None:
    nameless = {**OUTGOING, "context_calls": [{**OUTGOING["context_calls"][0], "call_abonent_id": None}]}  # type: ignore[dict-item]
    assert _talkers(statistics_users.add_extensions(nameless, EXTENSIONS)) == [("101", 1)]


def test_a_leg_that_comes_in_leads_to_its_employee() -> None:
    """A number that rings inside an outgoing call is an employee's own mobile, not whom somebody dialled."""
    mobile = _leg("number", 300043135, 1000, 1004, 1044, DirectionInbound=True, DirectionOutbound=False,
                  call_abonent_extension="102", call_abonent_number="79031112233")  # fmt: skip
    assert statistics_users.turn_dialled_leg(OUTGOING, mobile) == mobile
    dialled = statistics_users.turn_dialled_leg(OUTGOING, {**mobile, "DirectionOutbound": True})
    assert (dialled["caller_extension"], dialled["call_abonent_extension"]) == ("102", None)


def test_an_unknown_id_changes_nothing() -> None:
    assert statistics_users.add_extensions(OUTGOING, {}) == OUTGOING


def test_a_group_is_named_by_its_id() -> None:
    assert statistics_users.list_group_ids([INCOMING]) == {"10051192"}
    completed = statistics_users.add_extensions(INCOMING, EXTENSIONS, {"10051192": "300"})
    assert completed["context_calls"][0]["call_abonent_extension"] == "300"
    assert not statistics_users.list_group_ids([completed])
