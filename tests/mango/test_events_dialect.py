"""The short dialect: names, times and directions in any spelling, and what the fold reads from its events in any order.
"""

from __future__ import annotations

import contextlib
import itertools
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bx24app.domain import phone
from bx24app.domain.calls.entry import CallEntry
from bx24app.domain.calls.entry_assembly import assemble_entry
from bx24app.domain.calls.events import CallEnded, CallTransferred, Party, PbxEvent, RecordingEvent
from bx24app.mango import events_dialect
from bx24app.mango.notification import MalformedNotification

T = 1705308600
BODY: dict[str, Any] = {
    "uuid": "unique-call-id",
    "start_time": T,
    "finish_time": T + 185,
    "duration": 185,
    "from": {"number": "+74951234567"},
    "to": {"number": "101", "extension": "101"},
    "entry_id": "100200",
    "call_direction": "in",
    "call_state": "Answered",
}
CLIENT = {"number": "+79160000001"}


def body(**changes: Any) -> str:
    return json.dumps({name: value for name, value in (BODY | changes).items() if value is not None})


def start(**changes: Any) -> list[PbxEvent]:
    return events_dialect.parse(
        "call_start", body(**{"finish_time": "", "duration": None, "call_state": None} | changes)
    )


def answer(**changes: Any) -> list[PbxEvent]:
    return events_dialect.parse(
        "call_answer", body(**{"start_time": T + 20, "finish_time": "", "duration": None} | changes)
    )


def transfer(old: str | None, new: str, at: int, **changes: Any) -> list[PbxEvent]:
    sides = {"from": {"extension": old}, "to": {"extension": new}}
    return events_dialect.parse(
        "call_transfer", body(**{"start_time": at, "finish_time": None, "duration": None} | sides | changes)
    )


def end(**changes: Any) -> list[PbxEvent]:
    return events_dialect.parse("call_end", body(**{"finish_time": T + 205} | changes))


def employee(party: Party) -> Party | None:
    """The mapping of these tests: whoever has an extension."""
    return Party(party.extension) if party.extension else None


def told(*groups: list[PbxEvent]) -> CallEntry:
    """The entry, checked to be the same for every order of the notifications and for repeats."""
    entry = assemble_entry(itertools.chain(*groups), employee)
    assert entry is not None
    for order in itertools.permutations(groups):
        assert assemble_entry(itertools.chain(*order, *order), employee) == entry
    return entry


def talkers(entry: CallEntry) -> list[str | None]:
    return [talk.employee.extension for talk in entry.talks]


# Names.


@pytest.mark.parametrize(
    ("tail", "content", "query", "name"),
    [
        ("call_end", "{}", {}, "call_end"),
        ("/events/call_end/", "not json", {}, "call_end"),
        ("events/Call-End", "{}", {"event": "call_start"}, "call_end"),
        ("", '{"event": "call_record"}', {"event": "call_start"}, "call_record"),
        ("events", '{"event": "call_answer"}', {}, "call_answer"),
        ("", "not json", {"event": "call_start"}, "call_start"),
        ("", '{"event": ["call_end"]}', {}, None),
        ("events/call", "{}", {}, None),
        ("call_mood", '{"event": "call_mood"}', {"event": "x"}, None),
    ],
)
def test_name(tail: str, content: str, query: dict[str, str], name: str | None) -> None:
    assert events_dialect.find_name(tail, content, query) == name


# Identity.


def test_identity() -> None:
    found = events_dialect.identify("call_end", body())
    assert (found.name, found.entry_id, found.alias) == ("call_end", "100200", "unique-call-id")
    alone = events_dialect.identify("call_end", body(entry_id=None))
    assert (alone.entry_id, alone.alias) == ("unique-call-id", None)
    assert found.dedup_key == events_dialect.identify("call_end", body(duration="185")).dedup_key
    keys = {events_dialect.identify(name, body()).dedup_key for name in events_dialect.STORED_NAMES}
    assert len(keys) == 5
    assert found.dedup_key != events_dialect.identify("call_end", body(uuid="other")).dedup_key


@pytest.mark.parametrize(
    ("changes", "because"),
    [
        ({"uuid": None}, "uuid is missing"),
        ({"uuid": ""}, "uuid is missing"),
        ({"start_time": "yesterday"}, "start_time is not a time"),
        ({"start_time": [1]}, "start_time is not"),
        ({"duration": "long"}, "duration is not"),
        ({"call_direction": "sideways"}, "direction"),
        ({"from": 1.5}, "from"),
        ({"to": {"extension": {}}}, "to.extension is an object"),
        ({"record_url": "ftp://x/y"}, "record_url is not a link"),
        ({"record_url": "http://["}, "record_url"),
        ({"record_url": "https://x/" + "y" * 5000}, "record_url is not a link"),
    ],
)
def test_wrong_shape_names_the_field(changes: dict[str, Any], because: str) -> None:
    for read in (events_dialect.identify, events_dialect.parse):
        with pytest.raises(MalformedNotification) as caught:
            read("call_record", body(**changes))
        assert because in str(caught.value)


# Times and directions.


@pytest.mark.parametrize(
    "spelling",
    [
        T,
        str(T),
        f"{T}.75",
        T * 1000,
        "2024-01-15T08:50:00Z",
        "2024-01-15T08:50:00+00:00",
        "2024-01-15T13:50:00+05:00",
        "2024-01-15 11:50:00",  # zone-less: Moscow
        "2024-01-15T11:50:00",
        "15.01.2024 11:50:00",
        "15.01.2024 11:50",
    ],
)
def test_times(spelling: Any) -> None:
    [event] = start(start_time=spelling)
    assert event.at == T


@pytest.mark.parametrize(
    ("spelling", "direction"),
    [
        *((said, "in") for said in ("in", "Incoming", "INBOUND", 1, "1")),
        *((said, "out") for said in ("out", "outgoing", 2)),
        *((said, "internal") for said in ("internal", 0, "3")),
    ],
)
def test_directions(spelling: Any, direction: str) -> None:
    [ended] = [event for event in end(call_direction=spelling) if isinstance(event, CallEnded)]
    assert ended.direction == direction


@pytest.mark.parametrize(
    ("sides", "direction"),
    [
        ({"from": CLIENT}, "in"),
        ({"from": {"extension": "101"}, "to": CLIENT}, "out"),
        ({"from": {"number": "101"}, "to": CLIENT}, "out"),
        ({"from": {"extension": "101"}, "to": {"extension": "102"}}, "internal"),
    ],
)
def test_a_direction_that_is_not_said(sides: dict[str, Any], direction: str) -> None:
    [ended] = [event for event in end(call_direction=None, **sides) if isinstance(event, CallEnded)]
    assert ended.direction == direction


# Calls.


def test_the_printed_example_alone() -> None:
    entry = told(events_dialect.parse("call_end", body()))
    assert (entry.direction, entry.raw_client, entry.line) == ("in", "+74951234567", None)
    assert (entry.talk_at, entry.ended_at, entry.talk_seconds, talkers(entry)) == (T, T + 185, 185, ["101"])
    assert entry.all_legs_ended


def test_incoming_answered() -> None:
    entry = told(start(), answer(), end())
    assert (entry.started_at, entry.talk_at, entry.ended_at, entry.talk_seconds) == (T, T + 20, T + 205, 185)
    assert talkers(entry) == ["101"]
    assert entry.talks[0].end == T + 205
    assert entry.all_legs_ended


def test_while_it_rings_and_while_it_talks() -> None:
    ringing = told(start(), start(to={"extension": "102"}))
    assert [(ring.employee.extension, ring.is_active) for ring in ringing.rings] == [("101", True), ("102", True)]
    talking = told(start(), start(to={"extension": "102"}), answer(to={"extension": "102"}))
    assert [talk.end for talk in talking.talks] == [None]
    assert talkers(talking) == ["102"]
    assert not any(ring.is_active for ring in talking.rings)
    assert not talking.all_legs_ended


def test_the_end_closes_whoever_rang() -> None:
    entry = told(start(), start(to={"extension": "102"}), answer(to={"extension": "102"}), end(to={"extension": "102"}))
    assert entry.all_legs_ended
    assert talkers(entry) == ["102"]


@pytest.mark.parametrize(
    "to", [{"number": "+74951234567", "extension": "0"}, {"extension": 0}, {}, None, {"number": "7495"}]
)
@pytest.mark.parametrize("said", [{"call_state": "Missed", "duration": 0}, {"call_state": "Answered"}, {}])
def test_missed(to: Any, said: dict[str, Any]) -> None:
    entry = told(start(), start(to={"extension": "102"}), end(to=to, **said))
    assert (entry.talk_at, entry.talk_seconds, entry.talks, entry.all_legs_ended) == (None, 0, (), True)
    assert entry.end_reason == 1111
    assert [ring.employee.extension for ring in entry.rings] == ["101", "102"]


def test_missed_with_the_extension_that_was_tried() -> None:
    entry = told(start(), end(call_state="NoAnswer", duration=0))
    assert (entry.talk_at, entry.end_reason) == (None, 1111)


def test_a_call_without_an_extension_reaches_nobody() -> None:
    entry = told(start(to={"number": "+74951234567"}))
    assert (entry.rings, entry.talks, entry.direction, entry.raw_client) == ((), (), "in", "+74951234567")


def test_a_lost_answer_is_told_by_the_end() -> None:
    entry = told(start(), end())
    assert talkers(entry) == ["101"]
    assert entry.talks[0].start == T + 20


def test_a_line() -> None:
    assert told(start(line_number="74950000001")).line == "74950000001"


def test_an_anonymous_caller() -> None:
    entry = told(start(**{"from": None}), answer(**{"from": {}}), end(**{"from": {"number": ""}}))
    assert entry.raw_client is None
    assert entry.direction == "in"
    assert talkers(entry) == ["101"]


OUT = {"call_direction": "out", "from": {"extension": "101", "number": "101"}, "to": CLIENT}


def test_outgoing_answered() -> None:
    entry = told(start(**OUT), answer(**OUT), end(**OUT))
    assert (entry.direction, entry.raw_client, entry.talk_seconds) == ("out", "+79160000001", 185)
    assert talkers(entry) == ["101"]
    ringing = told(start(**OUT))
    assert (ringing.direction, [ring.employee.extension for ring in ringing.rings]) == ("out", ["101"])


@pytest.mark.parametrize(
    ("state", "reason"),
    [("Busy", 1121), ("No Answer", 1111), ("rejected", 1122), ("CANCELLED", 1110), ("Failed", 0), ("Answered", 0)],
)
def test_outgoing_not_answered(state: str, reason: int) -> None:
    entry = told(start(**OUT), end(**OUT | {"call_state": state, "duration": 0}))
    assert (entry.talk_at, entry.end_reason, entry.talks) == (None, reason, ())
    assert entry.all_legs_ended


def test_outgoing_with_the_employee_beside_the_client() -> None:
    sides = {"call_direction": "out", "from": {"number": "+74950000001"}, "to": CLIENT | {"extension": "101"}}
    entry = told(start(**sides), end(**sides))
    assert (entry.direction, entry.raw_client, talkers(entry)) == ("out", "+79160000001", ["101"])


def test_outgoing_of_nobody_known() -> None:
    sides = {"call_direction": "out", "from": {"number": "+74950000001"}, "to": CLIENT}
    assert told(start(**sides)).rings == ()
    entry = told(start(**sides), end(**sides))
    assert (entry.direction, entry.raw_client, entry.talk_seconds, entry.talks) == ("out", "+79160000001", 185, ())


def test_internal() -> None:
    sides = {"call_direction": "internal", "from": {"extension": "101"}, "to": {"extension": "102"}}
    assert told(start(**sides)).direction == "internal"
    entry = told(start(**sides), answer(**sides), end(**sides))
    assert (entry.direction, entry.raw_client, entry.talk_seconds) == ("internal", None, 185)


@pytest.mark.parametrize("named", ["101", "102"])
@pytest.mark.parametrize("answered", [True, False])
def test_transfer(named: str, answered: bool) -> None:
    groups = [start(), transfer("101", "102", T + 60), end(to={"extension": named})]
    entry = told(*groups, *([answer()] if answered else []))
    assert list(dict.fromkeys(talkers(entry))) == ["101", "102"]
    assert entry.talks[-1].start == T + 60
    assert entry.all_legs_ended
    assert entry.raw_client == "+74951234567"
    assert list(entry.transfers) == [CallTransferred(T + 60, "101", "102")]


def test_the_card_follows_a_transfer_at_once() -> None:
    entry = told(start(), answer(), transfer("101", "102", T + 60))
    assert [talk.employee.extension for talk in entry.talks if talk.end is None] == ["102"]


def test_transfer_there_and_back() -> None:
    entry = told(start(), answer(), transfer("101", "102", T + 60), transfer("102", "101", T + 90), end())
    assert talkers(entry) == ["101", "102", "101"]


def test_transfer_of_which_only_the_call_s_start_is_told() -> None:
    entry = told(start(), answer(start_time=T), transfer("101", "102", T), end(to={"extension": "102"}))
    assert talkers(entry)[-1] == "102"


def test_transfer_of_an_outgoing_call() -> None:
    moved = transfer("101", "102", T + 60, call_direction="out")
    entry = told(start(**OUT), answer(**OUT), moved, end(**OUT))
    assert (list(dict.fromkeys(talkers(entry))), entry.raw_client) == (["101", "102"], "+79160000001")


def test_transfer_to_nobody() -> None:
    with pytest.raises(MalformedNotification, match=r"to\.extension is missing"):
        transfer("101", "0", T + 60)


# Recordings.


@pytest.mark.parametrize("field", ["record_url", "url", "link"])
def test_recording(field: str) -> None:
    [found] = events_dialect.parse("call_record", body(**{field: "https://files.example.ru/1.mp3?token=abc"}), T + 400)
    assert isinstance(found, RecordingEvent)
    assert (found.state, found.url, found.at, found.extension) == (
        "added",
        "https://files.example.ru/1.mp3?token=abc",
        T + 400,
        "101",
    )
    assert "token" not in repr(found)
    [again] = events_dialect.parse("call_record", body(**{field: "https://files.example.ru/1.mp3?token=abc"}), T + 900)
    assert isinstance(again, RecordingEvent)
    assert again.recording_id == found.recording_id


def test_recording_with_an_id() -> None:
    [found] = events_dialect.parse("call_record", body(recording_id="rec-7", record_url="https://x.ru/1"))
    assert isinstance(found, RecordingEvent)
    assert found.recording_id == "rec-7"
    assert found.at == T + 185


def test_recording_of_nothing() -> None:
    with pytest.raises(MalformedNotification, match="record_url is missing"):
        events_dialect.parse("call_record", body())


# Odd ends.


def test_times_that_are_missing() -> None:
    [ended] = [e for e in events_dialect.parse("call_end", body(finish_time=None)) if isinstance(e, CallEnded)]
    assert (ended.ended_at, ended.talk_at) == (T + 185, T)
    bare = body(start_time=None, finish_time=None)
    with pytest.raises(MalformedNotification, match="start_time is missing"):
        events_dialect.parse("call_start", bare)
    [event] = events_dialect.parse("call_start", bare, T)
    assert event.at == T


def test_a_talk_that_began_before_its_call_is_believed() -> None:
    [ended] = [e for e in events_dialect.parse("call_end", body(duration=500)) if isinstance(e, CallEnded)]
    assert ended.started_at == ended.talk_at == T - 315


def test_no_duration() -> None:
    [ended] = [e for e in events_dialect.parse("call_end", body(duration=None)) if isinstance(e, CallEnded)]
    assert ended.talk_at == T


def test_the_client_reaches_the_portal_s_form() -> None:
    assert phone.normalise(told(end(**{"from": {"number": "8 (916) 000-00-01"}})).raw_client) == "+79160000001"


# Nothing from outside raises anything but Malformed.

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["in", "Answered", "101", T]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text() | st.sampled_from(["number", "extension"]), inner, max_size=4)
    ),
    max_leaves=8,
)
FIELDS = (*BODY, "event", "timestamp", "answer_time", "line_number", "record_url", "recording_id", "disconnect_reason")
NAMES = st.sampled_from(sorted(events_dialect.STORED_NAMES))


def survives(name: str, text: str) -> None:
    events_dialect.find_name("", text, {})
    for read in (events_dialect.identify, events_dialect.parse):
        with contextlib.suppress(MalformedNotification):
            read(name, text)


@given(NAMES, st.text())
def test_any_text(name: str, text: str) -> None:
    survives(name, text)


@settings(max_examples=300)
@given(NAMES, st.dictionaries(st.sampled_from(FIELDS), VALUES))
def test_any_values_in_known_fields(name: str, content: dict[str, Any]) -> None:
    survives(name, json.dumps({"uuid": "u"} | content))


@given(NAMES, st.text(alphabet="0123456789.-:TZ +", max_size=24))
def test_any_time(name: str, text: str) -> None:
    survives(name, json.dumps({"uuid": "u", "start_time": text, "finish_time": text}))
