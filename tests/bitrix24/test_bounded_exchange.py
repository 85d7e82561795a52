"""A deadline bounds the whole exchange: a server that is silent, drips its body, or drips its TLS handshake."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator

import pytest
import requests

from bx24app.bitrix24 import read_deadline, ssrf_guard
from bx24app.bitrix24.errors import AnswerLost, NotSent
from bx24app.bitrix24.oauth import OAuthServers
from bx24app.bitrix24.request_deadline import limit_seconds
from bx24app.bitrix24.ssrf_guard import AddressPolicy, AnyAddress, GuardedAdapter
from bx24app.bitrix24.transport import Transport
from bx24app.mango.errors import TemporaryFailure
from bx24app.mango.recording import RecordingDownload

STARTED = b"HTTP/1.1 200 OK\r\nX: "
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n"
LAST_HEAD = HEAD.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")


class SlowServer:
    """Sends `first`, then a letter every 20 ms for as long as somebody reads."""

    def __init__(self, first: bytes, *, drips: bool = True) -> None:
        self.first, self.drips = first, drips
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.listener.getsockname()[1]}"
        self.is_closed = threading.Event()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while not self.is_closed.is_set():
            try:
                peer, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(peer,), daemon=True).start()

    def _answer(self, peer: socket.socket) -> None:
        with peer:
            try:
                peer.recv(65536)
                peer.sendall(self.first)
                while not self.is_closed.wait(0.02):
                    if self.drips:
                        peer.sendall(b" ")
            except OSError:
                return

    def close(self) -> None:
        self.is_closed.set()
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


@pytest.fixture
def serve() -> Iterator[Callable[..., str]]:
    servers: list[SlowServer] = []

    def start(first: bytes, *, drips: bool = True) -> str:
        servers.append(SlowServer(first, drips=drips))
        return servers[-1].address

    yield start
    for server in servers:
        server.close()


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read_deadline, "CHECK_SECONDS", 0.05)


@pytest.fixture
def transport() -> Transport:
    return Transport(GuardedAdapter(AddressPolicy(may_use_loopback=True)), plain_http=True)


@pytest.mark.parametrize("first", [b"", STARTED, HEAD, LAST_HEAD], ids=["nothing", "head", "body", "last body"])
@pytest.mark.parametrize("drips", [True, False])
def test_a_portal_is_waited_for_until_the_deadline(
    serve: Callable[..., str], transport: Transport, first: bytes, drips: bool
) -> None:
    url, started = f"http://{serve(first, drips=drips)}/rest/profile", time.monotonic()
    with limit_seconds(2), pytest.raises(AnswerLost):
        transport.post(url, {}, {}, "token")
    assert time.monotonic() - started < 15
    assert read_deadline._deadlines == {}


def test_after_the_deadline_nothing_leaves(serve: Callable[..., str], transport: Transport) -> None:
    with limit_seconds(0.0), pytest.raises(NotSent):
        transport.post(f"http://{serve(HEAD)}/rest/profile", {}, {}, "token")


def test_an_authorisation_server_too(serve: Callable[..., str]) -> None:
    session = requests.Session()
    session.mount("http://", GuardedAdapter(AnyAddress()))
    server, started = f"http://{serve(HEAD)}", time.monotonic()
    with limit_seconds(2), pytest.raises(AnswerLost):
        OAuthServers([server], session).fetch_app_info("token", server)
    assert time.monotonic() - started < 15


def test_a_recording_too(serve: Callable[..., str]) -> None:
    session = requests.Session()
    session.mount("http://", GuardedAdapter(AddressPolicy(may_use_loopback=True)))
    started = time.monotonic()
    with limit_seconds(2):
        address = serve(HEAD.replace(b"application/json", b"audio/mpeg"))
        file = RecordingDownload(session.get(f"http://{address}/a.mp3", stream=True, timeout=(5, 20)))
        with file, pytest.raises(TemporaryFailure):
            list(file.iter_chunks())
    assert time.monotonic() - started < 15


def test_a_handshake_that_is_reset_has_sent_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def reset() -> None:
            peer, _ = server.accept()
            peer.recv(1)  # the handshake has begun
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            peer.close()

        thread = threading.Thread(target=reset, daemon=True)
        thread.start()
        transport = Transport(GuardedAdapter(AddressPolicy(may_use_loopback=True)))
        with pytest.raises(NotSent):
            transport.post(f"https://127.0.0.1:{server.getsockname()[1]}/rest/profile", {}, {}, "token")
        thread.join(20)


def test_a_handshake_that_drips_is_cut(serve: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ssrf_guard, "HANDSHAKE_SECONDS", 0.5)
    record = b"\x16\x03\x03\x40\x00\x02"  # the head of a long record, whose bytes come one by one
    transport, started = Transport(GuardedAdapter(AddressPolicy(may_use_loopback=True))), time.monotonic()
    with pytest.raises(NotSent):
        transport.post(f"https://{serve(record)}/rest/profile", {}, {}, "token")
    assert time.monotonic() - started < 15
