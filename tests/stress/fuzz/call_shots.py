"""Strategies for what reaches a fold: calls of several names, numbers and texts beyond any column, clicks, answers of
the portal, entries of the statistics. Most of a thing is good, so that it gets far; one or two fields are not."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from hypothesis import strategies as st

from tests.conftest import KEY, SALT
from tests.stress.fuzz.target import Shot

FORM, JSON = "application/x-www-form-urlencoded", "application/json"
START = 1776060000
CALLS = 250
"""So few that each gets many notifications, under all of its names."""
_digits = random.Random(4)
LONG_DIGITS = "".join(_digits.choice("0123456789") for _ in range(3900))
LONG_LETTERS = "".join(_digits.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(3900))
EXTREMES: tuple[Any, ...] = (
    -1, 0, 2**31 - 1, 2**31, 3_000_000_000, "3000000000", -(2**31) - 1, 2**40, 2**62, 2**63, 9_999_999_998,
    "9999999998", 4_102_444_799, 4_102_444_801, 1776060000000, 86_400, 86_401, 1e300, 1.5, True, None, "", [], {},
    LONG_DIGITS, LONG_LETTERS, LONG_DIGITS[:33], LONG_DIGITS[:600], "\\u0000", "a\x00b", "\ud800", "é" * 700,
    "я" * 300, "0" * 40, "sip:101@pbx", "anonymous", [LONG_LETTERS], {"number": LONG_DIGITS},
)  # fmt: skip
extremes = st.sampled_from(EXTREMES)
SHORT_FIELDS = ("uuid", "entry_id", "start_time", "finish_time", "answer_time", "duration", "from", "to", "direction",
                "call_state", "line_number", "disconnect_reason", "recording_id", "record_url", "time")  # fmt: skip
LEG_FIELDS = ("entry_id", "call_id", "timestamp", "seq", "call_state", "location", "from", "to", "disconnect_reason",
              "command_id", "transfer", "call_direction", "create_time", "forward_time", "talk_time", "end_time",
              "line_number", "recording_id", "recording_state", "completion_code")  # fmt: skip


def _spoil(draw: Callable[[Any], Any], content: dict[str, Any], fields: tuple[str, ...]) -> dict[str, Any]:
    for name in draw(st.lists(st.sampled_from(fields), max_size=2)) if draw(st.booleans()) else ():
        content[name] = draw(extremes)
    return content


@st.composite
def short_notifications(draw: Callable[[Any], Any], hook: str) -> Shot:
    """The short dialect: up to three uuids of one entry, in any order, sometimes one of the next call."""
    number = draw(st.integers(0, CALLS))
    name = draw(st.sampled_from(("call_start", "call_answer", "call_end", "call_record", "call_transfer")))
    entry = number + draw(st.sampled_from((0,) * 9 + (1,)))
    content: dict[str, Any] = {
        "uuid": f"u{number}-{draw(st.integers(0, 2))}", "start_time": START + number, "direction": "in",
        "from": f"7916{number:07d}", "to": {"extension": draw(st.sampled_from(("101", "102", "0")))},
        "line_number": "74950000001",
    }  # fmt: skip
    if draw(st.booleans()):
        content["entry_id"] = f"s{entry}"
    if name == "call_end":
        content |= {"finish_time": START + number + 60, "duration": 50, "call_state": "Answered"}
    if name == "call_record":
        content["record_url"] = f"https://files.test/{number}.mp3"
    raw = json.dumps(_spoil(draw, content, SHORT_FIELDS))
    return Shot("POST", f"{hook}/{name}", "", raw.encode("utf-8", "surrogatepass"), JSON)


@st.composite
def signed_notifications(draw: Callable[[Any], Any], hook: str) -> Shot:
    """The signed dialect: legs, recordings and summaries of a call, with or without a command of ours."""
    number = draw(st.integers(0, CALLS))
    suffixes = ("events/call", "events/call", "events/summary", "events/recording", "result/callback")
    suffix = draw(st.sampled_from(suffixes))
    content: dict[str, Any] = {
        "entry_id": f"e{number}", "call_id": f"l{number}-{draw(st.integers(0, 2))}", "timestamp": START + number,
        "seq": draw(st.integers(1, 4)), "call_state": draw(st.sampled_from(("Appeared", "Connected", "Disconnected"))),
        "location": draw(st.sampled_from(("ivr", "queue", "abonent"))), "from": {"number": f"7916{number:07d}"},
        "to": {"extension": "101", "number": "74950000001", "line_number": "74950000001"}, "disconnect_reason": 1100,
        "call_direction": 1, "create_time": START + number, "forward_time": START + number,
        "talk_time": START + number + 5, "end_time": START + number + 50, "line_number": "74950000001",
        "recording_id": f"r{number}", "recording_state": "Completed", "completion_code": 1000, "result": 1000,
    }  # fmt: skip
    if draw(st.integers(0, 5)) == 0:
        content["command_id"] = draw(st.sampled_from(("bx24-1", f"bx24-{number}", "theirs")))
    raw = json.dumps(_spoil(draw, content, LEG_FIELDS))
    sign = hashlib.sha256(f"{KEY}{raw}{SALT}".encode()).hexdigest()
    body = urlencode({"vpbx_api_key": KEY, "sign": sign, "json": raw}).encode()
    return Shot("POST", f"{hook}/{suffix}", "", body, FORM)


CLICK_FIELDS = ("PHONE_NUMBER", "PHONE_NUMBER_INTERNATIONAL", "CALL_ID", "USER_ID", "LINE_NUMBER", "CRM_ENTITY_ID",
                "CRM_ENTITY_TYPE", "CRM_CREATED_ENTITIES", "IS_MOBILE")  # fmt: skip


@st.composite
def clicks(draw: Callable[[Any], Any], member_id: str, token: str) -> Shot:
    """A click or a form's callback that is genuine, with one or two fields that are not good."""
    number = draw(st.integers(0, CALLS))
    data: dict[str, Any] = {
        "CALL_ID": f"externalCall.{number}", "USER_ID": "1", "PHONE_NUMBER": f"+7917{number:07d}", "LINE_NUMBER": "",
        "CRM_ENTITY_TYPE": "LEAD", "CRM_ENTITY_ID": str(number + 1), "IS_MOBILE": "0",
    }  # fmt: skip
    for name in draw(st.lists(st.sampled_from(CLICK_FIELDS), max_size=2)):
        data[name] = draw(extremes)
    event = draw(st.sampled_from(("ONEXTERNALCALLSTART", "ONEXTERNALCALLBACKSTART")))
    pairs = [("event", event), ("auth[member_id]", member_id), ("auth[application_token]", token), ("ts", str(number))]
    pairs += [(f"data[{name}]", str(value)) for name, value in data.items()]
    return Shot("POST", "/bitrix24/events", "", urlencode(pairs, errors="surrogatepass").encode(), FORM)


_inner = st.recursive(
    st.one_of(extremes, st.integers(1, 99), st.sampled_from(("LEAD", "CONTACT", "7", "x"))),
    lambda part: st.one_of(
        st.lists(part, max_size=3),
        st.dictionaries(
            st.sampled_from(("CALL_ID", "CRM_CREATED_LEAD", "CRM_CREATED_ENTITIES", "ENTITY_TYPE", "ENTITY_ID",
                             "CRM_ENTITY_TYPE", "CRM_ENTITY_ID", "CRM_ACTIVITY_ID", "ERRORS", "ACTIVITY_CREATION",
                             "item", "items", "id", "ASSIGNED_BY_ID", "NAME", "ASSIGNED_BY", "STATUS")),
            part, max_size=4,
        ),
    ),
    max_leaves=8,
)  # fmt: skip


@st.composite
def portal_answers(draw: Callable[[Any], Any]) -> Any:
    """What a portal may answer to any command: something good with something odd inside."""
    if draw(st.booleans()):
        return draw(_inner)
    answer: dict[str, Any] = {"CALL_ID": f"c{draw(st.integers(0, 10**6))}", "CRM_ACTIVITY_ID": 5}
    answer[draw(st.sampled_from(("CALL_ID", "CRM_CREATED_LEAD", "CRM_ENTITY_ID", "CRM_ACTIVITY_ID")))] = draw(_inner)
    return answer


@st.composite
def statistics_entries(draw: Callable[[Any], Any]) -> dict[str, Any]:
    """An entry of the statistics, spoilt on the outside or in its leg."""
    number = draw(st.integers(0, CALLS))
    leg: dict[str, Any] = {
        "call_type": "user", "call_abonent_extension": "101", "call_start_time": START + number,
        "call_answer_time": START + number + 5, "call_end_time": START + number + 50, "external_call_id": f"l{number}",
        "recording_id": [f"r{number}"], "call_end_reason": 1100,
    }  # fmt: skip
    entry: dict[str, Any] = {
        "entry_id": f"e{number}", "context_type": 1, "context_status": 1, "caller_number": f"7916{number:07d}",
        "called_number": "74950000001", "context_start_time": START + number, "duration": 50, "talk_duration": 45,
    }  # fmt: skip
    leg = _spoil(draw, leg, tuple(leg))
    return _spoil(draw, entry | {"context_calls": [leg]}, (*entry, "context_calls"))
