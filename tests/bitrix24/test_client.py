"""REST of one portal over real HTTP, against a portal that says whatever a network can say."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest

from bx24app.bitrix24 import encoding, wire
from bx24app.bitrix24.budget import Priority
from bx24app.bitrix24.client import Answer, Ref
from bx24app.bitrix24.errors import AnswerLost, Gone, NeedsAdmin, NotSent, PortalError, Refused
from tests.bitrix24.portal import Rig, result, rig
from tests.bitrix24.scripted import Asked, Says, refused, told


@pytest.fixture
def portal() -> Iterator[Rig]:
    with rig() as made:
        yield made


# --- one method


def test_the_token_goes_into_the_json_body_alone(portal: Rig) -> None:
    portal.server.says(result({"CALL_ID": "externalCall.1"}, next=50, total=120))
    answer = portal.client.call("telephony.externalCall.register", {"USER_ID": 7, "SHOW": 1, "NAME": "Анна"})
    asked = portal.server.asked[0]
    assert asked.path == "/rest/telephony.externalCall.register"
    assert asked.json == {"USER_ID": 7, "SHOW": 1, "NAME": "Анна", "auth": "first"}
    assert asked.headers["Content-Type"] == "application/json"
    assert "Authorization" not in asked.headers
    assert "Cookie" not in asked.headers
    assert answer.result == {"CALL_ID": "externalCall.1"}
    assert (answer.next, answer.total) == (50, 120)
    assert answer.time is not None
    assert portal.purse.taken == [Priority.CARD]


def test_a_connection_is_kept(portal: Rig) -> None:
    portal.server.says(result(True))
    for _ in range(5):
        portal.client.call("profile")
    assert len(portal.server.asked) == 5
    assert portal.server.connections == 1


def test_cookies_are_refused(portal: Rig) -> None:
    portal.server.says(Says(200, b'{"result": true}', {"Set-Cookie": "PHPSESSID=1; Path=/"}))
    portal.client.call("profile")
    portal.client.call("profile")
    assert all("Cookie" not in asked.headers for asked in portal.server.asked)


def test_a_proxy_of_the_machine_is_not_used(portal: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    portal.server.says(result(True))
    assert portal.client.call("profile").result is True


def test_a_lone_surrogate_does_not_spoil_the_body(portal: Rig) -> None:
    """PHP takes such a body for none at all, and answers that there is no token."""
    portal.server.says(result(True))
    portal.client.call("crm.item.add", {"title": "half \ud83d a letter"})
    assert portal.server.asked[0].json["title"] == "half ? a letter"


def test_each_thread_sends_its_own_portals_token() -> None:
    with rig() as one, rig() as other:
        one.tokens, other.tokens = ["token-of-one"], ["token-of-other"]
        for made in (one, other):
            made.server.says(result(True))

        def work(made: Rig) -> None:
            for _ in range(20):
                made.client.call("profile")

        threads = [threading.Thread(target=work, args=(made,)) for made in (one, other) * 3]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert {asked.json["auth"] for asked in one.server.asked} == {"token-of-one"}
        assert {asked.json["auth"] for asked in other.server.asked} == {"token-of-other"}


# --- what a network can do


@pytest.mark.parametrize(
    "says",
    [
        Says(200, b"<html>Bitrix24 is being updated</html>"),
        Says(500, b"<html>500</html>"),
        Says(502, b"<html>502 Bad Gateway</html>"),
        Says(503, b""),
        Says(504, b"<html></html>"),
        Says(200, b'{"result": {"CALL_ID": "externalCall.'),
        Says(200, b""),
        Says(200, b"[]"),
        Says(200, b'{"time": {}}'),
        Says(drop=True),
        Says(200, b"short", {"Content-Length": "500", "Connection": "close"}),
    ],
)
def test_an_answer_that_cannot_be_read_is_a_lost_answer(portal: Rig, says: Says) -> None:
    portal.server.says(says)
    with pytest.raises(AnswerLost):
        portal.client.call("telephony.externalCall.finish")
    assert len(portal.server.asked) == 1


def test_a_portal_that_hangs_is_a_lost_answer(portal: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "TIMEOUT", (3.0, 0.2))
    portal.server.says(Says(hang=True))
    with pytest.raises(AnswerLost):
        portal.client.call("telephony.externalCall.finish")


def test_an_answer_without_end_is_a_lost_answer(portal: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "LARGEST", 100_000)
    portal.server.says(Says(200, b" " * 300_000))
    with pytest.raises(AnswerLost, match="larger"):
        portal.client.call("user.get")
    monkeypatch.setattr(wire, "OVERALL", -1.0)
    with pytest.raises(AnswerLost, match="too long"):
        portal.client.call("user.get")


def test_no_connection_is_certainly_not_executed(portal: Rig) -> None:
    portal.client.endpoint = "http://127.0.0.1:9/rest/"
    with pytest.raises(NotSent):
        portal.client.call("telephony.externalCall.finish")


def test_a_host_without_tls_is_certainly_not_executed(portal: Rig) -> None:
    portal.client.endpoint = portal.server.url.replace("http://", "https://") + "rest/"
    with pytest.raises(NotSent):
        portal.client.call("telephony.externalCall.finish")
    assert portal.server.asked == []


@pytest.mark.parametrize("status", [401, 403, 404, 429])
def test_a_firewalls_page_is_certainly_not_executed(portal: Rig, status: int) -> None:
    portal.server.says(Says(status, b"<html>"))
    with pytest.raises(NotSent):
        portal.client.call("telephony.externalCall.finish")


def test_an_answer_may_have_a_byte_order_mark_or_be_compressed(portal: Rig) -> None:
    import gzip

    portal.server.says(Says(200, gzip.compress(b'{"result": 7}'), {"Content-Encoding": "gzip"}))
    assert portal.client.call("crm.lead.add").result == 7


# --- the budget


def test_a_used_up_budget_is_told_at_once(portal: Rig) -> None:
    portal.purse.waits = [1.5]
    with pytest.raises(NotSent) as met:
        portal.client.call("profile")
    assert (met.value.after, met.value.budget) == (1.5, True)
    assert portal.server.asked == []


def test_who_has_patience_waits_for_the_budget(portal: Rig) -> None:
    portal.server.says(result(True))
    portal.purse.waits = [0.01, 0.01]
    assert portal.client.call("profile", patience=5.0).result is True
    portal.purse.waits = [600.0]
    with pytest.raises(NotSent):
        portal.client.call("profile", patience=5.0)


def test_the_portals_own_limit_is_a_penalty(portal: Rig) -> None:
    portal.server.says(refused("QUERY_LIMIT_EXCEEDED", "Too many requests", 503))
    with pytest.raises(NotSent) as met:
        portal.client.call("profile")
    assert met.value.budget
    assert portal.purse.penalties == [1.0]


def test_a_repeated_request_costs_a_second_time(portal: Rig) -> None:
    portal.server.says(refused("expired_token", status=401), result(True))
    portal.client.call("profile", priority=Priority.RECORD)
    assert portal.purse.taken == [Priority.RECORD, Priority.RECORD]


# --- the grant


def test_an_expired_token_is_refreshed_once_and_the_request_repeated(portal: Rig) -> None:
    portal.server.says(refused("expired_token", status=401), result(7))
    assert portal.client.call("crm.lead.add", {"fields": {}}).result == 7
    assert [asked.json["auth"] for asked in portal.server.asked] == ["first", "fresh-1"]
    assert [asked.json["fields"] for asked in portal.server.asked] == [{}, {}]


@pytest.mark.parametrize("code", ["expired_token", "invalid_token", "NO_AUTH_FOUND"])
def test_a_portal_that_refuses_a_fresh_token_needs_an_administrator(portal: Rig, code: str) -> None:
    portal.server.says(refused(code, status=401))
    with pytest.raises(NeedsAdmin) as met:
        portal.client.call("profile")
    assert met.value.code == "authorise"
    assert len(portal.server.asked) == 2


@pytest.mark.parametrize(
    ("met", "becomes"),
    [(AnswerLost("lost"), NotSent), (NotSent("no"), NotSent), (NeedsAdmin("payment"), NeedsAdmin), (Gone("NOT_INSTALLED"), Gone), (Refused("x", "y"), NeedsAdmin)],
)  # fmt: skip
def test_trouble_with_the_grant_never_looks_as_if_the_command_were_lost(
    portal: Rig, met: PortalError, becomes: type[PortalError]
) -> None:
    portal.server.says(refused("expired_token", status=401))
    portal.dead = met
    with pytest.raises(becomes) as raised:
        portal.client.call("telephony.externalCall.finish")
    assert type(raised.value) is becomes
    assert len(portal.server.asked) == 1


def test_a_changed_domain_is_followed_once(portal: Rig) -> None:
    portal.server.says(Says(302, b"", {"Location": "https://new.example/rest/profile"}), result(True))
    assert portal.client.call("profile").result is True
    assert portal.moves == ["https://new.example/rest/profile"]
    assert [asked.path for asked in portal.server.asked] == ["/rest/profile", "/moved/profile"]
    assert portal.server.asked[1].json == {"auth": "first"}
    portal.client.call("profile")
    assert portal.server.asked[2].path == "/moved/profile"


def test_a_portal_that_only_redirects_is_left_alone(portal: Rig) -> None:
    portal.server.says(Says(301, b"<html>", {"Location": "https://new.example/"}))
    with pytest.raises(NotSent):
        portal.client.call("profile")
    assert len(portal.server.asked) == 2


# --- rights or tariff


def test_denied_for_want_of_rights_is_told_by_profile(portal: Rig) -> None:
    portal.server.says(refused("ACCESS_DENIED", "Access denied!", 403), result({"ID": "1", "ADMIN": True}))
    with pytest.raises(Refused) as met:
        portal.client.call("crm.item.add")
    assert met.value.code == "ACCESS_DENIED"
    assert [asked.path for asked in portal.server.asked] == ["/rest/crm.item.add", "/rest/profile"]


def test_want_of_rights_for_what_we_live_by_needs_an_administrator(portal: Rig) -> None:
    portal.server.says(refused("ACCESS_DENIED", "Access denied!", 403), result({"ID": "1"}))
    with pytest.raises(NeedsAdmin) as met:
        portal.client.call("telephony.externalCall.register")
    assert met.value.code == "rights"


def test_a_tariff_without_rest_is_told_by_profile(portal: Rig) -> None:
    portal.server.says(refused("ACCESS_DENIED", "Access denied!", 401))
    with pytest.raises(NeedsAdmin) as met:
        portal.client.call("crm.item.add")
    assert met.value.code == "tariff"


def test_a_dismissed_user_is_told_by_profile(portal: Rig) -> None:
    portal.server.says(refused("INVALID_CREDENTIALS", "Invalid request credentials", 401))
    with pytest.raises(NeedsAdmin) as met:
        portal.client.call("crm.item.add")
    assert met.value.code == "rights"


def test_an_unasked_reason_leaves_the_command_waiting(portal: Rig) -> None:
    portal.server.says(refused("ACCESS_DENIED", "Access denied!", 403), Says(502, b"<html>"))
    with pytest.raises(NotSent):
        portal.client.call("crm.item.add")


def test_probe(portal: Rig) -> None:
    portal.server.says(
        result({"ID": "1", "ADMIN": True}), refused("PAYMENT_REQUIRED", status=401), refused("PORTAL_DELETED", status=403)
    )
    assert portal.client.probe()["ADMIN"] is True
    with pytest.raises(NeedsAdmin) as met:
        portal.client.probe()
    assert met.value.code == "payment"
    with pytest.raises(Gone):
        portal.client.probe()


# --- batch


def batch_result(**parts: Any) -> dict[str, Any]:
    empty = {"result": [], "result_error": [], "result_total": [], "result_next": [], "result_time": []}
    return result({**empty, **parts})


def test_a_batch_is_one_request_of_commands_in_their_order(portal: Rig) -> None:
    portal.server.says(batch_result(result={"a": {"CALL_ID": "c"}, "b": True}, result_next={"a": 50}, result_total={"a": 99}))
    said = portal.client.batch(
        [("a", "telephony.externalCall.register", {"USER_ID": 7, "SHOW": True}), ("b", "crm.item.add", {"fields": {"fm": [{"value": "+7 906"}]}})],
        halt=True,
        priority=Priority.FINISH,
    )  # fmt: skip
    body = portal.server.asked[0].json
    assert portal.server.asked[0].path == "/rest/batch"
    assert (body["halt"], body["auth"], list(body["cmd"])) == (1, "first", ["a", "b"])
    assert body["cmd"]["a"] == "telephony.externalCall.register?USER_ID=7&SHOW=1"
    method, _, query = body["cmd"]["b"].partition("?")
    assert (method, parse_qsl(query)) == ("crm.item.add", [("fields[fm][0][value]", "+7 906")])
    assert said == {"a": Answer({"CALL_ID": "c"}, 50, 99), "b": Answer(True)}
    assert portal.purse.taken == [Priority.FINISH]


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
    portal.server.says(batch_result(result={"a": 1, "k": None}, result_error=errors))
    methods = dict.fromkeys("abcdehijkl", "telephony.externalCall.show") | {"f": "crm.item.add", "g": "telephony.externalCall.show"}
    said = portal.client.batch([(key, method, {}) for key, method in sorted(methods.items())])
    kinds = {key: type(met) for key, met in said.items()}
    assert kinds == {
        "a": Answer, "b": Refused, "c": NotSent, "d": NotSent, "e": AnswerLost, "f": Refused, "g": NeedsAdmin, "h": NeedsAdmin,
        "i": NotSent, "j": Refused, "k": Answer,
    }  # fmt: skip
    assert said["c"].after == 0.0  # type: ignore[union-attr]
    assert portal.purse.penalties == [1.0]
    assert len(portal.server.asked) == 1


def test_a_batch_of_empty_lists_and_a_list_shaped_one(portal: Rig) -> None:
    portal.server.says(batch_result(), batch_result(result=[1, 2]), result([]), result({"no": "maps"}))
    commands: list[tuple[str, str, dict[str, Any]]] = [("a", "m", {}), ("b", "m", {})]
    assert portal.client.batch(commands) == {}
    assert portal.client.batch(commands) == {"a": Answer(1), "b": Answer(2)}
    for _ in range(2):
        with pytest.raises(AnswerLost):
            portal.client.batch(commands)


def test_a_whole_batch_may_fail(portal: Rig) -> None:
    portal.server.says(refused("ACCESS_DENIED", "REST is available only on commercial plans.", 401))
    with pytest.raises(NeedsAdmin) as met:
        portal.client.batch([("a", "m", {})])
    assert met.value.code == "tariff"


def test_bounds_of_a_batch(portal: Rig) -> None:
    with pytest.raises(ValueError, match="50"):
        portal.client.batch([(f"k{number}", "m", {}) for number in range(51)])
    for key in ("a b", "a]", "", "ключ"):
        with pytest.raises(ValueError, match="key"):
            portal.client.batch([(key, "m", {})])
    assert portal.server.asked == []


def sent(params: dict[str, Any]) -> dict[str, str]:
    """What PHP reads from a command of a batch."""
    _, _, query = encoding.command("a", "m", params).partition("?")
    return dict(parse_qsl(query, keep_blank_values=True))


def test_a_reference_is_only_what_we_wrote() -> None:
    assert sent({"CALL_ID": Ref("d1", "CALL_ID"), "id": Ref("d2", "item][id")}) == {
        "CALL_ID": "$result[d1][CALL_ID]",
        "id": "$result[d2][item][id]",
    }


SUBSTITUTED = re.compile(r"\$(result|next|total|error|time)\[\S*", re.IGNORECASE)
"""What Bitrix24 replaces in any parsed value of a batch (server's source)."""


@pytest.mark.parametrize(
    "text",
    ["$result[a][b]", "x $result[reg][CALL_ID] y", "$RESULT[a]", "$next[a]", "$total[a]", "$error[a][error]", "$time[a]", "$$result[a]", "$anything[a]"],
)  # fmt: skip
def test_text_from_outside_never_becomes_a_reference(text: str) -> None:
    arrived = sent({"COMMENT": text, "deep": {"er": [text]}})
    for value in arrived.values():
        assert not SUBSTITUTED.search(value)
        assert value.replace("\uff04", "$") == text


def test_money_stays_money() -> None:
    assert sent({"t": "5$ or $100 [net], US$[…]"})["t"] == "5$ or $100 [net], US\uff04[…]"


def test_values_as_a_query() -> None:
    assert sent({"no": None, "empty": [], "yes": True, "off": False, "zero": 0, "text": "", "list": [1, [2]], "s": "\ud83d&=?"}) == {
        "yes": "1", "off": "0", "zero": "0", "text": "", "list[0]": "1", "list[1][0]": "2", "s": "?&=?",
    }  # fmt: skip


# --- lists


def test_a_list_follows_next(portal: Rig) -> None:
    def page(asked: Asked) -> Says:
        start = asked.json["start"]
        rows = [{"ID": str(number)} for number in range(start, min(start + 50, 120))]
        return told(result(rows, total=120, **({"next": start + 50} if start + 50 < 120 else {})))

    portal.server.says(page)
    assert [row["ID"] for row in portal.client.list("user.get", {"FILTER": {"ACTIVE": True}})] == [str(n) for n in range(120)]
    assert [asked.json["start"] for asked in portal.server.asked] == [0, 50, 100]
    assert set(portal.purse.taken) == {Priority.BACKGROUND}


def test_a_list_by_id_is_complete_while_rows_come_and_go(portal: Rig) -> None:
    rows = list(range(1, 131))

    def page(asked: Asked) -> Says:
        assert asked.json["start"] == -1
        assert asked.json["order"] == {"id": "ASC"}
        assert asked.json["filter"]["=originatorId"] == "us"
        last = asked.json["filter"][">id"]
        found = [number for number in rows if number > last][:50]
        rows[:3] = []  # somebody deletes meanwhile
        return told(result({"items": [{"id": number} for number in found]}))

    portal.server.says(page)
    found = portal.client.list("crm.item.list", {"entityTypeId": 2, "filter": {"=originatorId": "us"}})
    assert [row["id"] for row in found] == list(range(1, 131))


def test_a_list_ends_where_the_portal_goes_in_circles(portal: Rig) -> None:
    portal.server.says(result([{"ID": "1"}], next=0))
    assert list(portal.client.list("user.get")) == [{"ID": "1"}]
    portal.server.says(result([{"ID": "1"}] * 50))
    assert len(list(portal.client.list("voximplant.statistic.get"))) == 100


def test_a_list_waits_for_the_budget_between_pages(portal: Rig) -> None:
    portal.server.says(result([{"ID": "1"}], next=50), result([{"ID": "2"}]))
    portal.purse.waits = [0.0, 0.01]
    assert len(list(portal.client.list("user.get"))) == 2


# --- uploads


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    file = tmp_path / "file.mp3"
    file.write_bytes(b"\xff\xfb" + bytes(range(256)) * 3000)
    return file


def test_an_upload_is_one_part_with_the_name_that_was_given(portal: Rig, recording: Path) -> None:
    portal.server.says({"result": {"FILE_ID": 9079}})
    url = portal.server.url + "rest/upload.json?auth=first&token=telephony%7Cabc"
    assert portal.client.upload(url, recording, 'a "b"\r\n.mp3') == {"FILE_ID": 9079}
    asked = portal.server.asked[0]
    assert asked.path == "/rest/upload.json?auth=first&token=telephony%7Cabc"
    kind, _, boundary = asked.headers["Content-Type"].partition("; boundary=")
    assert kind == "multipart/form-data"
    head, _, rest = asked.body.partition(b"\r\n\r\n")
    assert b'name="file"; filename="a b.mp3"' in head
    assert rest == recording.read_bytes() + f"\r\n--{boundary}--\r\n".encode()
    assert int(asked.headers["Content-Length"]) == len(asked.body)
    assert portal.purse.taken == [Priority.RECORD]


def test_an_upload_is_read_in_pieces(recording: Path) -> None:
    with recording.open("rb") as stream:
        body = wire.Multipart(stream, recording.stat().st_size, "x.mp3", "file")
        pieces = list(iter(lambda: body.read(65536), b""))
    assert sum(map(len, pieces)) == len(body)
    assert max(map(len, pieces)) <= 65536


def test_an_upload_goes_nowhere_else(portal: Rig, recording: Path) -> None:
    with pytest.raises(Refused):
        portal.client.upload("https://elsewhere.example/rest/upload.json?auth=first", recording, "x.mp3")
    assert portal.server.asked == []


@pytest.mark.parametrize(
    ("says", "becomes"),
    [
        (refused("expired_token", status=401), NotSent),
        (Says(302, b"", {"Location": "https://new.example/"}), NotSent),
        (refused("ACCESS_DENIED", "Link check failed", 403), Refused),
        (refused("ERROR_CORE", "Not enough free space on the Drive."), NeedsAdmin),
        (Says(drop=True), AnswerLost),
        (Says(502, b"<html>"), AnswerLost),
    ],
)
def test_what_an_upload_can_meet(portal: Rig, recording: Path, says: Says, becomes: type[PortalError]) -> None:
    portal.server.says(says)
    with pytest.raises(becomes) as met:
        portal.client.upload(portal.server.url + "rest/upload.json?auth=first", recording, "x.mp3")
    assert type(met.value) is becomes


# --- secrets


def test_no_error_and_no_log_line_holds_a_token(
    portal: Rig, recording: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    portal.tokens = ["very-secret-token"]
    url = portal.server.url + "rest/upload.json?auth=very-secret-token"
    told_of = []
    for says in (Says(drop=True), Says(500, b"<html>"), refused("ERROR_CORE", "no"), refused("ACCESS_DENIED", "no", 403)):
        portal.server.says(says)
        for request in (lambda: portal.client.call("profile"), lambda: portal.client.upload(url, recording, "x.mp3")):
            with pytest.raises(PortalError) as met:
                request()
            told_of += [str(met.value), repr(met.value)]
    portal.client.endpoint = "http://127.0.0.1:9/rest/"
    with pytest.raises(NotSent) as gone:
        portal.client.upload("http://127.0.0.1:9/rest/upload.json?auth=very-secret-token", recording, "x.mp3")
    told_of.append(repr(gone.value))
    captured = capfd.readouterr()
    assert "very-secret-token" not in "\n".join([*told_of, caplog.text, captured.out, captured.err])
