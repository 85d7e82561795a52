"""Boxes at their first opening: names, protocols, certificates and cut-off servers, each in its own words."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from bx24app.bitrix24 import ssrf_guard
from bx24app.models import Portal, db
from tests.conftest import config_for
from tests.end_to_end.test_rules import MISSED, office, ring
from tests.support.scripted_server import scripted
from tests.support.servers import free_port
from tests.support.stack import World, world

NAME, SECOND = "box.bitrix24.ru", "second.box.test"
"""The sandbox's certificate holds the first."""


@pytest.fixture(autouse=True)
def _names_on_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    resolve = socket.getaddrinfo
    names = {NAME, SECOND}
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda host, *rest, **how: resolve("127.0.0.1" if host in names else host, *rest, **how)
    )


@pytest.fixture
def box(tmp_path: Path, valkey_url: str) -> Iterator[World]:
    with world(tmp_path, valkey_url, config_for, quiet_seconds=2) as made:
        yield made


@pytest.fixture
def secure_box(tmp_path: Path, valkey_url: str) -> Iterator[World]:
    with world(tmp_path, valkey_url, config_for, quiet_seconds=2, tls=True) as made:
        yield made


def _kind(page: requests.Response) -> str:
    found = re.search(r'data-kind="([^"]+)"', page.text)
    assert found, page.text
    return found.group(1)


def _ancestors(page: requests.Response) -> str:
    found = re.search(r"frame-ancestors ([^;]*)", page.headers["Content-Security-Policy"])
    assert found
    return found.group(1)


def _endpoints(box: World) -> list[str]:
    with box.app.app_context():
        endpoints = list(db.session.scalars(db.select(Portal.client_endpoint)))
        db.session.rollback()
    return endpoints


def _port(box: World) -> str:
    return box.portal.host.rpartition(":")[2]


def test_a_second_name_that_accepts_the_token_shows_the_app(box: World) -> None:
    port = _port(box)
    box.portal.registered_url, box.portal.host = f"http://127.0.0.1:{port}", f"{SECOND}:{port}"
    box.work()
    box.install()
    page = box.open()
    assert (page.status_code, _ancestors(page)) == (200, f"http://{SECOND}:{port}")
    assert _endpoints(box) == [f"http://127.0.0.1:{port}/rest/"], "REST stays at the registered address"
    claim = re.search(r'data-session="([^"]+)"', page.text)
    assert claim
    part = requests.get(f"{box.url}/frame/policy", headers={"X-Frame-Session": claim.group(1)}, timeout=20)
    assert (part.status_code, _ancestors(part)) == (200, f"http://{SECOND}:{port}")


@pytest.mark.parametrize(("lang", "says"), [("ru", "под другим именем"), ("en", "under a second name")])
def test_a_second_name_that_does_not_accept_it_is_named(box: World, lang: str, says: str) -> None:
    port = _port(box)
    with scripted() as other:
        other.answer_with({"result": {"ID": "999", "ADMIN": True}})
        box.portal.registered_url = f"http://127.0.0.1:{port}"
        box.portal.host = f"{SECOND}:{other.url.rstrip('/').rpartition(':')[2]}"
        box.portal.lang = lang
        page = box.open()
    assert (page.status_code, _kind(page)) == (403, "two_names")
    assert says in page.text
    assert f'data-testid="registered">http://127.0.0.1:{port}<' in page.text
    assert f'data-testid="opened">http://{box.portal.host}<' in page.text
    assert "OAuthService::register()" in page.text.replace("<wbr>", "")
    assert _endpoints(box) == []


def test_a_name_that_lies_gets_no_rights_and_no_requests(box: World) -> None:
    """An employee names a server of their own, which calls them an administrator."""
    box.work()
    box.install()
    port = _port(box)
    with scripted() as evil:
        evil.answer_with({"result": {"ID": "12", "ADMIN": True}})
        evil_host = evil.url.rstrip("/").partition("://")[2]
        box.portal.registered_url, box.portal.host = f"http://127.0.0.1:{port}", evil_host
        page = box.open(user_id=12)
        assert page.status_code == 200
        assert 'data-testid="tab-pbxs"' not in page.text, "no administrator"
        box.portal.host = f"127.0.0.1:{port}"
        ring(box, office(box), MISSED)
        assert [request.path for request in evil.requests] == ["/rest/profile"]
    assert _endpoints(box) == [f"http://127.0.0.1:{port}/rest/"]


def test_a_second_name_that_takes_the_token_for_another_user_is_refused(box: World) -> None:
    """The server of the second name answers, and not for the employee whose token it was sent."""
    box.work()
    box.install()
    registered = f"http://127.0.0.1:{_port(box)}"
    with scripted() as other:
        box.portal.registered_url, box.portal.host = registered, other.url.rstrip("/").partition("://")[2]
        other.answer_with({"result": {"ID": "13", "ADMIN": False}})
        for _ in range(2):
            page = box.open(user_id=12)
            assert (page.status_code, _kind(page)) == (403, "two_names")
        assert [request.path for request in other.requests] == ["/rest/profile"] * 2, "asked again: never remembered"
    assert _endpoints(box) == [f"{registered}/rest/"]


def test_a_registered_name_that_cannot_be_reached_is_named(box: World) -> None:
    box.portal.registered_url = f"http://127.0.0.1:{free_port()}"
    page = box.open()
    assert (page.status_code, _kind(page)) == (403, "two_names")
    assert f"{box.portal.registered_url}<" in page.text
    assert _endpoints(box) == [], "the name in the browser is not believed"


def test_a_box_with_a_certificate_of_its_own_authority_takes_calls(secure_box: World) -> None:
    secure_box.portal.limits.rate = 0
    secure_box.work()
    secure_box.install()
    assert secure_box.open().status_code == 200
    ring(secure_box, office(secure_box), MISSED)
    assert _endpoints(secure_box) == [f"https://{secure_box.portal.tls_host}/rest/"]


def test_a_certificate_that_is_not_trusted_is_told_apart(tmp_path: Path, valkey_url: str) -> None:
    with world(tmp_path, valkey_url, config_for, tls=True, ca_bundle=None) as made:
        page = made.open()
        assert (page.status_code, _kind(page)) == (503, "certificate")
        assert "BX24APP_CA_BUNDLE" in page.text
        assert _ancestors(page) == f"https://{made.portal.tls_host}"


def test_a_registration_by_http_is_asked_by_https(secure_box: World, monkeypatch: pytest.MonkeyPatch) -> None:
    port = int(secure_box.portal.tls_host.rpartition(":")[2])
    open_socket = ssrf_guard._open_socket

    def to_sandbox(connection: Any, addresses: Any) -> Any:
        connection.port = port if connection._dns_host == NAME else connection.port
        return open_socket(connection, addresses)

    monkeypatch.setattr(ssrf_guard, "_open_socket", to_sandbox)
    secure_box.portal.tls_name, secure_box.portal.registered_url = NAME, f"http://{NAME}:80"
    secure_box.work()
    secure_box.install()
    assert _endpoints(secure_box) == [f"https://{NAME}/rest/"]


def test_a_registration_by_http_without_https_is_explained(secure_box: World) -> None:
    secure_box.portal.registered_url = f"http://{secure_box.portal.tls_host}"
    page = secure_box.open()
    assert (page.status_code, _kind(page)) == (403, "plain_http")
    assert f'data-testid="registered">http://{secure_box.portal.tls_host}<' in page.text


def test_a_page_of_the_portal_without_https_is_explained(secure_box: World) -> None:
    secure_box.portal.secure = False
    secure_box.portal.host = secure_box.portal.tls_host
    page = secure_box.open()
    assert (page.status_code, _kind(page)) == (403, "plain_http")
    assert _ancestors(page) == f"http://{secure_box.portal.tls_host}", "the page can be read there"


def test_an_authorisation_server_that_we_do_not_reach_is_named(box: World) -> None:
    box.sandbox.oauth.switches.switch_on("http502")
    page = box.open()
    assert (page.status_code, _kind(page)) == (503, "auth_server")
    assert box.sandbox.oauth.host in page.text


def test_a_box_that_does_not_reach_it_says_so_and_loses_no_call(box: World) -> None:
    box.portal.limits.rate = 0
    box.work()
    box.install()
    hook = office(box)
    box.app.extensions["bx24app"].redis.flushall()
    box.sandbox.call(lambda: box.portal.switches.switch_on("cut_off"))
    page = box.open()
    assert (page.status_code, _kind(page)) == (503, "cut_off")
    assert box.sandbox.oauth.host in page.text
    box.sandbox.call(box.portal.switches.switch_off)
    box.sandbox.call(lambda: box.portal.switches.switch_on("cut_off", times=2))
    ring(box, hook, MISSED)
    assert box.portal_row()["state"] == "active"
