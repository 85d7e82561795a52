"""Tokens that expire, a domain that changes, rights or a tariff that are missing."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from bx24app.bitrix24.errors import AnswerLost, Gone, NeedsAdmin, NotSent, PortalError, Refused
from tests.support.scripted_client import Rig, result, rig
from tests.support.scripted_server import ScriptedAnswer, refused


@pytest.fixture
def portal() -> Iterator[Rig]:
    with rig() as made:
        yield made


def test_an_expired_token_is_refreshed_once_and_the_request_repeated(portal: Rig) -> None:
    portal.server.answer_with(refused("expired_token", status=401), result(7))
    assert portal.client.call("crm.lead.add", {"fields": {}}).result == 7
    assert [asked.json["auth"] for asked in portal.server.requests] == ["first", "fresh-1"]
    assert [asked.json["fields"] for asked in portal.server.requests] == [{}, {}]


@pytest.mark.parametrize("code", ["expired_token", "invalid_token", "NO_AUTH_FOUND"])
def test_a_portal_that_refuses_a_fresh_token_needs_an_administrator(portal: Rig, code: str) -> None:
    portal.server.answer_with(refused(code, status=401))
    with pytest.raises(NeedsAdmin) as met:
        portal.client.call("profile")
    assert met.value.code == "authorise"
    assert len(portal.server.requests) == 2


@pytest.mark.parametrize(
    ("met", "becomes"),
    [
        (AnswerLost("lost"), NotSent),
        (NotSent("no"), NotSent),
        (NeedsAdmin("payment"), NeedsAdmin),
        (Gone("NOT_INSTALLED"), Gone),
        (Refused("x", "y"), NeedsAdmin),
    ],
)
def test_trouble_with_the_grant_never_looks_as_if_the_command_were_lost(
    portal: Rig, met: PortalError, becomes: type[PortalError]
) -> None:
    portal.server.answer_with(refused("expired_token", status=401))
    portal.refresh_error = met
    with pytest.raises(becomes) as raised:
        portal.client.call("telephony.externalCall.finish")
    assert type(raised.value) is becomes
    assert len(portal.server.requests) == 1


def test_a_changed_domain_is_followed_once(portal: Rig) -> None:
    portal.server.answer_with(ScriptedAnswer(302, b"", {"Location": "https://new.example/rest/profile"}), result(True))
    assert portal.client.call("profile").result is True
    assert portal.moves == ["https://new.example/rest/profile"]
    assert [asked.path for asked in portal.server.requests] == ["/rest/profile", "/moved/profile"]
    assert portal.server.requests[1].json == {"auth": "first"}
    portal.client.call("profile")
    assert portal.server.requests[2].path == "/moved/profile"


def test_a_portal_that_only_redirects_is_left_alone(portal: Rig) -> None:
    portal.server.answer_with(ScriptedAnswer(301, b"<html>", {"Location": "https://new.example/"}))
    with pytest.raises(NotSent):
        portal.client.call("profile")
    assert len(portal.server.requests) == 2


def test_denied_for_want_of_rights_is_told_by_profile(portal: Rig) -> None:
    portal.server.answer_with(refused("ACCESS_DENIED", "Access denied!", 403), result({"ID": "1", "ADMIN": True}))
    with pytest.raises(Refused) as met:
        portal.client.call("crm.item.add")
    assert met.value.code == "ACCESS_DENIED"
    assert [asked.path for asked in portal.server.requests] == ["/rest/crm.item.add", "/rest/profile"]


def test_want_of_rights_for_what_we_live_by_needs_an_administrator(portal: Rig) -> None:
    portal.server.answer_with(refused("ACCESS_DENIED", "Access denied!", 403), result({"ID": "1"}))
    with pytest.raises(NeedsAdmin) as met:
        portal.client.call("telephony.externalCall.register")
    assert met.value.code == "rights"


def test_a_tariff_without_rest_is_told_by_profile(portal: Rig) -> None:
    portal.server.answer_with(refused("ACCESS_DENIED", "Access denied!", 401))
    with pytest.raises(NeedsAdmin) as met:
        portal.client.call("crm.item.add")
    assert met.value.code == "tariff"


def test_a_dismissed_user_is_told_by_profile(portal: Rig) -> None:
    portal.server.answer_with(refused("INVALID_CREDENTIALS", "Invalid request credentials", 401))
    with pytest.raises(NeedsAdmin) as met:
        portal.client.call("crm.item.add")
    assert met.value.code == "rights"


def test_an_unasked_reason_leaves_the_command_waiting(portal: Rig) -> None:
    portal.server.answer_with(refused("ACCESS_DENIED", "Access denied!", 403), ScriptedAnswer(502, b"<html>"))
    with pytest.raises(NotSent):
        portal.client.call("crm.item.add")


def test_probe(portal: Rig) -> None:
    portal.server.answer_with(
        result({"ID": "1", "ADMIN": True}),
        refused("PAYMENT_REQUIRED", status=401),
        refused("APPLICATION_NOT_FOUND", status=401),
    )
    assert portal.client.probe_access()["ADMIN"] is True
    with pytest.raises(NeedsAdmin) as met:
        portal.client.probe_access()
    assert met.value.code == "payment"
    with pytest.raises(Gone):
        portal.client.probe_access()


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    file = tmp_path / "file.mp3"
    file.write_bytes(b"\xff\xfb" + bytes(range(256)))
    return file


def test_no_error_and_no_log_line_holds_a_token(
    portal: Rig, recording: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    portal.tokens = ["very-secret-token"]
    url = portal.server.url + "rest/upload.json?auth=very-secret-token"
    told_of = []
    for says in (
        ScriptedAnswer(drop=True),
        ScriptedAnswer(500, b"<html>"),
        refused("ERROR_CORE", "no"),
        refused("ACCESS_DENIED", "no", 403),
    ):
        portal.server.answer_with(says)
        for request in (
            lambda: portal.client.call("profile"),
            lambda: portal.client.upload_file(url, recording, "x.mp3"),
        ):
            with pytest.raises(PortalError) as met:
                request()
            told_of += [str(met.value), repr(met.value)]
    portal.client.endpoint = "http://127.0.0.1:9/rest/"
    with pytest.raises(NotSent) as gone:
        portal.client.upload_file("http://127.0.0.1:9/rest/upload.json?auth=very-secret-token", recording, "x.mp3")
    told_of.append(repr(gone.value))
    captured = capfd.readouterr()
    assert "very-secret-token" not in "\n".join([*told_of, caplog.text, captured.out, captured.err])
