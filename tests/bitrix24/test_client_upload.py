"""Uploads, streamed from disk to the portal's own address."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from bx24app.bitrix24 import transport
from bx24app.bitrix24.budget import Priority
from bx24app.bitrix24.errors import AnswerLost, NeedsAdmin, NotSent, PortalError, Refused
from tests.support.scripted_client import Rig, rig
from tests.support.scripted_server import ScriptedAnswer, refused


@pytest.fixture
def portal() -> Iterator[Rig]:
    with rig() as made:
        yield made


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    file = tmp_path / "file.mp3"
    file.write_bytes(b"\xff\xfb" + bytes(range(256)) * 3000)
    return file


def test_an_upload_is_one_part_with_the_name_that_was_given(portal: Rig, recording: Path) -> None:
    portal.server.answer_with({"result": {"FILE_ID": 9079}})
    url = portal.server.url + "rest/upload.json?auth=first&token=telephony%7Cabc"
    assert portal.client.upload_file(url, recording, 'a "b"\r\n.mp3') == {"FILE_ID": 9079}
    asked = portal.server.requests[0]
    assert asked.path == "/rest/upload.json?auth=first&token=telephony%7Cabc"
    kind, _, boundary = asked.headers["Content-Type"].partition("; boundary=")
    assert kind == "multipart/form-data"
    head, _, rest = asked.body.partition(b"\r\n\r\n")
    assert b'name="file"; filename="a b.mp3"' in head
    assert rest == recording.read_bytes() + f"\r\n--{boundary}--\r\n".encode()
    assert int(asked.headers["Content-Length"]) == len(asked.body)
    assert portal.budget.taken == [Priority.RECORD]


def test_an_upload_is_read_in_pieces(recording: Path) -> None:
    with recording.open("rb") as stream:
        body = transport.MultipartBody(stream, recording.stat().st_size, "x.mp3", "file")
        pieces = list(iter(lambda: body.read(65536), b""))
    assert sum(map(len, pieces)) == len(body)
    assert len(pieces) > 3
    assert max(map(len, pieces)) <= 256 * 1024


def test_an_upload_goes_nowhere_else(portal: Rig, recording: Path) -> None:
    with pytest.raises(Refused):
        portal.client.upload_file("https://elsewhere.example/rest/upload.json?auth=first", recording, "x.mp3")
    assert portal.server.requests == []


def test_an_upload_goes_to_the_portals_name_in_either_form(
    portal: Rig, recording: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve = socket.getaddrinfo
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda host, *more, **options: resolve("127.0.0.1", *more, **options)
    )
    port = portal.server.url.rstrip("/").rpartition(":")[2]
    portal.client.endpoint = f"http://xn--e1aarjeur.xn--p1ai:{port}/rest/"
    portal.server.answer_with({"result": {"FILE_ID": 9079}})
    url = f"http://телефон.рф:{port}/rest/upload.json?auth=first"
    assert portal.client.upload_file(url, recording, "x.mp3") == {"FILE_ID": 9079}


@pytest.mark.parametrize(
    ("says", "becomes"),
    [
        (refused("expired_token", status=401), NotSent),
        (ScriptedAnswer(302, b"", {"Location": "https://new.example/"}), NotSent),
        (refused("ACCESS_DENIED", "Link check failed", 403), Refused),
        (refused("ERROR_CORE", "Not enough free space on the Drive."), NeedsAdmin),
        (ScriptedAnswer(drop=True), AnswerLost),
        (ScriptedAnswer(502, b"<html>"), AnswerLost),
    ],
)
def test_what_an_upload_can_meet(
    portal: Rig, recording: Path, says: ScriptedAnswer, becomes: type[PortalError]
) -> None:
    portal.server.answer_with(says)
    with pytest.raises(becomes) as met:
        portal.client.upload_file(portal.server.url + "rest/upload.json?auth=first", recording, "x.mp3")
    assert type(met.value) is becomes
