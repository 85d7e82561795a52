"""Tokens of nobody: what is none is not asked about, and what was refused is not asked about again."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import redis

from bx24app.bitrix24.errors import Later
from bx24app.portals import token_owner
from bx24app.portals.connections import oauth_servers
from bx24app.portals.token_owner import TokenRefused, find_owner
from tests.support.installations import event, installed, post_of, w
from tests.support.stack import World

__all__ = ["w"]


@pytest.fixture
def questions(w: World, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The tokens that authorisation servers were asked about."""
    tokens: list[str] = []
    servers = oauth_servers()
    ask: Callable[..., object] = servers.fetch_app_info
    monkeypatch.setattr(servers, "fetch_app_info", lambda token, server: tokens.append(token) or ask(token, server))
    return tokens


@pytest.mark.parametrize("token", ["", "x", "short", "a b" * 10, "ё" * 40, "0" * 513, "<script>" * 5, "a\n" * 20])
def test_what_is_no_token_is_not_asked_about(w: World, questions: list[str], token: str) -> None:
    with pytest.raises(TokenRefused):
        find_owner(token, "")
    assert questions == []


def test_a_refused_token_is_asked_about_once_in_five_minutes(w: World, questions: list[str]) -> None:
    installed(w)
    questions.clear()
    for _ in range(3):
        with pytest.raises(TokenRefused):
            find_owner("0" * 70, "")
        assert event(w, "ONAPPUPDATE", access_token="0" * 70) == 403
    assert questions == ["0" * 70]
    server = redis.Redis.from_url(w.config.redis_url)
    (key,) = server.scan_iter("*refused:*")
    assert b"0" * 16 not in key, "Redis holds no tokens"
    assert 0 < server.ttl(key) <= token_owner.REFUSED_SECONDS
    server.delete(key)
    with pytest.raises(TokenRefused):
        find_owner("0" * 70, "")
    assert len(questions) == 2


def test_a_server_that_does_not_answer_refuses_nothing(w: World, questions: list[str]) -> None:
    token = post_of(w).access_token
    w.sandbox.oauth.switches.switch_on("http502")
    for _ in range(2):
        with pytest.raises(Later):
            find_owner(token, "")
    w.sandbox.oauth.switches.switch_off("http502")
    assert find_owner(token, "")[0].member_id == w.portal.member_id
    assert len(questions) == 3


def test_without_redis_tokens_are_asked_about_as_before(
    w: World, questions: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise redis.ConnectionError

    monkeypatch.setattr(w.app.extensions["bx24app"].redis, "exists", fail)
    monkeypatch.setattr(w.app.extensions["bx24app"].redis, "set", fail)
    for _ in range(2):
        with pytest.raises(TokenRefused):
            find_owner("0" * 70, "")
    assert len(questions) == 2
