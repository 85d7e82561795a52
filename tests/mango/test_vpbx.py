"""The signed dialect: signatures over the raw text, identity, and every oddity that live traffic of Mango was seen
with.
"""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bx24app.domain.calls.events import (
    NOBODY,
    CallEnded,
    CommandResult,
    LegAnswered,
    LegEnded,
    LegOnHold,
    LegRinging,
    Party,
    RecordingEvent,
)
from bx24app.mango import vpbx
from bx24app.mango.vpbx import ForgedNotification, MalformedNotification
from tests.support.sequences import SEQUENCES, compact, sequence

KEY, SALT = "0123456789abcdefghijklmnopqrstuv", "vutsrqponmlkjihgfedcba9876543210"
LEG: dict[str, Any] = {
    "entry_id": "MjY0NTgxMDAwMDE=",
    "call_id": "MToxMDAwMDAwMTo1MDY6NTIyOTA1MDAz",
    "timestamp": 1776060008,
    "seq": 1,
    "call_state": "Appeared",
    "location": "abonent",
    "from": {"number": "79160000001", "taken_from_call_id": "ivr-leg", "line_number": "74950000001"},
    "to": {"extension": "101", "number": "sip:user101@vpbx400000001.mangosip.ru", "acd_group": "300"},
    "dct": {"type": 0},
}


def leg(**changes: Any) -> Any:
    """The one event of the standard leg with some fields changed; None removes a field."""
    content = {name: value for name, value in (LEG | changes).items() if value is not None}
    [event] = vpbx.parse("events/call", compact(content))
    return event


# Signatures: vectors published by other integrators and re-computed ones.


@pytest.mark.parametrize(
    ("key", "salt", "text", "signature"),
    [
        (
            "<YOUR_API_KEY>",
            "<YOUR_API_SALT>",
            '{"key":"<REQUEST_KEY>"}',
            "515069b8c079df62f408e36dd7933912b8e86d833c5927ee77eb4b68d766c4f5",
        ),
        (
            "<YOUR_API_KEY>",
            "<YOUR_API_SALT>",
            '{"command_id":"your-command-id","call_id":"<CALL_ID>"}',
            "2d1d01246f52cec1fdb44f2a4d7091dc54f67e318369c0628201d66b5d336ef0",
        ),
        (KEY, SALT, "{}", "b8adab0f40447902490613a260b510c00769c4bdc7d40e28862edeec87fa8a3e"),
        (
            KEY,
            SALT,
            '{"recording_id":"MToxMDAwMDAwMToyNjQ1ODEwMDAwMTow","action":"download"}',
            "dcebe1976ef1544afda1fdb2ba7bad56084ebb94a2514ef6ba5b5d23bcbcd43f",
        ),
        (
            KEY,
            SALT,
            compact(sequence("S1")[0]["json"]),
            "1965d0b7afb014b29d0e2002723db9183ac8f810e0b4e383334d83116a7156b0",
        ),
    ],
)
def test_signature_vectors(key: str, salt: str, text: str, signature: str) -> None:
    assert vpbx.sign_text(key, salt, text) == signature
    vpbx.verify_signature(key, salt, key, signature, text)
    vpbx.verify_signature(key, salt, key, signature.upper(), text)


@pytest.mark.parametrize(
    ("key", "salt", "form_key", "form_sign", "text", "because"),
    [
        (KEY, SALT, "another", None, "{}", "key is not"),
        (KEY, SALT, None, None, "{}", "key is not"),
        (KEY, SALT, "ключ", "подпись", "{}", "key is not"),
        (KEY, SALT, KEY, None, "{}", "signature does not fit"),
        (KEY, SALT, KEY, "подпись", "{}", "signature does not fit"),
        (KEY, SALT, KEY, vpbx.sign_text(KEY, SALT, "{}"), "{ }", "signature does not fit"),
        (KEY, "another salt", KEY, vpbx.sign_text(KEY, SALT, "{}"), "{}", "signature does not fit"),
        # A PBX of the short dialect alone has no key: an empty one must not open it.
        ("", "", "", vpbx.sign_text("", "", "{}"), "{}", "no key"),
        (None, None, None, None, "{}", "no key"),
    ],
)
def test_forged(
    key: str | None, salt: str | None, form_key: str | None, form_sign: str | None, text: str, because: str
) -> None:
    with pytest.raises(ForgedNotification, match=because):
        vpbx.verify_signature(key, salt, form_key, form_sign, text)


def test_the_raw_text_is_signed_not_its_meaning() -> None:
    written_by_php = r'{"entry_id":"a\/b","name":"\u0410"}'
    vpbx.verify_signature(KEY, SALT, KEY, vpbx.sign_text(KEY, SALT, written_by_php), written_by_php)
    with pytest.raises(ForgedNotification):
        vpbx.verify_signature(
            KEY, SALT, KEY, vpbx.sign_text(KEY, SALT, written_by_php), compact(json.loads(written_by_php))
        )


# Identity.


def test_identity_is_the_same_in_any_spelling() -> None:
    plain = vpbx.identify("events/call", compact(LEG))
    spelt = [
        json.dumps(LEG, indent=2),
        json.dumps(dict(reversed(LEG.items()))),
        compact(LEG).replace("/", r"\/").replace("sip", r"\u0073ip"),
        compact(LEG | {"seq": "1", "timestamp": "1776060008"}),
        compact(LEG | {"disconnect_reason": None, "transfer": ""}),
    ]
    for text in spelt:
        assert vpbx.identify("events/call", text) == plain
    assert (plain.name, plain.entry_id, plain.command_id) == ("events/call", "MjY0NTgxMDAwMDE=", None)


@pytest.mark.parametrize(
    "change",
    [{"call_state": "Connected"}, {"seq": 2}, {"call_id": "other"}, {"from": {"number": "79160000002"}}],
)
def test_another_content_is_another_notification(change: dict[str, Any]) -> None:
    one, other = (vpbx.identify("events/call", compact(content)).dedup_key for content in (LEG, LEG | change))
    assert one != other


def test_the_name_is_part_of_the_identity() -> None:
    text = compact({"entry_id": "1", "recording_id": "2", "recording_state": "Started", "timestamp": 5})
    names = ("events/recording", "events/record/added")
    assert len({vpbx.identify(name, text).dedup_key for name in names}) == 2


def test_results_are_joined_by_command() -> None:
    found = vpbx.identify("result/callback", '{"command_id":"bx24-1","result":1000}')
    assert (found.entry_id, found.command_id) == (None, "bx24-1")
    assert vpbx.identify("events/call", compact(LEG | {"command_id": "bx24-1"})).command_id == "bx24-1"


@pytest.mark.parametrize(
    ("name", "text", "because"),
    [
        ("events/call", "", "not JSON"),
        ("events/call", "[]", "a list"),
        ("events/call", "null", "null"),
        ("events/call", "NaN", "not JSON"),
        ("events/call", "[" * 100_000, "nested"),
        ("events/call", "{}", "entry_id is missing"),
        ("events/call", '{"entry_id":""}', "entry_id is missing"),
        ("events/call", '{"entry_id":null}', "entry_id is missing"),
        ("events/call", '{"entry_id":{"a":1}}', "entry_id"),
        ("events/call", '{"entry_id":"\\u0000"}', "entry_id"),
        ("events/call", '{"entry_id":"\\ud800"}', "entry_id"),
        ("events/call", compact({"entry_id": "x" * 600}), "entry_id is longer"),
        ("result/callback", "{}", "command_id is missing"),
    ],
)
def test_no_identity(name: str, text: str, because: str) -> None:
    with pytest.raises(MalformedNotification) as caught:
        vpbx.identify(name, text)
    assert because in str(caught.value)


@pytest.mark.parametrize("depth", [10, 300, 600, 900, 990, 1500])
def test_nesting_never_fells_the_receiver(depth: int) -> None:
    survives("events/call", '{"entry_id":"1","x":' + "[" * depth + "]" * depth + "}")


def test_names() -> None:
    assert not vpbx.STORED_NAMES & vpbx.IGNORED_NAMES
    assert all(vpbx.is_stored(step["path"]) for steps in SEQUENCES.values() for step in steps)
    for name in (*vpbx.IGNORED_NAMES, "events/ab/contacts", "events/new/in/2030", "result/new", ""):
        assert not vpbx.is_stored(name)
        assert vpbx.parse(name, "not even JSON") == []


# Legs.


def test_a_leg_in_full() -> None:
    event = leg()
    assert event == LegRinging(
        at=1776060008,
        leg="MToxMDAwMDAwMTo1MDY6NTIyOTA1MDAz",
        seq=1,
        leg_kind="person",
        caller=Party(None, "79160000001"),
        callee=Party("101", "sip:user101@vpbx400000001.mangosip.ru"),
        line="74950000001",
        group="300",
        taken_from="ivr-leg",
    )


@pytest.mark.parametrize(
    ("state", "kind"),
    [
        ("Appeared", LegRinging),
        ("Connected", LegAnswered),
        ("OnHold", LegOnHold),
        ("Disconnected", LegEnded),
        ("ONHOLD", LegOnHold),
    ],
)
def test_states(state: str, kind: type) -> None:
    assert type(leg(call_state=state)) is kind


def test_types_as_the_documents_print_them() -> None:
    told = leg(
        call_state="Disconnected",
        timestamp="1776060008",
        seq="3",
        disconnect_reason="1110",
        to={"extension": 101, "number": 74950000001, "acd_group": "", "line_number": "sip:line@vpbx.mangosip.ru"},
        **{"from": {"number": "", "extension": ""}},
    )
    assert (told.at, told.seq, told.reason) == (1776060008, 3, 1110)
    assert told.callee == Party("101", "74950000001")
    assert (told.caller, told.group, told.line) == (NOBODY, None, "sip:line@vpbx.mangosip.ru")


@pytest.mark.parametrize("empty", [[], {}, None, ""])
def test_an_absent_side_is_nobody(empty: Any) -> None:
    content = LEG | {"from": empty, "to": empty}
    [event] = vpbx.parse("events/call", compact(content))
    assert isinstance(event, LegRinging)
    assert (event.caller, event.callee, event.line) == (NOBODY, NOBODY, None)


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"location": "ivr"}, "ivr"),
        ({"location": "ivr.3"}, "ivr"),
        ({"location": "queue"}, "queue"),
        ({"location": None, "locaton": "queue"}, "queue"),
        ({"location": None}, "person"),
        ({"location": None, "to": {"number": "74950000001"}}, "ivr"),
        ({"location": None, "to": {"number": "300", "acd_group": "300"}}, "queue"),
        ({"location": None, "to": {"number": "79160000009"}}, "person"),
    ],
)
def test_places(changes: dict[str, Any], place: str) -> None:
    assert leg(**changes).leg_kind == place


def test_the_line_of_a_voice_menu_is_its_number() -> None:
    told = leg(location="ivr", to={"number": "74950000002"}, **{"from": {"number": "79160000001"}})
    assert told.line == "74950000002"


@pytest.mark.parametrize("spelling", ["was_transferred", "was_transfered"])
@pytest.mark.parametrize("side", ["from", "to"])
@pytest.mark.parametrize(("value", "moved"), [(True, True), ("1", True), ("true", True), (1, True), (False, False)])
def test_was_transferred(spelling: str, side: str, value: Any, moved: bool) -> None:
    told = leg(call_state="Disconnected", **{side: {"number": "79160000001", spelling: value}})
    assert told.was_transferred is moved


@pytest.mark.parametrize(
    ("raw", "known"),
    [("blind", "blind"), ("Consultative", "consultative"), ("return_blind", "return_blind"), ("new", None), ("", None)],
)
def test_transfer(raw: str, known: str | None) -> None:
    assert leg(transfer=raw).transfer == known


def test_version_1_has_no_transfer_fields() -> None:
    told = leg(call_state="Disconnected", disconnect_reason=1120)
    assert (told.transfer, told.was_transferred) == (None, False)


@pytest.mark.parametrize(
    ("said", "latin"),
    [("СС", "CC"), ("MissGroupСallCallback", "MissGroupCallCallback"), ("API", "API"), ("ObDial", "ObDial")],
)
def test_callback_initiator_is_latin(said: str, latin: str) -> None:
    assert leg(callback_initiator=said).callback_initiator == latin


def test_a_task_makes_a_callback() -> None:
    assert leg(task_id=77).callback_initiator == "ObDial"


def test_missing_counter_and_time() -> None:
    [early] = vpbx.parse(
        "events/call", compact({"entry_id": "1", "call_id": "2", "call_state": "Appeared"}), 1776060100
    )
    [late] = vpbx.parse(
        "events/call", compact({"entry_id": "1", "call_id": "2", "call_state": "Disconnected"}), 1776060100
    )
    assert isinstance(early, LegRinging)
    assert isinstance(late, LegEnded)
    assert early.at == late.at == 1776060100
    assert early.seq < late.seq


def test_milliseconds_are_cut() -> None:
    assert leg(timestamp=1776060008123).at == 1776060008


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"call_id": None}, "call_id is missing"),
        ({"call_state": None}, "call_state is missing"),
        ({"call_state": "Dreaming"}, "call_state is 'Dreaming'"),
        ({"timestamp": "soon"}, "timestamp is not"),
        ({"timestamp": -1}, "timestamp is not"),
        ({"timestamp": 10**30}, "timestamp is not"),
        ({"timestamp": None}, "no time"),
        ({"seq": 1.5}, "seq is not"),
        ({"seq": True}, "seq is not"),
        ({"to": "101"}, "to "),
        ({"to": {"extension": ["101"]}}, "to.extension is a list"),
        ({"from": {"number": {"a": 1}}}, "from.number is an object"),
    ],
)
def test_wrong_shape_names_the_field(changes: dict[str, Any], path: str) -> None:
    with pytest.raises(MalformedNotification) as caught:
        leg(**changes)
    assert path in str(caught.value)


# Everything else.


def test_summary() -> None:
    [told] = vpbx.parse("events/summary", compact(sequence("S1")[-2]["json"]))
    assert told == CallEnded(
        at=1776060098,
        direction="in",
        caller=Party(None, "79160000001"),
        callee=Party("101", "sip:user101@vpbx400000001.mangosip.ru"),
        line="74950000001",
        started_at=1776060000,
        forwarded_at=1776060007,
        talk_at=1776060014,
        ended_at=1776060098,
        reason=1110,
    )


def test_summary_of_a_call_lost_in_the_voice_menu() -> None:
    [told] = vpbx.parse("events/summary", compact(sequence("S2b")[-1]["json"] | {"entry_result": 1}))
    assert isinstance(told, CallEnded)
    assert (told.callee, told.talk_at, told.forwarded_at, told.reason) == (NOBODY, None, None, 1170)


@pytest.mark.parametrize(
    ("said", "direction"),
    [
        ({"call_direction": "2"}, "out"),
        ({"call_direction": 0}, "internal"),
        ({"from": {"number": "7916"}}, "in"),
        ({"from": {"extension": "101"}}, "out"),
        ({"from": {"extension": "1"}, "to": {"extension": "2"}}, "internal"),
    ],
)
def test_direction(said: dict[str, Any], direction: str) -> None:
    [told] = vpbx.parse("events/summary", compact({"entry_id": "1", "end_time": 1776060098} | said))
    assert isinstance(told, CallEnded)
    assert told.direction == direction


def test_unknown_direction() -> None:
    with pytest.raises(MalformedNotification, match="call_direction is 7"):
        vpbx.parse("events/summary", '{"entry_id":"1","end_time":5,"call_direction":7}')


def test_recordings() -> None:
    told = [
        event
        for step in sequence("S4")
        if "record" in step["path"]
        for event in vpbx.parse(step["path"], compact(step["json"]))
    ]
    first = "MToxMDAwMDAwMToyNjQ1ODEwMDAwNTow"
    states = [event.state for event in told if isinstance(event, RecordingEvent) and event.recording_id == first]
    assert states == ["started", "continued", "completed", "added"]


@pytest.mark.parametrize(
    ("recipient", "in_cloud"), [("Cloud", True), ("CloudAndMail", True), ("Mail", False), (None, True)]
)
def test_recipient(recipient: str | None, in_cloud: bool) -> None:
    content = {"entry_id": "1", "recording_id": "r", "recording_state": "Completed", "timestamp": 5, "extension": ""}
    [told] = vpbx.parse("events/recording", compact(content | {"completion_code": "4002", "recipient": recipient}))
    assert isinstance(told, RecordingEvent)
    assert (told.code, told.is_in_cloud, told.extension) == (4002, in_cloud, None)


@pytest.mark.parametrize("result", [1000, "1000"])
def test_result(result: Any) -> None:
    told = vpbx.parse("result/call/hangup", compact({"command_id": "c", "result": result}), 1776060100)
    assert told == [CommandResult(at=1776060100, command_id="c", name="call/hangup", code=1000)]


def test_result_without_code() -> None:
    with pytest.raises(MalformedNotification, match="result is missing"):
        vpbx.parse("result/callback", '{"command_id":"c"}')


@pytest.mark.parametrize("title", SEQUENCES)
def test_every_sequence_parses(title: str) -> None:
    for step in SEQUENCES[title]:
        text = compact(step["json"])
        [event] = vpbx.parse(step["path"], text, step["at"])
        assert [event] == vpbx.parse(step["path"], text.replace("/", r"\/"), step["at"])
        found = vpbx.identify(step["path"], text)
        assert found.entry_id or found.command_id
        assert event.at == step["json"].get("timestamp", event.at)


# Nothing from outside raises anything but Malformed.

FIELDS = (*LEG, "locaton", "transfer", "callback_initiator", "task_id", "disconnect_reason", "command_id", "result")
FIELDS += ("recording_id", "recording_state", "call_direction", "create_time", "talk_time", "end_time", "recipient")
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["Appeared", "Started", "1"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text() | st.sampled_from(["number", "extension", "line_number"]), inner, max_size=4)
    ),
    max_leaves=8,
)
NAMES = st.sampled_from(sorted(vpbx.STORED_NAMES))


def survives(name: str, text: str) -> None:
    for read in (vpbx.identify, vpbx.parse):
        with contextlib.suppress(MalformedNotification):
            read(name, text)


@given(NAMES, st.text())
def test_any_text(name: str, text: str) -> None:
    survives(name, text)


@given(NAMES, VALUES)
def test_any_json(name: str, value: Any) -> None:
    survives(name, json.dumps(value))


@settings(max_examples=300)
@given(NAMES, st.dictionaries(st.sampled_from(FIELDS), VALUES))
def test_any_values_in_known_fields(name: str, content: dict[str, Any]) -> None:
    survives(name, json.dumps({"entry_id": "1", "call_id": "2", "command_id": "3", "recording_id": "4"} | content))
