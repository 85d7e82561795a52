"""Batches and lists, and text from outside that never becomes a reference in one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl

import pytest

from bx24app.bitrix24 import batch_encoding
from bx24app.bitrix24.batch_encoding import BatchRef
from bx24app.bitrix24.budget import Priority
from bx24app.bitrix24.client import RestResult
from bx24app.bitrix24.errors import AnswerLost, NeedsAdmin, NotSent, Refused
from tests.support.scripted_client import Rig, result, rig
from tests.support.scripted_server import ReceivedRequest, ScriptedAnswer, json_answer, refused


@pytest.fixture
def portal() -> Iterator[Rig]:
    with rig() as made:
        yield made


def batch_result(**parts: Any) -> dict[str, Any]:
    empty = {"result": [], "result_error": [], "result_total": [], "result_next": [], "result_time": []}
    return result({**empty, **parts})


def test_a_batch_is_one_request_of_commands_in_their_order(portal: Rig) -> None:
    portal.server.answer_with(
        batch_result(result={"a": {"CALL_ID": "c"}, "b": True}, result_next={"a": 50}, result_total={"a": 99})
    )
    said = portal.client.batch(
        [
            ("a", "telephony.externalCall.register", {"USER_ID": 7, "SHOW": True}),
            ("b", "crm.item.add", {"fields": {"fm": [{"value": "+7 906"}]}}),
        ],
        halt=True,
        priority=Priority.FINISH,
    )
    body = portal.server.requests[0].json
    assert portal.server.requests[0].path == "/rest/batch"
    assert (body["halt"], body["auth"], list(body["cmd"])) == (1, "first", ["a", "b"])
    assert body["cmd"]["a"] == "telephony.externalCall.register?USER_ID=7&SHOW=1"
    method, _, query = body["cmd"]["b"].partition("?")
    assert (method, parse_qsl(query)) == ("crm.item.add", [("fields[fm][0][value]", "+7 906")])
    assert said == {"a": RestResult({"CALL_ID": "c"}, 50, 99), "b": RestResult(True)}
    assert portal.budget.taken == [Priority.FINISH]


def test_what_each_command_met(portal: Rig) -> None:
    errors = {
        "b": {"error": "ERROR_CORE", "error_description": "Call is not found"},
        "c": {"error": "expired_token", "error_description": ""},
        "d": {"error": "OPERATION_TIME_LIMIT", "error_description": ""},
        "e": {"error": "INTERNAL_SERVER_ERROR", "error_description": ""},
        "f": {"error": "ACCESS_DENIED", "error_description": "Access denied."},
        "g": {"error": "ACCESS_DENIED", "error_description": "Access denied."},
        "h": {"error": "insufficient_scope", "error_description": ""},
        "i": {"error": "QUERY_LIMIT_EXCEEDED", "error_description": ""},
        "j": "text",
    }
    portal.server.answer_with(batch_result(result={"a": 1, "k": None}, result_error=errors))
    methods = dict.fromkeys("abcdehijkl", "telephony.externalCall.show") | {
        "f": "crm.item.add",
        "g": "telephony.externalCall.show",
    }
    said = portal.client.batch([(key, method, {}) for key, method in sorted(methods.items())])
    kinds = {key: type(met) for key, met in said.items()}
    assert kinds == {
        "a": RestResult,
        "b": Refused,
        "c": NotSent,
        "d": NotSent,
        "e": AnswerLost,
        "f": Refused,
        "g": NeedsAdmin,
        "h": NeedsAdmin,
        "i": NotSent,
        "j": Refused,
        "k": RestResult,
    }
    assert said["c"].retry_after == 0.0  # type: ignore[union-attr]
    assert portal.budget.penalties == [1.0]
    assert len(portal.server.requests) == 1


def test_a_batch_of_empty_lists_and_a_list_shaped_one(portal: Rig) -> None:
    portal.server.answer_with(batch_result(), batch_result(result=[1, 2]), result([]), result({"no": "maps"}))
    commands: list[tuple[str, str, dict[str, Any]]] = [("a", "m", {}), ("b", "m", {})]
    assert portal.client.batch(commands) == {}
    assert portal.client.batch(commands) == {"a": RestResult(1), "b": RestResult(2)}
    for _ in range(2):
        with pytest.raises(AnswerLost):
            portal.client.batch(commands)


def test_a_whole_batch_may_fail(portal: Rig) -> None:
    portal.server.answer_with(refused("ACCESS_DENIED", "REST is available only on commercial plans.", 401))
    with pytest.raises(NeedsAdmin) as met:
        portal.client.batch([("a", "m", {})])
    assert met.value.code == "tariff"


def test_bounds_of_a_batch(portal: Rig) -> None:
    with pytest.raises(ValueError, match="50"):
        portal.client.batch([(f"k{number}", "m", {}) for number in range(51)])
    for key in ("a b", "a]", "", "ключ"):
        with pytest.raises(ValueError, match="key"):
            portal.client.batch([(key, "m", {})])
    assert portal.server.requests == []


def sent(params: dict[str, Any]) -> dict[str, str]:
    """What PHP reads from a command of a batch."""
    _, _, query = batch_encoding.encode_command("a", "m", params).partition("?")
    return dict(parse_qsl(query, keep_blank_values=True))


def test_a_reference_is_only_what_we_wrote() -> None:
    assert sent({"CALL_ID": BatchRef("d1", "CALL_ID"), "id": BatchRef("d2", "item][id")}) == {
        "CALL_ID": "$result[d1][CALL_ID]",
        "id": "$result[d2][item][id]",
    }


SUBSTITUTED = re.compile(r"\$(result|next|total|error|time)\[\S*", re.IGNORECASE)
"""What Bitrix24 replaces in any parsed value of a batch (server's source)."""


@pytest.mark.parametrize(
    "text",
    [
        "$result[a][b]",
        "x $result[reg][CALL_ID] y",
        "$RESULT[a]",
        "$next[a]",
        "$total[a]",
        "$error[a][error]",
        "$time[a]",
        "$$result[a]",
        "$anything[a]",
    ],
)
def test_text_from_outside_never_becomes_a_reference(text: str) -> None:
    arrived = sent({"COMMENT": text, "deep": {"er": [text]}})
    for value in arrived.values():
        assert not SUBSTITUTED.search(value)
        assert value.replace("\uff04", "$") == text


def test_money_stays_money() -> None:
    assert sent({"t": "5$ or $100 [net], US$[…]"})["t"] == "5$ or $100 [net], US\uff04[…]"


def test_values_as_a_query() -> None:
    assert sent(
        {"no": None, "empty": [], "yes": True, "off": False, "zero": 0, "text": "", "list": [1, [2]], "s": "\ud83d&=?"}
    ) == {
        "yes": "1",
        "off": "0",
        "zero": "0",
        "text": "",
        "list[0]": "1",
        "list[1][0]": "2",
        "s": "?&=?",
    }


def test_a_list_follows_next(portal: Rig) -> None:
    def page(asked: ReceivedRequest) -> ScriptedAnswer:
        start = asked.json["start"]
        rows = [{"ID": str(number)} for number in range(start, min(start + 50, 120))]
        return json_answer(result(rows, total=120, **({"next": start + 50} if start + 50 < 120 else {})))

    portal.server.answer_with(page)
    assert [row["ID"] for row in portal.client.iter_rows("user.get", {"FILTER": {"ACTIVE": True}})] == [
        str(n) for n in range(120)
    ]
    assert [asked.json["start"] for asked in portal.server.requests] == [0, 50, 100]
    assert set(portal.budget.taken) == {Priority.BACKGROUND}


def test_a_list_by_id_is_complete_while_rows_come_and_go(portal: Rig) -> None:
    rows = list(range(1, 131))

    def page(asked: ReceivedRequest) -> ScriptedAnswer:
        assert asked.json["start"] == -1
        assert asked.json["order"] == {"id": "ASC"}
        assert asked.json["filter"]["=originatorId"] == "us"
        last = asked.json["filter"][">id"]
        found = [number for number in rows if number > last][:50]
        rows[:3] = []  # somebody deletes meanwhile
        return json_answer(result({"items": [{"id": number} for number in found]}))

    portal.server.answer_with(page)
    found = portal.client.iter_rows("crm.item.list", {"entityTypeId": 2, "filter": {"=originatorId": "us"}})
    assert [row["id"] for row in found] == list(range(1, 131))


def test_a_list_ends_where_the_portal_goes_in_circles(portal: Rig) -> None:
    portal.server.answer_with(result([{"ID": "1"}], next=0))
    assert list(portal.client.iter_rows("user.get")) == [{"ID": "1"}]
    portal.server.answer_with(result([{"ID": "1"}] * 50))
    assert len(list(portal.client.iter_rows("voximplant.statistic.get"))) == 100


def test_a_list_waits_for_the_budget_between_pages(portal: Rig) -> None:
    portal.server.answer_with(result([{"ID": "1"}], next=50), result([{"ID": "2"}]))
    portal.budget.waits = [0.0, 0.01]
    assert len(list(portal.client.iter_rows("user.get"))) == 2
