"""A portal whose name is Cyrillic, from the installation to a recording, in whichever form the other side writes it."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from bx24app.models import Portal, db
from tests.conftest import config_for
from tests.end_to_end.test_rules import ANSWERED, office, ring
from tests.support.stack import World, world

NAME, ASCII = "телефон.рф", "xn--e1aarjeur.xn--p1ai"
MOVED, MOVED_ASCII = "связь.рф", "xn--b1ak2a9bn.xn--p1ai"
FORMS = {"as browsers name it": (ASCII, NAME), "as people name it": (NAME, ASCII), "always Cyrillic": (NAME, NAME)}
"""The portal's name in its own addresses and openings, and in the answers of the authorisation server."""


@pytest.fixture(params=FORMS.values(), ids=FORMS.keys())
def box(
    request: pytest.FixtureRequest, tmp_path: Path, valkey_url: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[World]:
    resolve = socket.getaddrinfo

    def on_loopback(host: Any, *args: Any, **options: Any) -> Any:
        assert host not in (NAME, MOVED), "DNS knows names in ASCII only"
        return resolve("127.0.0.1" if host in (ASCII, MOVED_ASCII) else host, *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", on_loopback)
    own, registered = request.param
    with world(tmp_path, valkey_url, config_for, quiet_seconds=2) as made:
        port = made.portal.host.rpartition(":")[2]
        made.portal.host, made.portal.registered_url = f"{own}:{port}", f"http://{registered}:{port}"
        made.portal.limits.rate = 0
        made.work()
        made.install()
        yield made
        assert not made.portal.violations, made.portal.violations


def _ancestors(answer: requests.Response) -> str:
    found = re.search(r"frame-ancestors ([^;]*)", answer.headers["Content-Security-Policy"])
    assert found
    return found.group(1)


def _endpoint(box: World) -> str:
    with box.app.app_context():
        endpoint: str = db.session.scalars(db.select(Portal.client_endpoint)).one()
        db.session.rollback()
    return endpoint


def test_a_portal_with_a_cyrillic_name_has_pages_calls_and_recordings(box: World) -> None:
    port = box.portal.host.rpartition(":")[2]
    page = box.open()
    assert page.status_code == 200
    assert _ancestors(page) == f"http://{ASCII}:{port}"
    told = ring(box, office(box), ANSWERED)
    assert {state for _, state, _ in told.commands()} == {"done"}
    assert [row for row in box.portal.statistics.values() if row.file_id]
    assert _endpoint(box) == f"http://{ASCII}:{port}/rest/"
    refused = requests.post(f"{box.url}/?DOMAIN={NAME}&PROTOCOL=1", data={"AUTH_ID": "0" * 70}, timeout=20)
    assert (refused.status_code, _ancestors(refused)) == (403, f"https://{ASCII}")


def test_it_moves_to_another_cyrillic_name(box: World) -> None:
    hook = office(box)
    port = box.sandbox.move_portal(box.portal).rpartition(":")[2]
    box.portal.host, box.portal.registered_url = f"{MOVED}:{port}", ""
    told = ring(box, hook, ANSWERED)
    assert {state for _, state, _ in told.commands()} == {"done"}
    assert _endpoint(box) == f"http://{MOVED_ASCII}:{port}/rest/"
