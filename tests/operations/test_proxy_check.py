"""The doctor's socket with an unfinished body: what stands in front of the app buffers it, ends it, or passes it on."""

from __future__ import annotations

import socket
import threading
import time

import pytest

from bx24app.operations import proxy_check
from tests.support.servers import free_port


class Front:
    """Answers each connection after `seconds` with `answer`; empty: closes it."""

    def __init__(self, seconds: float, answer: bytes = b"") -> None:
        self.seconds, self.answer = seconds, answer
        self.head = b""
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with self.listener:
            peer, _ = self.listener.accept()
        with peer:
            self.head = peer.recv(65536)
            time.sleep(self.seconds)
            peer.sendall(self.answer)


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxy_check, "AT_ONCE_SECONDS", 0.5)
    monkeypatch.setattr(proxy_check, "END_SECONDS", 2.5)


def verdict(front: Front, monkeypatch: pytest.MonkeyPatch, scheme: str = "https") -> tuple[bool, str]:
    """What the doctor says of it, as if it spoke TLS."""
    measured = proxy_check.measure_unfinished_request(front.url, None)
    monkeypatch.setattr(proxy_check, "measure_unfinished_request", lambda *_: measured)
    return proxy_check.check_proxy(f"{scheme}://calls.example.ru", None)


def test_one_that_passes_it_on_is_told_how_to_buffer(monkeypatch: pytest.MonkeyPatch) -> None:
    front = Front(0, b"HTTP/1.1 404 Not Found\r\n\r\n")
    is_ok, text = verdict(front, monkeypatch)
    assert not is_ok
    assert "proxy_request_buffering on" in text
    assert "request_buffers" in text
    assert front.head.startswith(b"POST /mango/doctor-")
    assert front.head.endswith(b"\r\n\r\nj")
    assert b"Content-Length: 100\r\n" in front.head


def test_without_a_proxy_nothing_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    assert verdict(Front(0, b"HTTP/1.1 404 Not Found\r\n\r\n"), monkeypatch, "http")[0]


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 408 Request Timeout\r\n\r\n"])
def test_one_that_buffers_and_ends_it_is_in_order(monkeypatch: pytest.MonkeyPatch, answer: bytes) -> None:
    is_ok, text = verdict(Front(1.0, answer), monkeypatch)
    assert is_ok
    assert "ended ours" in text


def test_one_that_never_ends_it_is_told_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    is_ok, text = verdict(Front(30), monkeypatch)
    assert is_ok
    assert "client_body_timeout" in text


def test_one_that_cannot_be_reached_is_an_error() -> None:
    with pytest.raises(OSError):
        proxy_check.check_proxy(f"http://127.0.0.1:{free_port()}", None)
