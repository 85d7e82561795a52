"""What no well-behaved counterpart does: a server that hangs, breaks off, drips, lies about lengths, leads elsewhere.

A scripted server on a raw socket; everything that a PBX does properly is tested against the sandbox in `test_client`.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from bx24app.mango import answer_size, statistics_legs
from bx24app.mango.answer_size import COMMAND_BOUNDS, LIST_BOUNDS
from bx24app.mango.client import MangoClient
from bx24app.mango.errors import (
    AddressRefused,
    AnswerLost,
    MangoError,
    NotPermitted,
    RecordingNotReady,
    RequestRefused,
    ResourceNotFound,
    TemporaryFailure,
    Unreachable,
    WrongKey,
)
from bx24app.mango.notification import MalformedNotification
from bx24app.mango.statistics_legs import csv_to_entries
from bx24app.mango.transport import new_session

HANG, CLOSE, GREET, DRIP = "hang", "close", "greet", "drip"


class Scripted:
    """Answers the n-th request with the n-th script: bytes, or `HANG`, or `CLOSE`; the last one again and again.
    `GREET`: speaks first. `DRIP`: a byte now and then.
    """

    def __init__(self) -> None:
        self.scripts: list[bytes | str] = []
        self.requests: list[bytes] = []
        self.dripped = 0
        self._over = threading.Event()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._threads: list[threading.Thread] = []
        self._accepting = threading.Thread(target=self._accept)
        self._accepting.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}/"

    def _accept(self) -> None:
        while not self._over.is_set():
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(connection,))
            thread.start()
            self._threads.append(thread)

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            connection.settimeout(10)
            if self.scripts == [GREET]:
                connection.sendall(b"220 this is another protocol\r\n")
                return
            request = self._read(connection)
            if not request:
                return
            self.requests.append(request)
            script = self.scripts[min(len(self.requests), len(self.scripts)) - 1]
            if script == HANG:
                self._over.wait(10)
            elif script == DRIP:
                self._drip(connection)
            elif isinstance(script, bytes):
                connection.sendall(script)

    def _drip(self, connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: audio/mpeg\r\nContent-Length: 500\r\n\r\n")
        try:
            while self.dripped < 500 and not self._over.wait(0.02):
                connection.sendall(b" ")
                self.dripped += 1
        except OSError:
            return  # whoever asked has gone

    @staticmethod
    def _read(connection: socket.socket) -> bytes:
        data = b""
        while b"\r\n\r\n" not in data:
            part = connection.recv(65536)
            if not part:
                return b""
            data += part
        head, _, rest = data.partition(b"\r\n\r\n")
        length = next(
            (int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0
        )
        while len(rest) < length:
            rest += connection.recv(65536)
        return head + b"\r\n\r\n" + rest

    def close(self) -> None:
        self._over.set()
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for thread in [self._accepting, *self._threads]:
            thread.join()


@pytest.fixture
def server() -> Iterator[Scripted]:
    scripted = Scripted()
    yield scripted
    scripted.close()


@pytest.fixture
def mango(server: Scripted) -> Iterator[MangoClient]:
    with new_session() as session:
        yield MangoClient(server.url + "vpbx", "the-key", "the-salt", session, timeout=(2, 0.4))


def answer(status: str = "200 OK", body: bytes = b"{}", **headers: Any) -> bytes:
    said = {"Content-Type": "application/json", "Content-Length": len(body), "Connection": "close"}
    said |= {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in said.items())
    return f"HTTP/1.1 {status}\r\n{head}\r\n".encode() + body


def audio(body: bytes, **headers: Any) -> bytes:
    return answer(body=body, **{"Content_Type": "audio/mpeg"} | headers)


def anywhere(url: str) -> None:
    assert url.startswith("http://127.0.0.1:")


def call(mango: MangoClient) -> None:
    mango.start_callback("c1", "101", "79160000001")


# A command is sent once; what is not known is called not known.


@pytest.mark.parametrize(
    "script",
    [
        HANG,
        CLOSE,
        answer("500 Internal Server Error", b"oops"),
        answer("502 Bad Gateway", b"<html>"),
        answer(body=b"<html>welcome</html>"),
        answer(body=b'{"result":1000}', Content_Length=400),
        answer(body=b'{"result":5011}'),
    ],
)
def test_a_command_without_a_clear_answer_is_lost_and_not_repeated(
    server: Scripted, mango: MangoClient, script: bytes | str
) -> None:
    server.scripts = [script]
    with pytest.raises(AnswerLost):
        call(mango)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("script", "kind", "code"),
    [
        (answer("503 Service Unavailable"), TemporaryFailure, 503),
        (
            answer("429 Too Many Requests", b'{"name":"Service Unavailable","code":0,"status":429}'),
            TemporaryFailure,
            429,
        ),
        (answer(body=b'{"result":5008}'), TemporaryFailure, 5008),
        (answer(body=b'{"result":5003}'), RequestRefused, 5003),
        (answer(body=b'{"result":"3100"}'), RequestRefused, 3100),
        (answer("420 Policy", b'{"code":3104}'), RequestRefused, 3104),
        (answer("401 Unauthorized"), AddressRefused, 401),
        (answer("403 Forbidden"), AddressRefused, 403),
        (answer(body=b'{"result":3105}'), WrongKey, 3105),
        (answer(body=b'{"result":2240}'), NotPermitted, 2240),
        (answer(body=b'{"result":5201}'), NotPermitted, 5201),
        (answer("302 Found", Location="http://127.0.0.1:9/"), RequestRefused, 302),
    ],
)
def test_a_command_that_was_not_carried_out(
    server: Scripted, mango: MangoClient, script: bytes, kind: type[MangoError], code: int
) -> None:
    server.scripts = [script]
    with pytest.raises(kind) as caught:
        call(mango)
    assert not isinstance(caught.value, AnswerLost)
    assert caught.value.code == code
    assert len(server.requests) == 1


def test_a_command_that_could_not_leave(server: Scripted, mango: MangoClient) -> None:
    free = socket.create_server(("127.0.0.1", 0))
    port = free.getsockname()[1]
    free.close()
    nobody = MangoClient(f"http://127.0.0.1:{port}/", "key", "salt", timeout=(2, 2))
    with pytest.raises(Unreachable):
        call(nobody)
    with pytest.raises(Unreachable):
        call(MangoClient("http://no-such-host.invalid/", "key", "salt", timeout=(2, 2)))
    server.scripts = [GREET]
    with pytest.raises(Unreachable, match="certificate"):
        call(MangoClient(server.url.replace("http:", "https:"), "key", "salt", timeout=(2, 2)))
    assert nobody.check_credentials().state == "unreachable"


# Questions may be asked again.


@pytest.mark.parametrize(
    "script", [HANG, CLOSE, answer(body=b"<html>"), answer("500 X"), answer(body=b"{", Content_Length=9)]
)
def test_a_question_without_an_answer_is_for_later(server: Scripted, mango: MangoClient, script: bytes | str) -> None:
    server.scripts = [script]
    with pytest.raises(TemporaryFailure) as caught:
        mango.fetch_lines()
    assert not isinstance(caught.value, Unreachable)
    assert mango.check_credentials().state == "busy"


@pytest.mark.parametrize(
    ("said", "seconds"),
    [("7", 7.0), ("99999", 3600.0), ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0), ("soon", None), ("", None)],
)
def test_retry_after(server: Scripted, mango: MangoClient, said: str, seconds: float | None) -> None:
    server.scripts = [answer("429 Too Many Requests", Retry_After=said)]
    with pytest.raises(TemporaryFailure) as caught:
        mango.fetch_balance()
    assert caught.value.retry_after == seconds


@pytest.mark.parametrize(
    "body", [b" " * (LIST_BOUNDS.max_bytes + 1), b'{"users":[' + b"[]," * LIST_BOUNDS.max_pieces + b"[]]}"]
)
def test_an_over_large_answer_is_a_clear_error_and_is_not_parsed(
    server: Scripted, mango: MangoClient, body: bytes
) -> None:
    server.scripts = [answer(body=body)]
    with pytest.raises(TemporaryFailure, match="over-large"):
        mango.fetch_users()


def test_a_command_may_answer_less_than_a_list(server: Scripted, mango: MangoClient) -> None:
    server.scripts = [answer(body=b" " * (COMMAND_BOUNDS.max_bytes + 1))]
    with pytest.raises(AnswerLost):
        mango.hang_up("c", "1")


def test_a_file_of_statistics_with_too_many_rows_is_refused() -> None:
    with pytest.raises(MalformedNotification, match="more than 100000 rows"):
        csv_to_entries(";\n" * (statistics_legs.MAX_CSV_ROWS + 1))


def test_an_answer_that_drips_is_cut(server: Scripted, mango: MangoClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """A byte now and then is never a time-out of the socket: the whole has its time."""
    monkeypatch.setattr(answer_size, "TOTAL_TIMEOUT", 0.2)
    server.scripts = [DRIP]
    with pytest.raises(TemporaryFailure):
        mango.fetch_users()
    assert 0 < server.dripped < 400


def test_a_file_that_drips_is_cut(server: Scripted, mango: MangoClient) -> None:
    server.scripts = [DRIP]
    with (
        mango.open_url(server.url + "1.mp3", anywhere) as download,
        pytest.raises(TemporaryFailure, match="broke off after"),
    ):
        b"".join(download.iter_chunks(65536, 0.2))
    assert 0 < server.dripped < 400


def test_redirects_of_questions_are_not_followed(server: Scripted, mango: MangoClient) -> None:
    server.scripts = [answer("302 Found", Location=server.url)]
    with pytest.raises(RequestRefused):
        mango.fetch_balance()
    assert len(server.requests) == 1


def test_secrets_show_nowhere(server: Scripted, mango: MangoClient, capsys: pytest.CaptureFixture[str]) -> None:
    server.scripts = [CLOSE]
    with pytest.raises(TemporaryFailure) as caught:
        mango.fetch_lines()
    shown = repr(mango) + str(caught.value) + repr(caught.value) + "".join(capsys.readouterr())
    assert "the-key" not in shown
    assert "the-salt" not in shown
    assert b"the-salt" not in server.requests[0]


def test_without_a_key_nothing_is_sent(server: Scripted) -> None:
    for key, salt in (("", "salt"), ("key", ""), ("", "")):
        keyless = MangoClient(server.url, key, salt)
        with pytest.raises(WrongKey, match="no key"):
            call(keyless)
        assert keyless.check_credentials().state == "wrong_key"
    assert server.requests == []


def test_cookies_are_not_kept(server: Scripted, mango: MangoClient) -> None:
    server.scripts = [answer(body=b'{"result":1000,"lines":[]}', Set_Cookie="a=b; Path=/")]
    mango.fetch_lines()
    mango.fetch_lines()
    assert b"cookie" not in server.requests[1].lower()


# Recordings.


@pytest.mark.parametrize(
    ("script", "kind"),
    [
        (answer(body=b'{"result":3320}'), ResourceNotFound),
        (answer("404 Not Found", b""), ResourceNotFound),
        (answer("204 No Content", b""), RecordingNotReady),
        (answer(body=b'{"result":1000}'), RecordingNotReady),
        (answer("302 Found", b""), RecordingNotReady),
        (answer("429 Too Many Requests"), TemporaryFailure),
        (answer(body=b'{"result":3105}'), WrongKey),
        (HANG, TemporaryFailure),
    ],
)
def test_no_address_of_a_recording(
    server: Scripted, mango: MangoClient, script: bytes | str, kind: type[MangoError]
) -> None:
    server.scripts = [script]
    with pytest.raises(kind):
        mango.open_recording("r", anywhere)


@pytest.mark.parametrize(
    ("script", "kind"),
    [
        (answer("404 Not Found", b""), RecordingNotReady),
        (answer("410 Gone", b""), RecordingNotReady),
        (answer("400 Bad Request", b""), ResourceNotFound),
        (answer("503 Busy", b"", Retry_After=9), TemporaryFailure),
        (CLOSE, TemporaryFailure),
        (HANG, TemporaryFailure),
        (audio(b"", Content_Length=10**12), RequestRefused),
    ],
)
def test_no_file_behind_the_address(
    server: Scripted, mango: MangoClient, script: bytes | str, kind: type[MangoError]
) -> None:
    server.scripts = [answer("302 Found", b"", Location="/one-shot"), script]
    with pytest.raises(kind):
        mango.open_recording("r", anywhere)
    assert [request.split()[:2] for request in server.requests] == [
        [b"POST", b"/vpbx/queries/recording/post"],
        [b"GET", b"/one-shot"],
    ]


@pytest.mark.parametrize(
    ("label", "body", "kind"),
    [
        ("text/html; charset=utf-8", b"<html>", None),
        ("text/plain; charset=utf-8", b"Not found", None),
        ("application/json", b'{"result": 3320}', None),
        ("text/plain; charset=utf-8", b"ID3" + bytes(40), "audio/mpeg"),
        ("application/json", b"\xff\xfb\x90\x00" + bytes(40), "audio/mpeg"),
        ("text/plain", b"RIFF\x00\x00\x00\x00WAVEfmt " + bytes(40), "audio/wav"),
        ("application/octet-stream", b"OggS" + bytes(40), "application/octet-stream"),
    ],
)
def test_bytes_decide_and_not_the_label(
    server: Scripted, mango: MangoClient, label: str, body: bytes, kind: str | None
) -> None:
    found = answer(body=body, Content_Type=label)
    server.scripts = [answer("302 Found", b"", Location="/one-shot"), found]
    with mango.open_recording("r", anywhere) as stream:
        if kind is None:
            with pytest.raises(RecordingNotReady):
                list(stream.iter_chunks())
        else:
            assert b"".join(stream.iter_chunks()) == body
            assert stream.content_type == kind


@pytest.mark.parametrize(
    ("script", "limit", "kind"),
    [
        (audio(b"ID3", Content_Length=400), 1000, TemporaryFailure),
        (audio(b"ID3" * 1000, Content_Length=""), 1000, RequestRefused),
        (audio(b"5\r\nabcde\r\n", Content_Length="", Transfer_Encoding="chunked"), 1000, TemporaryFailure),
    ],
)
def test_a_file_that_breaks_off(
    server: Scripted, mango: MangoClient, script: bytes, limit: int, kind: type[MangoError]
) -> None:
    server.scripts = [script.replace(b"Content-Length: \r\n", b"")]
    with mango.open_url(server.url + "1.mp3", anywhere, max_bytes=limit) as download, pytest.raises(kind):
        b"".join(download.iter_chunks())


def test_every_step_of_a_link_is_admitted(server: Scripted, mango: MangoClient) -> None:
    asked: list[str] = []

    def admit(url: str) -> None:
        asked.append(url)
        if "evil" in url:
            raise PermissionError(url)

    server.scripts = [
        answer("301 Moved", b"", Location="two"),
        answer("307 Moved", b"", Location="/three?x=1"),
        answer("302 Moved", b"", Location="http://evil.example/"),
    ]
    with pytest.raises(PermissionError):
        mango.open_url(server.url + "a/one", admit)
    paths = [url.removeprefix(server.url) for url in asked]
    assert paths == ["a/one", "a/two", "three?x=1", "http://evil.example/"]
    assert len(server.requests) == 3


def test_a_link_in_a_circle(server: Scripted, mango: MangoClient) -> None:
    server.scripts = [answer("302 Found", b"", Location="/again")]
    with pytest.raises(RequestRefused, match="without end"):
        mango.open_url(server.url, anywhere)


def test_ranges_are_passed_on(server: Scripted, mango: MangoClient) -> None:
    server.scripts = [
        answer("206 Partial Content", b"cde", Content_Type="audio/mpeg", Content_Range="bytes 2-4/10"),
        audio(b"all"),
        answer("416 Range Not Satisfiable", b""),
    ]
    with mango.open_url(server.url, anywhere, byte_range="bytes=2-4") as part:
        assert (part.status, part.content_range, part.size, part.accepts_ranges) == (206, "bytes 2-4/10", 3, True)
        assert b"".join(part.iter_chunks()) == b"cde"
    with mango.open_url(server.url, anywhere, byte_range="bytes=0-1\r\nX: y") as whole:
        assert (whole.status, whole.content_range, whole.size) == (200, None, 3)
    with pytest.raises(RequestRefused) as caught:
        mango.open_url(server.url, anywhere, byte_range="bytes=99-")
    assert caught.value.code == 416
    assert b"range: bytes=2-4" in server.requests[0].lower()
    assert b"range" not in server.requests[1].lower()


def test_nothing_of_the_key_goes_to_the_store_of_files(server: Scripted, mango: MangoClient) -> None:
    server.scripts = [answer("302 Found", b"", Location="/one-shot"), audio(b"ID3")]
    with mango.open_recording("r", anywhere) as download:
        assert (download.content_type, b"".join(download.iter_chunks())) == ("audio/mpeg", b"ID3")
    post, get = server.requests
    assert b"vpbx_api_key=the-key" in post
    assert b"the-key" not in get
    assert b"sign" not in get


def test_a_session_may_be_anybody_s(server: Scripted) -> None:
    """The app hands in its own pooled session; its certificate authority holds for Mango too."""
    server.scripts = [answer(body=b'{"result":1000,"balance":"12.50"}')]
    with requests.Session() as session:
        session.verify = "/nonexistent/ca.pem"
        assert str(MangoClient(server.url, "k", "s", session).fetch_balance().amount) == "12.50"
        secure: Callable[[], Any] = MangoClient(server.url.replace("http:", "https:"), "k", "s", session).fetch_balance
        with pytest.raises(OSError, match="nonexistent"):
            secure()
