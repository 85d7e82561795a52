"""REST of one portal over real HTTP, against a portal that says whatever a network can say."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator

import pytest

from bx24app.bitrix24 import transport
from bx24app.bitrix24.budget import Priority
from bx24app.bitrix24.errors import AnswerLost, Later, NotSent
from tests.support.scripted_client import Rig, result, rig
from tests.support.scripted_server import ScriptedAnswer, refused


@pytest.fixture
def portal() -> Iterator[Rig]:
    with rig() as made:
        yield made


def test_the_token_goes_into_the_json_body_alone(portal: Rig) -> None:
    portal.server.answer_with(result({"CALL_ID": "externalCall.1"}, next=50, total=120))
    answer = portal.client.call("telephony.externalCall.register", {"USER_ID": 7, "SHOW": 1, "NAME": "Анна"})
    asked = portal.server.requests[0]
    assert asked.path == "/rest/telephony.externalCall.register"
    assert asked.json == {"USER_ID": 7, "SHOW": 1, "NAME": "Анна", "auth": "first"}
    assert asked.headers["Content-Type"] == "application/json"
    assert re.fullmatch(r"bx24app/\d+\.\d+\.\d+ \(Mango Office\)", asked.headers["User-Agent"])
    assert "Authorization" not in asked.headers
    assert "Cookie" not in asked.headers
    assert answer.result == {"CALL_ID": "externalCall.1"}
    assert (answer.next, answer.total) == (50, 120)
    assert answer.time is not None
    assert portal.budget.taken == [Priority.CARD]


def test_a_connection_is_kept(portal: Rig) -> None:
    portal.server.answer_with(result(True))
    for _ in range(5):
        portal.client.call("profile")
    assert len(portal.server.requests) == 5
    assert portal.server.connections == 1


def test_cookies_are_refused(portal: Rig) -> None:
    portal.server.answer_with(ScriptedAnswer(200, b'{"result": true}', {"Set-Cookie": "PHPSESSID=1; Path=/"}))
    portal.client.call("profile")
    portal.client.call("profile")
    assert all("Cookie" not in asked.headers for asked in portal.server.requests)


def test_a_proxy_of_the_machine_is_not_used(portal: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    portal.server.answer_with(result(True))
    assert portal.client.call("profile").result is True


def test_a_lone_surrogate_does_not_spoil_the_body(portal: Rig) -> None:
    """PHP takes such a body for none at all, and answers that there is no token."""
    portal.server.answer_with(result(True))
    portal.client.call("crm.item.add", {"title": "half \ud83d a letter"})
    assert portal.server.requests[0].json["title"] == "half ? a letter"


def test_each_thread_sends_its_own_portals_token() -> None:
    with rig() as one, rig() as other:
        one.tokens, other.tokens = ["token-of-one"], ["token-of-other"]
        for made in (one, other):
            made.server.answer_with(result(True))

        def work(made: Rig) -> None:
            for _ in range(20):
                made.client.call("profile")

        threads = [threading.Thread(target=work, args=(made,)) for made in (one, other) * 3]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert {asked.json["auth"] for asked in one.server.requests} == {"token-of-one"}
        assert {asked.json["auth"] for asked in other.server.requests} == {"token-of-other"}


@pytest.mark.parametrize(
    "says",
    [
        ScriptedAnswer(200, b"<html>Bitrix24 is being updated</html>"),
        ScriptedAnswer(500, b"<html>500</html>"),
        ScriptedAnswer(502, b"<html>502 Bad Gateway</html>"),
        ScriptedAnswer(503, b""),
        ScriptedAnswer(504, b"<html></html>"),
        ScriptedAnswer(200, b'{"result": {"CALL_ID": "externalCall.'),
        ScriptedAnswer(200, b""),
        ScriptedAnswer(200, b"[]"),
        ScriptedAnswer(200, b'{"time": {}}'),
        ScriptedAnswer(drop=True),
        ScriptedAnswer(200, b"short", {"Content-Length": "500", "Connection": "close"}),
    ],
)
def test_an_answer_that_cannot_be_read_is_a_lost_answer(portal: Rig, says: ScriptedAnswer) -> None:
    portal.server.answer_with(says)
    with pytest.raises(AnswerLost):
        portal.client.call("telephony.externalCall.finish")
    assert len(portal.server.requests) == 1


def _answer_with_pause(seconds: str, status: int, body: bytes = b"<html></html>") -> ScriptedAnswer:
    return ScriptedAnswer(status, body, {"Retry-After": seconds, "Content-Type": "application/json"})


@pytest.mark.parametrize(
    ("says", "error", "pause"),
    [
        (_answer_with_pause("17", 503), AnswerLost, 17.0),
        (_answer_with_pause("17", 429), NotSent, 17.0),
        (_answer_with_pause("2", 429), NotSent, 5.0),  # never sooner than the program's own pause
        (_answer_with_pause("90000", 503), AnswerLost, 3600.0),
        (_answer_with_pause("later", 503), AnswerLost, None),
    ],
)
def test_a_pause_that_the_portal_names_is_kept(
    portal: Rig, says: ScriptedAnswer, error: type[Later], pause: float | None
) -> None:
    portal.server.answer_with(says)
    with pytest.raises(error) as caught:
        portal.client.call("telephony.externalCall.finish")
    assert caught.value.retry_after == pause


def test_a_pause_with_a_limit_holds_the_budget(portal: Rig) -> None:
    portal.server.answer_with(_answer_with_pause("9", 503, b'{"error": "QUERY_LIMIT_EXCEEDED"}'))
    with pytest.raises(NotSent) as caught:
        portal.client.call("telephony.externalCall.finish")
    assert caught.value.retry_after == 9.0
    assert portal.budget.penalties == [9.0]


def test_a_portal_that_hangs_is_a_lost_answer(portal: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "TIMEOUT", (3.0, 0.2))
    portal.server.answer_with(ScriptedAnswer(hang=True))
    with pytest.raises(AnswerLost):
        portal.client.call("telephony.externalCall.finish")


def test_no_connection_is_certainly_not_executed(portal: Rig) -> None:
    portal.client.endpoint = "http://127.0.0.1:9/rest/"
    with pytest.raises(NotSent):
        portal.client.call("telephony.externalCall.finish")


def test_a_host_without_tls_is_certainly_not_executed(portal: Rig) -> None:
    portal.client.endpoint = portal.server.url.replace("http://", "https://") + "rest/"
    with pytest.raises(NotSent):
        portal.client.call("telephony.externalCall.finish")
    assert portal.server.requests == []


@pytest.mark.parametrize("status", [401, 403, 404, 429])
def test_a_firewalls_page_is_certainly_not_executed(portal: Rig, status: int) -> None:
    portal.server.answer_with(ScriptedAnswer(status, b"<html>"))
    with pytest.raises(NotSent):
        portal.client.call("telephony.externalCall.finish")


def test_an_answer_may_have_a_byte_order_mark_or_be_compressed(portal: Rig) -> None:
    import gzip

    portal.server.answer_with(ScriptedAnswer(200, gzip.compress(b'{"result": 7}'), {"Content-Encoding": "gzip"}))
    assert portal.client.call("crm.lead.add").result == 7


def test_a_used_up_budget_is_told_at_once(portal: Rig) -> None:
    portal.budget.waits = [1.5]
    with pytest.raises(NotSent) as met:
        portal.client.call("profile")
    assert (met.value.retry_after, met.value.is_rate_limited) == (1.5, True)
    assert portal.server.requests == []


def test_who_has_patience_waits_for_the_budget(portal: Rig) -> None:
    portal.server.answer_with(result(True))
    portal.budget.waits = [0.01, 0.01]
    assert portal.client.call("profile", patience=5.0).result is True
    portal.budget.waits = [600.0]
    with pytest.raises(NotSent):
        portal.client.call("profile", patience=5.0)


def test_the_portals_own_limit_is_a_penalty(portal: Rig) -> None:
    portal.server.answer_with(refused("QUERY_LIMIT_EXCEEDED", "Too many requests", 503))
    with pytest.raises(NotSent) as met:
        portal.client.call("profile")
    assert met.value.is_rate_limited
    assert portal.budget.penalties == [1.0]


def test_a_repeated_request_costs_a_second_time(portal: Rig) -> None:
    portal.server.answer_with(refused("expired_token", status=401), result(True))
    portal.client.call("profile", priority=Priority.RECORD)
    assert portal.budget.taken == [Priority.RECORD, Priority.RECORD]
