"""A portal's answer is bounded in bytes, in pieces and in seconds, and so is what is taken from it."""

from __future__ import annotations

import json
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from bx24app.bitrix24 import answer_size, error_table
from bx24app.bitrix24.answer_numbers import read_number, read_positive
from bx24app.bitrix24.answer_size import COMMAND_BOUNDS, PAGE_BOUNDS
from bx24app.bitrix24.errors import AnswerLost, AnswerTooLarge, NotSent
from bx24app.bitrix24.method_load import PortalMethodLoad
from bx24app.bitrix24.request_deadline import limit_seconds, seconds_left, shorten_timeout
from bx24app.domain import json_pieces
from bx24app.mango.transport import MangoResponse
from tests.support.scripted_client import Rig, result, rig
from tests.support.scripted_server import ScriptedAnswer

HUGE = 10**400
"""A number that JSON can hold and no float."""


@pytest.fixture
def portal() -> Iterator[Rig]:
    with rig() as made:
        yield made


def lists(size: int) -> bytes:
    """An answer of about this many bytes that is nothing but empty lists."""
    return b'{"result":[' + b"[]," * (size // 3) + b"[]]}"


@pytest.mark.parametrize(
    ("method", "body"),
    [
        ("telephony.externalCall.finish", b" " * (COMMAND_BOUNDS.max_bytes + 1)),
        ("telephony.externalCall.finish", lists(COMMAND_BOUNDS.max_bytes // 2)),
        ("user.get", b" " * (PAGE_BOUNDS.max_bytes + 1)),
        ("user.get", lists(PAGE_BOUNDS.max_bytes // 2)),
        ("batch", lists(PAGE_BOUNDS.max_bytes // 2)),
    ],
)
def test_an_over_large_answer_is_a_clear_error_and_is_not_parsed(portal: Rig, method: str, body: bytes) -> None:
    portal.server.answer_with(ScriptedAnswer(200, body))
    tracemalloc.start()
    try:
        with pytest.raises(AnswerTooLarge, match="over-large: more than"):
            portal.client.batch([("a", "profile", {})]) if method == "batch" else portal.client.call(method)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 24 * 1024 * 1024, "parsed, it would take a multiple"
    assert len(portal.server.requests) == 1


def test_a_page_may_be_larger_than_the_answer_to_a_command(portal: Rig) -> None:
    rows = [{"ID": str(number), "COMMENTS": "x" * 40_000} for number in range(50)]
    portal.server.answer_with(result(rows))
    assert len(portal.client.call("crm.item.list").result) == 50
    with pytest.raises(AnswerTooLarge):
        portal.client.call("profile")


def test_an_answer_that_drips_is_cut_off(portal: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answer_size, "TOTAL_TIMEOUT", -1.0)
    portal.server.answer_with(result(True))
    with pytest.raises(AnswerLost, match="too long"):
        portal.client.call("user.get")


@pytest.mark.parametrize(
    "parse",
    [
        lambda content: answer_size.parse_bounded(content, PAGE_BOUNDS),
        lambda content: MangoResponse(200, {}, content).parse_json(),
    ],
    ids=["portal", "Mango"],
)
def test_large_answers_are_parsed_one_at_a_time(parse: Callable[[bytes], Any]) -> None:
    """Whoever answers: one lock for both."""
    large, small = b'{"result":"' + b"x" * json_pieces.LARGE_BYTES + b'"}', b'{"result":1}'
    parsed: list[object] = []
    with json_pieces._large_answers:
        other = threading.Thread(target=lambda: parsed.append(parse(large)))
        other.start()
        other.join(0.2)
        assert not parsed
        assert parse(small) == {"result": 1}, "a small one never waits"
    other.join(5)
    assert parsed


def test_only_the_keys_that_were_sent_are_taken(portal: Rig) -> None:
    maps = {"result": {"a": 1, "obody": 2}, "result_error": {"n0ux": {"error": "X"}}, "result_time": {"zz": {}}}
    portal.server.answer_with(result(maps))
    assert set(portal.client.batch([("a", "profile", {}), ("b", "profile", {})])) == {"a"}


@pytest.mark.parametrize("value", [HUGE, -1, "x", None, True, [], {}, 1.5, "1e9", 2**31, "٣", "9" * 5000])
def test_what_is_no_id_or_count_is_none(value: object) -> None:
    assert read_positive(value) is None


def test_numbers_beyond_every_float_are_none() -> None:
    assert read_number(HUGE) is None
    assert (read_positive("50"), read_positive(7)) == (50, 7)
    load = PortalMethodLoad()
    load.record_time("profile", {"operating": 470, "operating_reset_at": HUGE, "processing": HUGE}, time.time())
    refusal = {"error": "OPERATION_TIME_LIMIT", "operating_reset_at": HUGE}
    assert isinstance(error_table.classify_answer(200, refusal, "profile"), NotSent)


def test_pages_end_whatever_the_portal_says_about_the_next(portal: Rig) -> None:
    for odd in (HUGE, "soon", [], 0, -50):
        portal.server.answer_with(ScriptedAnswer(200, json.dumps({"result": [1], "next": odd}).encode()))
        assert list(portal.client.iter_rows("user.get")) == [1]


def test_no_request_leaves_after_the_deadline_of_its_thread(portal: Rig) -> None:
    portal.server.answer_with(ScriptedAnswer(hang=True))
    started = time.monotonic()
    with limit_seconds(0.4), limit_seconds(30):
        with pytest.raises(AnswerLost):
            portal.client.call("profile")
        while seconds_left(1.0) > 0:
            time.sleep(0.05)
        with pytest.raises(NotSent, match="used up"):
            portal.client.call("profile")
    assert time.monotonic() - started < 10
    assert len(portal.server.requests) == 1
    assert shorten_timeout((3.0, 65.0)) == (3.0, 65.0), "no deadline, nothing is cut"
