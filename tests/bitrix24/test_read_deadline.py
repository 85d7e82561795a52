"""A head that comes a byte at a time: each byte is in time, the answer never is."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from bx24app.bitrix24 import read_deadline, ssrf_guard
from bx24app.bitrix24.errors import AnswerLost
from bx24app.bitrix24.ssrf_guard import AddressPolicy, GuardedAdapter
from bx24app.bitrix24.transport import Transport


class Dripping:
    """A server whose answers have a head without end, or a proper one; `seen`: bytes that somebody still took."""

    def __init__(self) -> None:
        self.seen, self.proper = 0, False
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}/rest/profile"
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self) -> None:
        while True:
            try:
                peer, _ = self.listener.accept()
            except OSError:
                return
            with peer:
                peer.recv(65536)
                if self.proper:
                    peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
                    continue
                self._drip(peer)

    def _drip(self, peer: socket.socket) -> None:
        try:
            peer.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
            while self.seen < 2000:
                peer.sendall(b".")
                self.seen += 1
                time.sleep(0.02)
        except OSError:
            return

    def close(self) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join(60)


@pytest.fixture
def server() -> Iterator[Dripping]:
    made = Dripping()
    yield made
    made.close()


@pytest.fixture
def transport(monkeypatch: pytest.MonkeyPatch) -> Transport:
    monkeypatch.setattr(ssrf_guard, "HEAD_SECONDS", 0.3)
    monkeypatch.setattr(read_deadline, "CHECK_SECONDS", 0.05)
    return Transport(GuardedAdapter(AddressPolicy(may_use_loopback=True)), plain_http=True)


def test_a_head_that_drips_is_cut(server: Dripping, transport: Transport) -> None:
    with pytest.raises(AnswerLost):
        transport.post(server.url, {}, {}, "token")
    assert 0 < server.seen < 2000
    assert read_deadline._deadlines == {}


def test_an_answer_in_time_is_let_alone(server: Dripping, transport: Transport) -> None:
    server.proper = True
    assert transport.post(server.url, {}, {}, "token").body == {}
    assert read_deadline._deadlines == {}


def test_a_forked_worker_has_a_watchdog_of_its_own(server: Dripping, transport: Transport) -> None:
    server.proper = True
    transport.post(server.url, {}, {}, "token")  # the parent's runs
    server.proper = False
    child = os.fork()
    if child == 0:
        try:
            transport.post(server.url, {}, {}, "token")
        except AnswerLost:
            os._exit(7)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
