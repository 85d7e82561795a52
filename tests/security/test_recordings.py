"""A recording's file: only from stated hosts, only from public addresses at every step, only sound."""

from __future__ import annotations

import contextlib
import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import requests
from flask import Flask

from bx24app import create_app
from bx24app.bitrix24.ssrf_guard import AddressPolicy
from bx24app.calls.recordings import download
from bx24app.calls.recordings.attempts import Attempt
from bx24app.calls.recordings.outcomes import FailedTry, Lost, Postponed
from bx24app.infra.runtime import runtime
from bx24app.mango.audio import is_audio
from bx24app.mango.errors import HostNotAllowed, MangoError
from bx24app.models.problem_codes import RecordingProblem
from tests.conftest import config_for


@pytest.mark.parametrize(
    "first",
    [
        b"ID3\x04",
        b"\xff\xfb\x90",
        b"RIFF\0\0\0\0WAVE",
        b"OggS",
        b"fLaC",
        b"#!AMR\n",
        b"\0\0\0\x20ftypM4A",
        b"\0" * 9,
        b"",
    ],
)
def test_sound_is_taken(first: bytes) -> None:
    assert is_audio(first)


@pytest.mark.parametrize(
    "first",
    [
        b"<!doctype html>",
        b"\xef\xbb\xbf<html>",
        b"\r\n <svg",
        b'{"error": 1}',
        b"%PDF-1.7",
        b"PK\x03\x04",
        b"MZ\x90",
        b"#!/bin/sh",
        b"\x7fELF",
        b"\x89PNG",
    ],
)
def test_anything_else_is_not(first: bytes) -> None:
    assert not is_audio(first)


class Download:
    """A file as the store sends it."""

    def __init__(self, *chunks: bytes) -> None:
        self._chunks = chunks

    def __enter__(self) -> Download:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def iter_chunks(self, size: int, seconds: float) -> Any:
        return iter(self._chunks)


def test_what_is_no_sound_is_not_kept_and_asked_for_again(
    app: Flask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "open_stream", lambda *_: Download(b"<html>", b"sorry"))
    failure = download.fetch_to_spool(download.RecordingSource("r", None, "key", "salt"), tmp_path / "1.mp3")
    assert failure == FailedTry("what came is no sound")
    assert list(tmp_path.glob("1.*")) == []
    monkeypatch.setattr(download, "open_stream", lambda *_: Download())
    failure = download.fetch_to_spool(download.RecordingSource("r", None, "key", "salt"), tmp_path / "1.mp3")
    assert failure == FailedTry("Mango gave an empty file")
    assert list(tmp_path.glob("1.*")) == []
    monkeypatch.setattr(download, "open_stream", lambda *_: Download(b"ID3", b"<html>"))
    download.fetch_to_spool(download.RecordingSource("r", None, "key", "salt"), tmp_path / "1.mp3")
    assert (tmp_path / "1.mp3").read_bytes() == b"ID3<html>"


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("app.mango-office.ru", True),
        ("files.mango-office.ru", True),
        ("s3.store.mango-office.ru", True),
        ("mango-office.ru", False),
        ("evilmango-office.ru", False),
        ("mango-office.ru.example.org", False),
    ],
)
def test_a_host_of_mango_is_allowed_and_no_other(
    app: Flask, monkeypatch: pytest.MonkeyPatch, host: str, allowed: bool
) -> None:
    assert runtime().config.recording_hosts == ("*.mango-office.ru",)
    monkeypatch.setattr(AddressPolicy, "check_url", lambda _self, _url: None)
    with contextlib.nullcontext() if allowed else pytest.raises(HostNotAllowed):
        download.check_url(f"https://{host}/recording.mp3")


def test_a_redirect_to_an_unlisted_host_waits_and_an_address_of_a_notification_does_not(
    app: Flask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise HostNotAllowed("not in BX24APP_RECORDING_HOSTS")

    monkeypatch.setattr(download, "open_stream", refuse)
    by_id = download.fetch_to_spool(download.RecordingSource("r", None, "key", "salt"), tmp_path / "1.mp3")
    assert by_id == Postponed("not in BX24APP_RECORDING_HOSTS", 900.0, RecordingProblem.HOST)
    told = download.RecordingSource("r", "https://elsewhere.example/r.mp3", "key", "salt")
    assert download.fetch_to_spool(told, tmp_path / "1.mp3") == Lost("not in BX24APP_RECORDING_HOSTS")


@pytest.mark.parametrize(
    ("first", "ending"), [(b"ID3", "mp3"), (b"RIFF\0\0\0\0WAVE", "wav"), (b"OggS", "ogg"), (b"\0\0", "mp3")]
)
def test_the_name_in_the_portal_ends_as_the_bytes_begin(tmp_path: Path, first: bytes, ending: str) -> None:
    (tmp_path / "1.mp3").write_bytes(first + bytes(20))
    source, now = download.RecordingSource("r", None, None, None), datetime(2026, 1, 1, tzinfo=UTC)
    name = "20260101-moscow-79160000001-ab.mp3"
    attempt = Attempt(1, 1, source, "call", False, 0, name, None, now, tmp_path / "1.mp3")
    assert attempt.portal_file_name() == f"20260101-moscow-79160000001-ab.{ending}"


INWARD = (
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "127.0.0.1",
    "169.254.169.254",
    "0.0.0.0",
    "100.64.0.1",
    "224.0.0.1",
    "255.255.255.255",
    "::1",
    "::",
    "fe80::1",
    "fc00::1",
    "::ffff:10.0.0.1",
    "::ffff:127.0.0.1",
    "64:ff9b::10.0.0.1",
    "64:ff9b::7f00:1",
    "2002:0a00:0001::1",
    "2002:7f00:0001::",
    "2001:0:0:0:0:0:f5ff:fffe",
    "ff02::1",
    "::127.0.0.1",
)


@pytest.mark.parametrize("address", INWARD)
def test_an_allowed_name_that_leads_inward_is_not_connected_to(
    tmp_path: Path, valkey_url: str, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    """The name is one of BX24APP_RECORDING_HOSTS, but its address is inside: nothing is connected, by the very session
    that Mango uses.
    """




    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    asked: list[str] = []

    def resolve(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        asked.append(host)
        return [(family, socket.SOCK_STREAM, 6, "", (address, port))]

    def connected(*_: Any, **__: Any) -> None:
        raise AssertionError("connected")

    site = create_app(config_for(tmp_path, valkey_url).model_copy(update={"allow_loopback": False}))
    with site.app_context():
        monkeypatch.setattr(socket, "getaddrinfo", resolve)
        monkeypatch.setattr(socket.socket, "connect", connected)
        with pytest.raises(requests.exceptions.RequestException) as met:
            runtime().http_session.get("https://files.mango-office.ru/x.mp3", timeout=5)
    assert "not a public address" in str(met.value)
    assert asked == ["files.mango-office.ru"], "asked once"


def test_hosts_that_are_not_stated_are_refused(app: Flask) -> None:
    for url in (
        "https://evil.example/x.mp3",
        "https://files.mango-office.ru.evil.example/",
        "https://files.mango-office.ru@evil.example/",
        "file:///etc/passwd",
        "ftp://files.mango-office.ru/",
    ):
        with pytest.raises(MangoError):
            download.check_url(url)
