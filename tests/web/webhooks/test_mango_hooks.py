"""`/mango`: the answer table of the contract's section 5, row by row, and every form of the address."""

from __future__ import annotations

import hashlib
import io
import json
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.exc import OperationalError
from werkzeug.test import create_environ, run_wsgi_app

from bx24app.calls.inbox import receiver
from bx24app.models import Notification, Pbx, db
from bx24app.web.webhooks.mango_hooks import split_address
from tests.web.conftest import HOOK

CALL = {
    "entry_id": "entry-1",
    "call_id": "leg-1",
    "timestamp": 1705308600,
    "seq": 1,
    "call_state": "Appeared",
    "location": "ivr",
    "from": {"number": "79161234567"},
    "to": {"number": "74951234567", "line_number": "74951234567"},
}


def signed(body: dict[str, Any], key: str = "key", salt: str = "salt") -> dict[str, str]:
    """The form that Mango posts."""
    text = json.dumps(body)
    return {
        "vpbx_api_key": key,
        "sign": hashlib.sha256(f"{key}{text}{salt}".encode()).hexdigest(),
        "json": text,
    }


def rows(site: Flask) -> list[tuple[str, str]]:
    with site.app_context():
        return [(row.name, row.state) for row in db.session.query(Notification).order_by(Notification.id)]


@pytest.mark.parametrize(
    ("path", "query"),
    [
        (f"{HOOK}/events/call", ""),
        (f"{HOOK}//events/call/", ""),
        (f"/{HOOK}/events/call", ""),
        ("events/call", f"?pbx={HOOK}"),
        ("", f"?pbx={HOOK}/events/call"),
        ("", f"?pbx={HOOK}%2Fevents%2Fcall"),
    ],
)
def test_every_form_of_the_address_is_the_same_pbx(
    site: Flask, client: FlaskClient, portal: int, path: str, query: str
) -> None:
    said = client.post(f"/mango/{path}{query}" if path else f"/mango{query}", data=signed(CALL))
    assert said.status_code == 200
    assert rows(site) == [("events/call", "new")]


@pytest.mark.parametrize(
    "where",
    [
        "/{key}/call_start",
        "/{key}/events/call_start",
        "//{key}//call_start/",
        "/call_start?pbx={key}",
        "/events/call_start?pbx={key}",
        "?pbx={key}/call_start",
        "?pbx={key}/events/call_start",
        "?pbx={key}%2Fcall_start",
        "/{key}?event=call_start",
        "?pbx={key}&event=call_start",
        "?event=call_start&pbx={key}",
        "?event=call_start&pbx={key}/events",
    ],
)
def test_every_form_of_the_address_in_the_short_dialect(
    site: Flask, client: FlaskClient, portal: int, where: str
) -> None:
    with site.app_context():
        db.session.query(Pbx).update({"dialects": "events"})
        db.session.commit()
    body = {"uuid": "u1", "start_time": 1705308600, "from": {"number": "+79161234567"}, "to": {"extension": "101"}}
    assert client.post("/mango" + where.format(key=HOOK), json=body).status_code == 200
    assert rows(site) == [("call_start", "new")]


@pytest.mark.parametrize("where", ["/{key}/ping", "/ping?pbx={key}", "?pbx={key}/ping", "?pbx={key}", "/{key}"])
def test_mango_may_check_every_form(site: Flask, client: FlaskClient, portal: int, where: str) -> None:
    url = "/mango" + where.format(key=HOOK)
    assert client.post(url, data=signed({})).status_code == 200
    assert client.post(url, data={}).status_code == 200
    assert rows(site) == []


@pytest.mark.parametrize(
    ("path", "query", "found"),
    [
        ("", {}, ("", "")),
        ("K", {}, ("K", "")),
        ("K/ping", {}, ("K", "ping")),
        ("events/call", {"pbx": "K"}, ("K", "events/call")),
        ("events/call", {"pbx": ""}, ("", "")),
        ("K/events/call", {"pbx": "L"}, ("L", "K/events/call")),
        ("", {"pbx": "K/"}, ("K", "")),
        ("", {"pbx": "K/events/call"}, ("K", "events/call")),
    ],
)
def test_a_path_segment_is_a_key_only_without_pbx(path: str, query: dict[str, str], found: tuple[str, str]) -> None:
    assert split_address(path, query) == found


def test_good_and_new_then_again(site: Flask, client: FlaskClient, portal: int) -> None:
    for _ in range(2):
        assert client.post(f"/mango/{HOOK}/events/call", data=signed(CALL)).status_code == 200
    assert len(rows(site)) == 1


@pytest.mark.parametrize(
    ("suffix", "form"),
    [("/ping", {}), ("", {}), ("/ping", {"json": "{}"}), ("/events/sms", signed({"a": 1})), ("/events/call", {})],
)
def test_ping_empty_and_unused_are_200_and_not_stored(
    site: Flask, client: FlaskClient, portal: int, suffix: str, form: dict[str, str]
) -> None:
    assert client.post(f"/mango/{HOOK}{suffix}", data=form).status_code == 200
    assert rows(site) == []


@pytest.mark.parametrize("path", ["/mango", "/mango/", "/mango/unknown/events/call", f"/mango/x?pbx={HOOK[:-1]}"])
def test_an_unknown_hook_key_is_404(client: FlaskClient, portal: int, path: str) -> None:
    assert client.post(path, data=signed(CALL)).status_code == 404
    assert client.get(path).status_code == 404


def test_a_wrong_signature_is_403_counted_and_not_stored(site: Flask, client: FlaskClient, portal: int) -> None:
    for form in (signed(CALL, key="other"), signed(CALL, salt="other"), signed(CALL) | {"json": "{}"}):
        assert client.post(f"/mango/{HOOK}/events/call", data=form).status_code == 403
    assert rows(site) == []
    with site.app_context():
        assert db.session.query(Pbx.refused_count).scalar() == 3
    assert client.post(f"/mango/{HOOK}/events/call", data=signed(CALL)).status_code == 200
    with site.app_context():
        assert db.session.query(Pbx.refused_count).scalar() == 0


def test_the_unsigned_dialect_has_to_be_enabled(site: Flask, client: FlaskClient, portal: int) -> None:
    body = {"uuid": "u1", "start_time": 1705308600, "from": {"number": "+79161234567"}, "to": {"extension": "101"}}
    assert client.post(f"/mango/{HOOK}/call_start", json=body).status_code == 403
    with site.app_context():
        db.session.query(Pbx).update({"dialects": "vpbx,events"})
        db.session.commit()
    for path in (f"{HOOK}/call_start", f"{HOOK}/events/call_start", f"{HOOK}?event=call_start"):
        assert client.post(f"/mango/{path}", json=body).status_code == 200
    assert rows(site) == [("call_start", "new")]
    assert client.post(f"/mango?pbx={HOOK}", json=body | {"event": "call_start"}).status_code == 200


@pytest.mark.parametrize("text", ["no json", "[]", '{"entry_id": 5', "{}"])
def test_not_json_or_a_wrong_shape_is_200_and_stored_as_rejected(
    site: Flask, client: FlaskClient, portal: int, text: str
) -> None:
    form = {
        "vpbx_api_key": "key",
        "sign": hashlib.sha256(f"key{text}salt".encode()).hexdigest(),
        "json": text,
    }
    assert client.post(f"/mango/{HOOK}/events/call", data=form).status_code == 200
    assert rows(site) == [("events/call", "rejected")]


def test_larger_than_256_kib_is_413(site: Flask, client: FlaskClient, portal: int) -> None:
    body = b"json=" + b"x" * (receiver.LIMIT_BYTES - 5)
    kind = "application/x-www-form-urlencoded"
    assert client.post(f"/mango/{HOOK}/events/call", data=body, content_type=kind).status_code == 403
    assert client.post(f"/mango/{HOOK}/events/call", data=body + b"x", content_type=kind).status_code == 413
    assert client.post("/mango/unknown", data=body + b"x", content_type=kind).status_code == 413, "size comes first"
    assert rows(site) == []


def test_a_body_without_a_length_is_cut_off_too(site: Flask, portal: int) -> None:
    class Endless(io.RawIOBase):
        taken = 0

        def readable(self) -> bool:
            return True

        def readinto(self, place: Any) -> int:
            self.taken += len(place)
            assert self.taken < 4 * receiver.LIMIT_BYTES
            return len(place)

    environ = create_environ(f"/mango/{HOOK}/events/call", method="POST", content_type="application/json")
    environ |= {"wsgi.input": Endless(), "wsgi.input_terminated": True}
    environ.pop("CONTENT_LENGTH", None)
    assert run_wsgi_app(site, environ)[1].startswith("413")


def test_a_database_that_is_being_restarted_is_waited_for(
    client: FlaskClient, portal: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mango repeats nothing: whoever waits a moment loses nothing."""
    tries: list[int] = []
    still = receiver.receive

    def twice(*said: Any) -> int:
        tries.append(1)
        if len(tries) < 3:
            raise OperationalError("insert", {}, Exception("the server is starting up"))
        return still(*said)

    monkeypatch.setattr(receiver, "receive", twice)
    assert client.post(f"/mango/{HOOK}/ping").status_code == 200
    assert len(tries) == 3


def test_a_silent_database_is_503_with_retry_after(
    client: FlaskClient, portal: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dead(*_: Any) -> None:
        raise OperationalError("select", {}, Exception("no connection"))

    monkeypatch.setattr(receiver, "find_hook", dead)
    for said in (client.post(f"/mango/{HOOK}/events/call", data=signed(CALL)), client.get(f"/mango/{HOOK}")):
        assert said.status_code == 503
        assert int(said.headers["Retry-After"]) > 0


def test_multipart_is_a_form_as_well(site: Flask, client: FlaskClient, portal: int) -> None:
    said = client.post(f"/mango/{HOOK}/events/call", data=signed(CALL), content_type="multipart/form-data")
    assert said.status_code == 200
    assert rows(site) == [("events/call", "new")]


def test_a_browser_is_told_what_the_address_is_for(client: FlaskClient, portal: int) -> None:
    said = client.get(f"/mango/{HOOK}/events/call")
    assert said.status_code == 200
    assert said.mimetype == "text/plain"
    assert "Mango" in said.text
    for secret in (HOOK, "portal.example.ru", "moscow", "key,"):
        assert secret not in said.text
