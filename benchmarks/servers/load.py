"""A small load generator: keep-alive connections in one process, one prepared request, every answer checked and timed.

When a server closes the connection after its answer (gunicorn's sync worker), the generator reconnects, and that time
counts.
"""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import repeat
from urllib.parse import quote

PAYLOAD = '{"entry_id":"MTIzNDU2Nzg5MDEyMzQ1Njc4OTA=","call_id":"MToxMDAwMTA6MzE6MTI=","timestamp":1705308600,"seq":1,"call_state":"Appeared",'  # noqa: E501
PAYLOAD += '"location":"abonent","from":{"number":"79161234567"},"to":{"extension":"101","number":"74951234567","line_number":"74951234567"}}'  # noqa: E501
BODY = f"vpbx_api_key={'k' * 32}&sign={'a' * 64}&json={quote(PAYLOAD)}".encode()


@dataclass
class Measured:
    """What a run of the load measured; times in seconds."""

    seconds: float
    times: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Answers per second."""
        return len(self.times) / self.seconds

    def quantile(self, share: float) -> float:
        """The time in milliseconds that `share` of the answers did not exceed."""
        return sorted(self.times)[min(len(self.times) - 1, int(share * len(self.times)))] * 1000


def request(path: str, body: bytes = BODY) -> bytes:
    """The bytes of one POST with keep-alive."""
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\n\r\n"  # noqa: E501
    return head.encode() + body


def closed(port: int, path: str, connections: int, seconds: float, wires: Iterator[bytes] | None = None) -> Measured:
    """Load at full speed: each connection sends the next of `wires` when it has the previous answer."""
    chooser, wires = selectors.DefaultSelector(), wires or repeat(request(path))
    started: dict[socket.socket, float] = {}
    for _ in range(connections):
        sock = _connect(port)
        chooser.register(sock, selectors.EVENT_READ)
        started[sock] = time.perf_counter()
        sock.sendall(next(wires))
    begin = time.perf_counter()
    measured = Measured(seconds)
    while (now := time.perf_counter()) < begin + seconds:
        for key, _events in chooser.select(1):
            sock = key.fileobj  # type: ignore[assignment]
            sent = started.pop(sock)
            again = _answered(sock, chooser, port)
            now = time.perf_counter()
            measured.times.append(now - sent)
            started[again] = now
            again.sendall(next(wires))
    for sock in started:
        sock.close()
    return measured


def paced(port: int, path: str, rate: float, seconds: float, wires: Iterator[bytes] | None = None) -> Measured:
    """Load at a fixed rate. A late answer does not delay other requests (up to 32 connections)."""
    chooser, wires = selectors.DefaultSelector(), wires or repeat(request(path))
    free = [_connect(port) for _ in range(32)]
    busy: dict[socket.socket, float] = {}
    for sock in free:
        chooser.register(sock, selectors.EVENT_READ)
    begin = time.perf_counter()
    measured, sent = Measured(seconds), 0
    while sent < rate * seconds or busy:
        due = begin + sent / rate
        if sent < rate * seconds and free and time.perf_counter() >= due:
            sock = free.pop(0)
            busy[sock] = due
            sock.sendall(next(wires))
            sent += 1
            continue
        pause = 1.0 if sent >= rate * seconds or not free else max(0.0, due - time.perf_counter())
        for key, _events in chooser.select(pause):
            sock = key.fileobj  # type: ignore[assignment]
            if sock not in busy:
                raise ConnectionError("closed while idle")
            due = busy.pop(sock)
            again = _answered(sock, chooser, port)
            measured.times.append(time.perf_counter() - due)
            free.append(again)
    for sock in free:
        sock.close()
    return measured


def _connect(port: int) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", port), timeout=30)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def _answered(sock: socket.socket, chooser: selectors.BaseSelector, port: int) -> socket.socket:
    """Reads one answer. Returns the connection for the next request."""
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += _more(sock, answer)
    head, _, body = answer.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200"):
        raise ConnectionError(f"not 200: {head[:80]!r}")
    lines = head.lower().split(b"\r\n")
    length = next(int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length"))
    while len(body) < length:
        body += _more(sock, answer)
    if b"connection: close" not in lines:
        return sock
    chooser.unregister(sock)
    sock.close()
    fresh = _connect(port)
    chooser.register(fresh, selectors.EVENT_READ)
    return fresh


def _more(sock: socket.socket, so_far: bytes) -> bytes:
    part = sock.recv(65536)
    if not part:
        raise ConnectionError(f"closed after {so_far!r}")
    return part
