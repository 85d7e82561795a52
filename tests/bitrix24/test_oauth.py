"""The authorisation servers: what they are asked, where a secret may go, and what their answers mean."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from bx24app.bitrix24.errors import AnswerLost, Gone, NeedsAdmin, NotSent, PortalError, Refused
from bx24app.bitrix24.oauth import OAuthServers, TokenPair
from tests.support.scripted_server import ScriptedAnswer, ScriptedServer, refused, scripted

TOKENS = {
    "access_token": "new-access",
    "refresh_token": "new-refresh",
    "expires_in": 3600,
    "member_id": "a223",
    "domain": "oauth.bitrix.info",
    "client_endpoint": "https://portal.bitrix24.com/rest/",
    "server_endpoint": "https://oauth.bitrix.info/rest/",
    "user_id": 67,
    "scope": "crm,telephony",
}
INFO = {
    "result": {
        "client_id": "app.1",
        "scope": "crm,telephony",
        "user_id": 1269,
        "install": {
            "installed": True,
            "status": "F",
            "domain": "portal.bitrix24.ru",
            "client_endpoint": "https://portal.bitrix24.ru/rest/",
            "member_id": "a223",
        },
    }
}


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with scripted() as server:
        yield server


@pytest.fixture
def servers(server: ScriptedServer) -> Iterator[OAuthServers]:
    with requests.Session() as session:
        session.trust_env = False
        yield OAuthServers([server.url, "https://oauth.bitrix24.tech"], session)


def refresh(servers: OAuthServers) -> TokenPair:
    return servers.refresh_pair(servers.servers[0], "app.1", "the-secret", "old-refresh")


def test_a_refresh_is_a_form_and_no_secret_is_in_an_address(server: ScriptedServer, servers: OAuthServers) -> None:
    server.answer_with(TOKENS)
    pair = refresh(servers)
    asked = server.requests[0]
    assert asked.path == "/oauth/token/"
    assert parse_qs(asked.body.decode()) == {
        "grant_type": ["refresh_token"],
        "client_id": ["app.1"],
        "client_secret": ["the-secret"],
        "refresh_token": ["old-refresh"],
    }
    assert (pair.access_token, pair.refresh_token, pair.expires_in) == ("new-access", "new-refresh", 3600)
    assert (pair.member_id, pair.user_id, pair.client_endpoint) == ("a223", 67, "https://portal.bitrix24.com/rest/")
    assert "new-access" not in repr(pair)


def test_a_code_is_exchanged(server: ScriptedServer, servers: OAuthServers) -> None:
    server.answer_with({name: value for name, value in TOKENS.items() if name not in ("expires_in", "user_id")})
    pair = servers.exchange_code(servers.servers[0], "app.1", "the-secret", "the-code")
    assert parse_qs(server.requests[0].body.decode())["grant_type"] == ["authorization_code"]
    assert (pair.user_id, pair.expires_in) == (0, 3600)


def test_whose_token_it_is(server: ScriptedServer, servers: OAuthServers) -> None:
    server.answer_with(INFO)
    info = servers.fetch_app_info("somebodys", servers.servers[0])
    parts = urlsplit(server.requests[0].path)
    assert (parts.path, parse_qs(parts.query)) == ("/rest/app.info", {"auth": ["somebodys"]})
    assert (info.client_id, info.user_id, info.member_id) == ("app.1", 1269, "a223")
    assert (info.domain, info.client_endpoint, info.is_installed) == (
        "portal.bitrix24.ru",
        "https://portal.bitrix24.ru/rest/",
        True,
    )


@pytest.mark.parametrize(
    "body", [{}, {"result": []}, {"result": {"client_id": "app.1"}}, {"result": {**INFO["result"], "user_id": None}}]
)
def test_an_answer_that_names_nobody_opens_nothing(
    server: ScriptedServer, servers: OAuthServers, body: dict[str, Any]
) -> None:
    server.answer_with(body)
    with pytest.raises(Refused):
        servers.fetch_app_info("somebodys", servers.servers[0])


@pytest.mark.parametrize(
    ("says", "becomes", "code"),
    [
        (refused("invalid_grant"), NeedsAdmin, "authorise"),
        (refused("invalid_client", status=401), NeedsAdmin, "registration"),
        (refused("wrong_client", status=200), NeedsAdmin, "registration"),
        (refused("PAYMENT_REQUIRED", status=401), NeedsAdmin, "payment"),
        (refused("NOT_INSTALLED", status=401), Gone, "NOT_INSTALLED"),
        (refused("ERROR_OAUTH"), NotSent, ""),
        (ScriptedAnswer(503, b"<html>"), AnswerLost, ""),
        (ScriptedAnswer(200, b"<html>"), AnswerLost, ""),
        (ScriptedAnswer(302, b"{}", {"Location": "https://elsewhere.example/"}), AnswerLost, ""),
        (ScriptedAnswer(drop=True), AnswerLost, ""),
        (ScriptedAnswer(200, b'{"access_token": "a"}'), AnswerLost, ""),
        (ScriptedAnswer(200, b'{"access_token": null, "refresh_token": null}'), AnswerLost, ""),
        (ScriptedAnswer(200, b"[]"), AnswerLost, ""),
    ],
)
def test_what_a_refresh_can_meet(
    server: ScriptedServer, servers: OAuthServers, says: ScriptedAnswer, becomes: type[PortalError], code: str
) -> None:
    server.answer_with(says)
    with pytest.raises(becomes) as met:
        refresh(servers)
    assert type(met.value) is becomes
    assert str(getattr(met.value, "code", "")) == code
    assert "secret" not in repr(met.value)
    assert "old-refresh" not in repr(met.value)


def test_a_lost_answer_is_asked_for_again_with_the_old_token(server: ScriptedServer, servers: OAuthServers) -> None:
    server.answer_with(ScriptedAnswer(drop=True), TOKENS)
    assert refresh(servers).access_token == "new-access"
    assert [parse_qs(asked.body.decode())["refresh_token"] for asked in server.requests] == [
        ["old-refresh"],
        ["old-refresh"],
    ]


def test_a_server_that_is_not_in_the_list_never_sees_a_secret(server: ScriptedServer, servers: OAuthServers) -> None:
    for stranger in ("https://evil.example", server.url, servers.servers[0] + "/x", "https://oauth.bitrix24.tech.evil.example"):
        with pytest.raises(Refused):
            servers.refresh_pair(stranger, "app.1", "the-secret", "old-refresh")
    assert server.requests == []


def test_a_server_is_named_by_its_host_alone(servers: OAuthServers) -> None:
    assert servers.find_server("https://oauth.bitrix24.tech/rest/") == "https://oauth.bitrix24.tech"
    assert servers.find_server("http://OAUTH.bitrix24.TECH") == "https://oauth.bitrix24.tech"
    for stranger in (
        "https://oauth.bitrix24.tech@evil.example/",
        "https://evil.example/oauth.bitrix24.tech",
        "",
        None,
        "https://[",
        "oauth",
    ):
        assert servers.find_server(stranger) is None


def test_no_connection(servers: OAuthServers) -> None:
    with requests.Session() as session:
        gone = OAuthServers(["http://127.0.0.1:9"], session)
        with pytest.raises(NotSent):
            gone.fetch_app_info("t", "http://127.0.0.1:9")
