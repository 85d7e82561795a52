"""What is decided from the head of a request, by the front and by the views, before a body is read."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import create_environ, run_wsgi_app

from bx24app import create_app
from bx24app.calls.inbox import receiver
from bx24app.infra.http_front.admission import (
    HEALTH,
    HOOKS,
    LARGE_BODY_BYTES,
    PAGES,
    SMALL_BODY_BYTES,
    RequestHead,
    Terms,
    admission_of,
)
from bx24app.models import db
from bx24app.web.webhooks.admission import WebAdmission
from tests.conftest import config_for
from tests.infra.http_front.serving import post, send, served, status_of
from tests.web.conftest import HOOK, claim
from tests.web.webhooks.test_mango_hooks import CALL, rows, signed


def head(method: str, path: str, peer: str = "192.0.2.1", query: str = "", **headers: str) -> RequestHead:
    return RequestHead(method, path, query, [(name.replace("_", "-"), value) for name, value in headers.items()], peer)


def terms(site: Flask, asked: RequestHead) -> Terms:
    found = WebAdmission(site).choose_terms(asked)
    assert isinstance(found, Terms)
    return found


class Untouched(io.RawIOBase):
    """A body that nobody may read."""

    def readable(self) -> bool:
        return True

    def readinto(self, place: Any) -> int:
        raise AssertionError("the body was read")


def test_groups_and_bounds(site: Flask, portal: int) -> None:
    assert terms(site, head("POST", "/mango/x/events/call")) == Terms(HOOKS, "192.0.2.1", receiver.LIMIT_BYTES, True)
    assert not terms(site, head("GET", "/mango/x")).must_judge
    assert terms(site, head("GET", "/mangoes")).group == PAGES
    assert terms(site, head("GET", "/readyz")).group == HEALTH
    for path in ("/", "/install", "/place/lead", "/bitrix24/events", "/frame/rules"):
        assert terms(site, head("POST", path)).max_bytes == SMALL_BODY_BYTES, path
    session = claim(site, portal)["X-Frame-Session"]
    assert terms(site, head("POST", "/frame/rules", x_frame_session=session)).max_bytes == LARGE_BODY_BYTES
    assert terms(site, head("POST", "/frame/rules", x_frame_session=session[:-1] + "?")).max_bytes == SMALL_BODY_BYTES
    assert terms(site, head("POST", "/place/lead", x_frame_session=session)).max_bytes == SMALL_BODY_BYTES
    assert WebAdmission(site).choose_terms(head("POST", "/", content_encoding="gzip")) == 415
    assert admission_of(site).choose_terms(head("POST", "/", content_encoding="gzip")) == 415, "the server finds it"


def test_the_sender_behind_proxies(tmp_path: Path, valkey_url: str) -> None:
    (tmp_path / "var").mkdir()
    site = create_app(config_for(tmp_path, valkey_url, trusted_proxies=2))
    with_two = head("POST", "/mango/x", "127.0.0.1", x_forwarded_for="6.6.6.6, 192.0.2.9, 10.0.0.1")
    assert terms(site, with_two).address == "192.0.2.9"
    assert terms(site, head("POST", "/", "127.0.0.1", x_forwarded_for="192.0.2.9")).address == "127.0.0.1"


def test_a_known_hook_is_admitted_without_asking(site: Flask, portal: int) -> None:
    admission = WebAdmission(site)
    for asked in (head("POST", f"/mango/{HOOK}/events/call"), head("POST", "/mango", query=f"pbx={HOOK}/events/call")):
        its_terms = terms(site, asked)
        assert admission.judge(asked, its_terms) is None
        assert admission.judge_at_once(asked, its_terms)
    stranger = head("POST", "/mango/nobody/events/call")
    assert admission.judge(stranger, terms(site, stranger)) == 404
    assert not admission.judge_at_once(stranger, terms(site, stranger))


def test_each_request_counts_once(tmp_path: Path, valkey_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "var").mkdir()
    site = create_app(config_for(tmp_path, valkey_url, hook_rate=0, address_rate=30))
    with site.app_context():
        site.extensions["bx24app"].redis.flushall()
        db.create_all()
    asked = head("POST", "/mango/nobody")
    statuses = [WebAdmission(site).judge(asked, terms(site, asked)) for _ in range(302)]
    assert statuses == [404] * 300 + [429] * 2
    with site.app_context():
        db.engine.dispose()


@pytest.mark.parametrize(("key", "status"), [("nobody", 404), (HOOK, 415)])
def test_the_views_judge_before_the_body_too(site: Flask, portal: int, key: str, status: int) -> None:
    environ = create_environ(f"/mango/{key}/events/call", method="POST", content_type="application/json")
    environ |= {"wsgi.input": Untouched(), "CONTENT_LENGTH": "1000"}
    if status == 415:
        environ["HTTP_CONTENT_ENCODING"] = "gzip"
    _, found, _ = run_wsgi_app(site.wsgi_app, environ)
    assert found.startswith(str(status))


def test_a_compressed_body_is_refused_and_not_dropped(site: Flask, client: FlaskClient, portal: int) -> None:
    answer = client.post(f"/mango/{HOOK}/events/call", data=signed(CALL), headers={"Content-Encoding": "gzip"})
    assert answer.status_code == 415
    assert client.post("/", data={"a": "b"}, headers={"Content-Encoding": "gzip"}).status_code == 415
    answer = client.post(f"/mango/{HOOK}/events/call", data=signed(CALL), headers={"Content-Encoding": "identity"})
    assert answer.status_code == 200
    assert rows(site) == [("events/call", "new")]


def test_the_program_behind_its_front(site: Flask, portal: int) -> None:
    with site.app_context():
        db.engine.dispose()
    with served(lambda: site) as port:
        assert status_of(send(port, post("/mango/nobody/events/call", 1000))) == 404, "and no body was sent"
        assert status_of(send(port, post(f"/mango/{HOOK}/events/call", 300_000))) == 413
        assert status_of(send(port, post("/", 70_000))) == 413
        body = "&".join(f"{name}={value}" for name, value in {"vpbx_api_key": "wrong", "json": "{}"}.items()).encode()
        wire = post(f"/mango/{HOOK}/events/call", len(body), body, "Connection: close")
        assert status_of(send(port, wire)) == 403, "the view has read it"
