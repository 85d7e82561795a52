"""Openings of nobody: limited by address, by refusals and over all strangers; the page tries again by itself."""

from __future__ import annotations

import re

import pytest
from flask import Flask
from flask.testing import FlaskClient

from bx24app.portals import frame_auth
from bx24app.portals.frame_auth import ForgedRequest, FrameOpening
from bx24app.web.base import retry_form, visit_limits
from tests.web.conftest import client, portal, site

__all__ = ["client", "portal", "site"]
POST = {"AUTH_ID": "0" * 70, "member_id": "m" * 32}


def open_from(client: FlaskClient, address: str, path: str = "/", **query: str) -> int:
    environ = {"REMOTE_ADDR": address}
    return client.post(path, data=POST, query_string=query, environ_base=environ).status_code


@pytest.fixture
def forged(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Each opening is forged. The tokens that were judged."""
    tokens: list[str] = []

    def refuse(post: object, **_: object) -> None:
        tokens.append("judged")
        raise ForgedRequest("forged")

    for name in ("open_frame", "open_placement", "take_over_grant"):
        monkeypatch.setattr(frame_auth, name, refuse)
    return tokens


def test_an_address_of_refused_openings_is_not_believed_for_a_while(
    client: FlaskClient, forged: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(visit_limits, "REFUSALS_PER_ADDRESS", 5)
    statuses = [open_from(client, "192.0.2.1") for _ in range(16)]
    assert 429 in statuses
    assert statuses.count(403) == len(forged) <= 10, "twice the limit, if a minute ended meanwhile"
    for path in ("/install", "/frame/renew", "/frame/takeover", "/place/call", "/place/lead", "/place/telephony"):
        assert open_from(client, "192.0.2.1", path) == 429, path
    assert open_from(client, "192.0.2.2") == 403
    assert client.get("/healthz").status_code == 200


def test_an_address_may_not_send_any_number_of_openings(
    client: FlaskClient, forged: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(visit_limits, "VISITS_PER_ADDRESS", 20)
    paths = ("/", "/bitrix24/events", "/place/lead", "/install")
    statuses = [open_from(client, "192.0.2.1", paths[number % 4]) for number in range(60)]
    assert 20 <= statuses.count(429) <= 40
    answer = client.post("/bitrix24/events", environ_base={"REMOTE_ADDR": "192.0.2.1"})
    assert (answer.status_code, answer.mimetype) == (429, "text/plain")
    assert int(answer.headers["Retry-After"]) > 0


def test_all_strangers_share_a_limit_and_proven_addresses_do_not(
    site: Flask, client: FlaskClient, portal: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(visit_limits, "VISITS_OF_STRANGERS", 20)
    opening = FrameOpening(portal, "m" * 32, "", "https://portal.example.ru/", 7, False, "en", "DEFAULT", {}, False)
    monkeypatch.setattr(frame_auth, "open_frame", lambda *_, **__: opening)
    assert open_from(client, "192.0.2.1") == 200

    def refuse(*_: object, **__: object) -> None:
        raise ForgedRequest("forged")

    monkeypatch.setattr(frame_auth, "open_frame", refuse)
    strangers = [open_from(client, f"198.51.100.{number}") for number in range(60)]
    assert 20 <= strangers.count(429) <= 41
    assert open_from(client, "192.0.2.1") == 403, "it is judged, not limited"


def test_the_page_tries_again_by_itself_in_the_readers_language(
    client: FlaskClient, forged: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(visit_limits, "VISITS_PER_ADDRESS", 0)
    query = {"DOMAIN": "portal.example.ru", "LANG": "ru", "PROTOCOL": "1"}
    data = {**POST, "PLACEMENT_OPTIONS": '{"ID": "<1>"}'}
    answer = client.post("/place/lead", data=data, query_string=query)
    assert (answer.status_code, answer.headers["X-Error"]) == (429, "busy")
    assert "Эта попробует ещё раз сама" in answer.text
    assert "frame-ancestors https://portal.example.ru" in answer.headers["Content-Security-Policy"]
    assert 'action="/place/lead?DOMAIN=portal.example.ru&amp;LANG=ru&amp;PROTOCOL=1"' in answer.text
    fields = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', answer.text))
    assert fields == {**POST, "PLACEMENT_OPTIONS": "{&#34;ID&#34;: &#34;&lt;1&gt;&#34;}", retry_form.FIELD: "1"}
    assert 'data-seconds="3"' in answer.text
    last = client.post("/", data={**POST, retry_form.FIELD: str(retry_form.MAX_RETRIES)})
    assert 'id="again"' in last.text
    assert "data-seconds" not in last.text, "after many tries it waits for a press"


def test_a_post_too_large_to_be_sent_again_is_not_put_into_the_page(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(visit_limits, "VISITS_PER_ADDRESS", 0)
    answer = client.post("/", data={**POST, **{f"field{number}": "x" for number in range(200)}})
    assert (answer.status_code, 'id="again"' in answer.text) == (429, False)
