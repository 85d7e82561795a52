"""Statistics alone tell of a call what its notifications tell, in every shape that Mango may answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bx24app.domain.calls.entry_assembly import assemble_entry
from bx24app.domain.calls.events import Party
from bx24app.mango import statistics, statistics_users
from tests.mango.test_scenarios import EXCUSES, SIGNED, outcome
from tests.support.scenarios import Scenario
from tests.support.statistics_shapes import SHAPES, Shape

NO_MENU = "the statistics have no row of a menu, so that they name no reason of an end in it"
NO_FILE = "the statistics name no recording that was not kept, or of a leg that nobody saw"
UNTOLD = {
    "incoming_entry_result_without_talk": NO_MENU,
    "incoming_lost_in_ivr": NO_MENU,
    "incoming_outside_hours": NO_MENU,
    "incoming_recording_too_short": NO_FILE,
    "incoming_summary_names_unseen_talk": NO_FILE,
    "incoming_voicemail": NO_MENU,
}
"""Scenarios of which statistics alone do not tell everything, and why. None of them is an outgoing or transferred call.
"""


@pytest.mark.parametrize("scenario", SIGNED, ids=lambda scenario: scenario.folder.name)
def test_statistics_alone_make_the_same_journal(scenario: Scenario) -> None:
    excused = {
        excuse.field.format(**lost.content) for lost in scenario.notices for excuse in EXCUSES if excuse.applies(lost)
    }
    fair = outcome(scenario.play(), excused)
    for shape in SHAPES:
        alone = outcome(scenario.play([scenario.statistics_as(shape)]), excused)
        if scenario.folder.name in UNTOLD:
            assert alone["journal"]["user_id"] == fair["journal"]["user_id"], str(shape)
            assert alone["records"] == fair["records"], str(shape)
        else:
            assert alone == fair, str(shape)


@pytest.mark.parametrize("scenario", SIGNED, ids=lambda scenario: scenario.folder.name)
def test_statistics_beside_all_notifications_change_nothing(scenario: Scenario) -> None:
    fair = outcome(scenario.play(), set())
    for shape in SHAPES:
        assert outcome(scenario.play([*scenario.notices, scenario.statistics_as(shape)]), set()) == fair, str(shape)


def test_a_consultation_leaves_three_legs() -> None:
    scenario = next(scenario for scenario in SIGNED if scenario.folder.name == "transfer_consultative")
    entry = json.loads(scenario.statistics_as(Shape(has_bridge=True)).raw)
    people = [leg["call_abonent_id"] for leg in entry["context_calls"]]
    assert people[1] == people[2] != people[0]
    assert entry["context_calls"][1]["call_end_time"] == entry["context_calls"][2]["call_answer_time"]


# The shapes below are those of D26, 3.4.2.3 and of live accounts, with values of our own.

IDS = {"1": "101", "2": "102", "3": "103"}


def leg(kind: str, who: int | None, start: int, answer: int | None, end: int, **more: Any) -> dict[str, Any]:
    """A leg as in the documentation's example: an id, no extension."""
    times = {"call_start_time": start, "call_answer_time": answer, "call_end_time": end, "call_end_reason": 1110}
    return {"call_type": kind, "call_abonent_id": who, "call_abonent_number": None, "recording_id": []} | times | more


def entry(context: int, caller: int | None, *legs: dict[str, Any]) -> dict[str, Any]:
    start, end = legs[0]["call_start_time"], max(leg["call_end_time"] for leg in legs)
    sides = {"caller_number": "sip:a@b.mangosip.ru" if caller else "79160000001", "called_number": "79160000002"}
    return {
        "entry_id": "E", "context_type": context, "context_status": 1, "caller_id": caller, **sides,
        "context_start_time": start, "duration": end - start, "context_calls": list(legs),
    }  # fmt: skip


CONSULT, BLIND = {"ConsultTransfer": True}, {"BlindTransfer": True}
OUT = leg("number", 1, 1000, 1010, 1060, DirectionOutbound=True)
IN = leg("user", 1, 1000, 1010, 1060)
TALKS = [
    ("outgoing", entry(2, 1, OUT), [("101", 1010, 1060)]),
    ("outgoing, the leg names nobody", entry(2, 1, OUT | {"call_abonent_id": None}), [("101", 1010, 1060)]),
    ("callback", entry(2, 1, leg("user", 1, 1000, 1005, 1006), leg("number", 1, 1006, 1020, 1060)),
     [("101", 1020, 1060)]),
    ("outgoing, blind", entry(2, 1, OUT, leg("user", 2, 1058, 1062, 1100, **BLIND)),
     [("101", 1010, 1060), ("102", 1062, 1100)]),
    ("outgoing, consultation", entry(2, 1, OUT, leg("user", 2, 1040, 1045, 1100, **CONSULT)),
     [("101", 1010, 1060), ("102", 1060, 1100)]),
    ("outgoing, three legs",
     entry(2, 1, OUT, leg("user", 2, 1040, 1045, 1060, **CONSULT), leg("user", 2, 1060, 1060, 1100, **CONSULT)),
     [("101", 1010, 1060), ("102", 1060, 1100)]),
    ("three legs, the first marked", entry(1, None, IN | CONSULT, leg("user", 2, 1040, 1045, 1060),
     leg("user", 2, 1060, 1060, 1100)), [("101", 1010, 1060), ("102", 1060, 1100)]),
    ("three legs, the bridge a second early", entry(1, None, IN, leg("user", 2, 1040, 1045, 1059, **CONSULT),
     leg("user", 2, 1059, 1059, 1100, **CONSULT)), [("101", 1010, 1060), ("102", 1060, 1100)]),
    ("three legs, the bridge two seconds late", entry(1, None, IN, leg("user", 2, 1040, 1045, 1060, **CONSULT),
     leg("user", 2, 1062, 1062, 1100)), [("101", 1010, 1060), ("102", 1062, 1100)]),
    ("a consultation that led nowhere", entry(1, None, IN, leg("user", 2, 1020, 1025, 1040, **CONSULT)),
     [("101", 1010, 1060)]),
    ("nowhere, then to another", entry(1, None, IN, leg("user", 2, 1020, 1025, 1040, **CONSULT),
     leg("user", 3, 1040, 1042, 1100, **CONSULT)), [("101", 1010, 1060), ("103", 1060, 1100)]),
    ("handed over twice", entry(1, None, IN, leg("user", 2, 1040, 1045, 1100, **CONSULT),
     leg("user", 3, 1098, 1103, 1150, **BLIND)), [("101", 1010, 1060), ("102", 1060, 1100), ("103", 1103, 1150)]),
]  # fmt: skip


def talks(content: dict[str, Any]) -> list[tuple[str | None, int, int | None]]:
    def employee(party: Party) -> Party | None:
        return Party(party.extension) if party.extension else None

    found = assemble_entry(statistics.parse(statistics.CALLS, json.dumps(content)), employee)
    assert found is not None
    return [(talk.employee.extension, talk.start, talk.end) for talk in found.talks]


@pytest.mark.parametrize(("content", "wanted"), [row[1:] for row in TALKS], ids=[row[0] for row in TALKS])
@pytest.mark.parametrize("is_live", [False, True])
def test_each_part_has_its_employee_and_seconds(content: dict[str, Any], wanted: list[Any], is_live: bool) -> None:
    completed = statistics_users.add_extensions(content, IDS)
    if is_live:  # the live shape: Mango itself names the extension
        legs = content["context_calls"]
        legs = [leg | {"call_abonent_extension": IDS.get(str(leg["call_abonent_id"]))} for leg in legs]
        completed = statistics_users.add_extensions(content | {"context_calls": legs}, IDS)
    assert talks(completed) == wanted


def test_the_caller_of_an_internal_call_is_named_by_id() -> None:
    content = entry(3, 1, leg("user", 2, 1000, 1010, 1060))
    assert statistics_users.list_user_ids([content])
    completed = statistics_users.add_extensions(content, IDS)
    assert not statistics_users.list_user_ids([completed])
    found = assemble_entry(statistics.parse(statistics.CALLS, json.dumps(completed)), lambda party: party)
    assert found is not None
    assert found.end_event is not None
    assert (found.direction, found.end_event.caller.extension) == ("internal", "101")


OFFICIAL = Path(__file__).parent / "statistics" / "official.json"
LIVE = Path(__file__).parent / "statistics" / "live.json"


@pytest.mark.parametrize("file", [OFFICIAL, LIVE], ids=["official", "live"])
def test_the_examples_are_read(file: Path) -> None:
    """One outgoing call, one answered in a group, one missed by the group."""
    entries = [entry for day in json.loads(file.read_text())["data"] for entry in day["list"]]
    extensions = {"300043001": "101", "300043002": "102"}
    completed = [statistics_users.add_extensions(entry, extensions) for entry in entries]
    assert [talks(entry) for entry in completed] == [
        [("101", 1555601317, 1555601318)],
        [("102", 1555660160, 1555660169)],
        [],
    ]
