"""Both statistics of Mango as domain events: alone, and folded together with the notifications that did arrive."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bx24app.domain.calls.entry import CallEntry
from bx24app.domain.calls.entry_assembly import assemble_entry
from bx24app.domain.calls.events import Party, PbxEvent, RecordingEvent
from bx24app.mango import statistics, vpbx
from bx24app.mango.notification import MalformedNotification
from tests.support.sequences import compact, sequence

S1 = {"entry_id": "MjY0NTgxMDAwMDE=", "caller_number": "79160000001", "called_number": "74950000001"}
TALK, LOSER, GROUP = "MToxMDAwMDAwMTo1MDY6NTIyOTA1MDAz", "MToxMDAwMDAwMTo1MDY6NTIyOTA1MDA0", "group-leg"
RECORDING = "MToxMDAwMDAwMToyNjQ1ODEwMDAwMTow"


def person(extension: str | None, start: int, answer: int | None, end: int | None, **more: Any) -> dict[str, Any]:
    said = {"call_type": "user" if extension else "number", "call_start_time": start, "call_answer_time": answer}
    if extension:
        said |= {"call_abonent_extension": extension, "call_abonent_number": f"sip:user{extension}@vpbx.mangosip.ru"}
    return said | {"call_end_time": end, "call_end_reason": 1110, "recording_id": []} | more


def group(*members: dict[str, Any], **more: Any) -> dict[str, Any]:
    said = {"call_type": "group", "call_abonent_extension": "300", "ModeGroup": True, "external_call_id": GROUP}
    return said | {"call_start_time": 1776060007, "call_answer_time": None, "members": list(members)} | more


def entry(
    context_type: int, start: int, duration: int, talk: int, *legs: dict[str, Any], **more: Any
) -> dict[str, Any]:
    status = 1 if talk else 0
    said = {"context_type": context_type, "context_status": status, "context_start_time": start, "duration": duration}
    return S1 | said | {"talk_duration": talk, "context_calls": list(legs)} | more


ANSWERED = entry(
    1,
    1776060000,
    98,
    84,
    group(
        person("101", 1776060008, 1776060014, 1776060098, external_call_id=TALK, recording_id=[RECORDING]),
        person("102", 1776060008, None, 1776060014, external_call_id=LOSER, call_end_reason=1183),
        call_answer_time=1776060014,
        call_end_time=1776060098,
        recording_id=[RECORDING],
    ),
)


def employee(party: Party) -> Party | None:
    return Party(party.extension) if party.extension else None


def told(events: list[PbxEvent]) -> CallEntry:
    found = assemble_entry(events, employee)
    assert found is not None
    return found


def talkers(found: CallEntry) -> list[str | None]:
    return list(dict.fromkeys(talk.employee.extension for talk in found.talks))


def test_incoming_answered_by_one_of_a_group() -> None:
    found = told(statistics.entry_to_events(ANSWERED))
    assert (found.direction, found.raw_client, found.line) == ("in", "79160000001", "74950000001")
    assert (found.started_at, found.talk_at, found.ended_at) == (1776060000, 1776060014, 1776060098)
    assert (found.talk_seconds, talkers(found), found.end_reason, found.all_legs_ended) == (84, ["101"], 1110, True)
    assert [ring.employee.extension for ring in found.rings] == ["101", "102"]
    assert found.end_event is not None
    assert found.end_event.source == "statistics"


def test_a_recording_is_told_once_and_of_the_person() -> None:
    recorded = [event for event in statistics.entry_to_events(ANSWERED) if isinstance(event, RecordingEvent)]
    assert [(event.recording_id, event.extension, event.leg, event.code) for event in recorded] == [
        (RECORDING, "101", TALK, 1000)
    ]
    [facts] = told(statistics.entry_to_events(ANSWERED)).recordings
    assert facts.is_fetchable


@pytest.mark.parametrize("lost", range(len(sequence("S1"))))
def test_with_one_notification_lost_nothing_is_missing(lost: int) -> None:
    """The notifications that arrived and the statistics together say what all notifications say."""
    steps = sequence("S1")
    whole = told([event for step in steps for event in vpbx.parse(step["path"], compact(step["json"]))])
    kept = [step for index, step in enumerate(steps) if index != lost]
    heard = [event for step in kept for event in vpbx.parse(step["path"], compact(step["json"]))]
    found = told(heard + statistics.entry_to_events(ANSWERED))
    assert (found.direction, found.raw_client, found.line) == (whole.direction, whole.raw_client, whole.line)
    assert (found.talk_at, found.ended_at, found.talk_seconds) == (whole.talk_at, whole.ended_at, whole.talk_seconds)
    assert talkers(found) == talkers(whole)
    assert [facts.id for facts in found.recordings if facts.is_fetchable] == [RECORDING]
    assert found.end_reason == whole.end_reason


def test_missed_as_seen_live() -> None:
    """Group row 1131, its members of no length; and an entry without any leg."""
    members = [person(ext, 1775820535, None, 1775820535, call_end_reason=1131) for ext in ("200", "202")]
    rows = group(*members, call_start_time=1775820535, call_end_time=1775820552, call_end_reason=1131)
    found = told(statistics.entry_to_events(entry(1, 1775820533, 19, 0, rows)))
    assert (found.talk_at, found.talks, found.end_reason, found.ended_at) == (None, (), 1131, 1775820552)
    assert [ring.employee.extension for ring in found.rings] == ["200", "202"]
    bare = told(statistics.entry_to_events(entry(1, 1775820533, 19, 0)))
    assert (bare.direction, bare.talk_at, bare.ended_at, bare.raw_client) == ("in", None, 1775820552, "79160000001")


def test_status_1_without_a_talk_is_no_talk() -> None:
    found = told(statistics.entry_to_events(entry(1, 1775820533, 19, 0, context_status=1)))
    assert found.talk_at is None


OUT = {"caller_number": "sip:user101@vpbx.mangosip.ru", "called_number": "79160000001"}


def test_outgoing() -> None:
    leg = person(None, 1776061000, 1776061009, 1776061060, caller_extension="101", call_abonent_number="79160000001")
    found = told(statistics.entry_to_events(entry(2, 1776061000, 60, 51, leg | {"recording_id": "r1"}, **OUT)))
    assert (found.direction, found.raw_client, talkers(found), found.talk_seconds) == (
        "out",
        "79160000001",
        ["101"],
        51,
    )
    assert [(facts.id, facts.extension) for facts in found.recordings] == [("r1", "101")]


def test_outgoing_not_answered() -> None:
    leg = person(None, 1776061000, None, 1776061030, caller_extension="101", call_end_reason=1121)
    found = told(statistics.entry_to_events(entry(2, 1776061000, 30, 0, leg, **OUT)))
    assert (found.direction, found.talk_at, found.end_reason, found.talks) == ("out", None, 1121, ())
    assert [ring.employee.extension for ring in found.rings] == ["101"]


def test_a_callback_s_first_half_is_no_talk() -> None:
    first = person("101", 1776060800, 1776060804, 1776060805, call_end_reason=1000)
    second = person(None, 1776060805, 1776060818, 1776060900, caller_extension="101", call_abonent_number="79160000001")
    found = told(statistics.entry_to_events(entry(2, 1776060800, 100, 82, first, second, **OUT)))
    assert (found.talk_at, found.talk_seconds, talkers(found)) == (1776060818, 82, ["101"])
    assert [talk.start for talk in found.talks] == [1776060818]
    alone = told(statistics.entry_to_events(entry(2, 1776060800, 30, 0, first | {"call_answer_time": None}, **OUT)))
    assert (alone.direction, alone.talks, alone.raw_client) == ("out", (), "79160000001")


def test_internal() -> None:
    leg = person("102", 1776061300, 1776061306, 1776061340, caller_extension="101")
    found = told(
        statistics.entry_to_events(entry(3, 1776061300, 40, 34, leg, caller_number="101", called_number="102"))
    )
    assert (found.direction, found.raw_client, found.talk_seconds) == ("internal", None, 34)


@pytest.mark.parametrize(
    ("flags", "start"),
    [({"ConsultTransfer": True, "caller_extension": "101"}, 60), ({"BlindTransfer": True}, 46), ({}, 46)],
)
def test_transfer(flags: dict[str, Any], start: int) -> None:
    first = person("101", 1776060600, 1776060605, 1776060660)
    second = person("102", 1776060641, 1776060646, 1776060720, **flags)
    found = told(statistics.entry_to_events(entry(1, 1776060600, 120, 115, first, second)))
    assert talkers(found) == ["101", "102"]
    assert found.talks[-1].start == 1776060600 + start
    assert found.talk_at == 1776060605


def test_a_consultation_that_led_nowhere_is_no_talk() -> None:
    first = person("101", 1776060600, 1776060605, 1776060720)
    second = person("102", 1776060641, 1776060646, 1776060660, caller_extension="101")
    assert talkers(told(statistics.entry_to_events(entry(1, 1776060600, 120, 115, first, second)))) == ["101"]


def test_while_a_leg_is_open_there_is_no_end() -> None:
    found = told(statistics.entry_to_events(entry(1, 1776060600, 0, 0, person("101", 1776060600, 1776060605, None))))
    assert found.end_event is None


def test_ids_may_be_missing_or_shared() -> None:
    members = [
        person("101", 1776060008, None, 1776060014, external_call_id=GROUP),
        person("102", 1776060008, None, 1776060014),
    ]
    found = told(statistics.entry_to_events(entry(1, 1776060000, 14, 0, group(*members, call_end_time=1776060014))))
    assert len(found.legs) == 3
    assert [ring.employee.extension for ring in found.rings] == ["101", "102"]


@pytest.mark.parametrize(
    ("changes", "because"),
    [
        ({"entry_id": ""}, "entry_id is missing"),
        ({"context_type": 0}, "context_type is 0"),
        ({"context_type": "in"}, "context_type is not"),
        ({"context_calls": ["x"]}, "context_calls.0"),
        ({"context_start_time": None}, "context_start_time is missing"),
    ],
)
def test_wrong_shape(changes: dict[str, Any], because: str) -> None:
    with pytest.raises(MalformedNotification) as caught:
        statistics.entry_to_events(entry(1, 1775820533, 19, 0) | changes)
    assert because in str(caught.value)


def test_a_kept_entry() -> None:
    text = compact(ANSWERED)
    found = statistics.identify(statistics.CALLS, text)
    assert (found.entry_id, found.name) == ("MjY0NTgxMDAwMDE=", "stats/calls")
    assert found.dedup_key == statistics.identify(statistics.CALLS, json.dumps(ANSWERED, indent=1)).dedup_key
    assert statistics.parse(statistics.CALLS, text) == statistics.entry_to_events(ANSWERED)
    with pytest.raises(MalformedNotification, match="no kind of statistics"):
        statistics.parse("stats/other", text)


# The older pair.

LIVE = ("records", "start", "finish", "answer", "from_extension", "from_number", "to_extension", "to_number")
LIVE += ("disconnect_reason", "line_number", "location", "entry_id")
BUSY = "[];1778150907;1778150929;0;202;sip:user4@example;;79160000009;1121;74950000001;abonent;MjY2OTQwODU4NjA="
IN_MENU = "[];1529134343;1529134374;0;;78120000002;;74950000003;1170;74950000003;ivr;NDExMzAwMjE3OQ=="


def rows(*lines: str) -> list[dict[str, str]]:
    [found] = statistics.csv_to_entries("\r\n".join([*lines, ""]), LIVE).values()
    return found


def test_rows_as_seen_live() -> None:
    entries = statistics.csv_to_entries(f"{BUSY}\r\n{IN_MENU}\r\n\r\n", LIVE)
    busy, lost = (told(statistics.rows_to_events(found)) for found in entries.values())
    assert (busy.direction, busy.raw_client, busy.end_reason, busy.talk_at) == ("out", "79160000009", 1121, None)
    assert [ring.employee.extension for ring in busy.rings] == ["202"]
    assert (lost.direction, lost.raw_client, lost.end_reason, lost.rings) == ("in", "78120000002", 1170, ())
    assert lost.line == "74950000003"


def test_rows_of_an_answered_call() -> None:
    lines = [
        "[];1776060000;1776060007;0;;79160000001;;74950000001;1100;74950000001;ivr;E",
        "[r1,r2];1776060008;1776060098;1776060014;;79160000001;101;sip:101@x;1110;74950000001;abonent;E",
        "[r1];1776060008;1776060014;0;;79160000001;102;sip:102@x;1183;74950000001;abonent;E",
    ]
    found = told(statistics.rows_to_events(rows(*lines)))
    assert (found.direction, found.raw_client, talkers(found)) == ("in", "79160000001", ["101"])
    assert (found.talk_at, found.talk_seconds, found.end_reason) == (1776060014, 84, 1110)
    assert [(facts.id, facts.extension) for facts in found.recordings] == [("r1", "101"), ("r2", "101")]
    assert told(statistics.rows_to_events(rows(*reversed(lines)))) == found


def test_rows_of_an_internal_call() -> None:
    line = "[];1776061300;1776061340;1776061306;101;sip:101@x;102;sip:102@x;1120;;abonent;E"
    assert told(statistics.rows_to_events(rows(line))).direction == "internal"


def test_rows_of_a_callback() -> None:
    lines = [
        "[];1776060800;1776060805;1776060804;;79160000001;101;sip:101@x;1000;;abonent;E",
        "[r];1776060805;1776060900;1776060818;101;sip:101@x;;79160000001;1120;74950000001;abonent;E",
    ]
    found = told(statistics.rows_to_events(rows(*lines)))
    assert (found.direction, found.raw_client, talkers(found)) == ("out", "79160000001", ["101"])
    assert (found.talk_at, found.talk_seconds, found.line) == (1776060818, 82, "74950000001")
    not_taken = "[];1776060800;1776060830;0;;79160000001;101;sip:101@x;1111;;abonent;E"
    alone = told(statistics.rows_to_events(rows(not_taken)))
    assert (alone.direction, alone.raw_client, alone.talks) == ("out", "79160000001", ())


def test_kept_rows() -> None:
    text = compact({"entry_id": "NDExMzAwMjE3OQ==", "rows": rows(IN_MENU)})
    assert statistics.identify(statistics.LEGS, text).entry_id == "NDExMzAwMjE3OQ=="
    assert statistics.parse(statistics.LEGS, text) == statistics.rows_to_events(rows(IN_MENU))


@pytest.mark.parametrize(
    ("text", "because"),
    [
        ("a;b", "row 1 has 2 columns"),
        (f"{BUSY}\n{BUSY};", "row 2 has 13"),
        (BUSY.rpartition(";")[0] + ";", "no entry_id"),
    ],
)
def test_wrong_csv(text: str, because: str) -> None:
    with pytest.raises(MalformedNotification) as caught:
        statistics.csv_to_entries(text, LIVE)
    assert because in str(caught.value)


@pytest.mark.parametrize(
    ("content", "because"),
    [
        ([], "rows is missing"),
        ([{"entry_id": "1", "finish": "5"}], "rows.start is missing"),
        ([{"entry_id": "1", "start": "5"}], "rows.finish is missing"),
        ([{"entry_id": "1", "start": "5", "finish": "6"}, {"entry_id": "2", "start": "5", "finish": "6"}], "several"),
        ([{"entry_id": "1", "start": "soon", "finish": "6"}], "start is not"),
    ],
)
def test_wrong_rows(content: list[dict[str, str]], because: str) -> None:
    with pytest.raises(MalformedNotification) as caught:
        statistics.rows_to_events(content)
    assert because in str(caught.value)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*ANSWERED, "members"]), inner, max_size=4)
    ),
    max_leaves=8,
)


@settings(max_examples=200)
@given(
    st.dictionaries(st.sampled_from([*ANSWERED]), VALUES),
    st.lists(
        st.dictionaries(st.sampled_from([*person("1", 1, 1, 1), "members", "external_call_id"]), VALUES), max_size=3
    ),
)
def test_any_entry(content: dict[str, Any], legs: list[dict[str, Any]]) -> None:
    for candidate in (content, ANSWERED | content, ANSWERED | {"context_calls": legs}):
        with contextlib.suppress(MalformedNotification):
            assert statistics.entry_to_events(candidate) is not None


@given(st.text(alphabet="0123456789;[],\r\nabE=", max_size=200))
def test_any_csv(text: str) -> None:
    with contextlib.suppress(MalformedNotification):
        for found in statistics.csv_to_entries(text, LIVE[-2:]).values():
            statistics.rows_to_events(found)
