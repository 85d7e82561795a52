"""Serves an application with the front in a forked process, and speaks to it with bare sockets."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from bx24app.infra.processes.child_process import run_child
from bx24app.infra.processes.web_server import address_of, is_answering, open_listener, serve_web
from tests.infra.processes.test_supervisor import until


@contextmanager
def served(load: Callable[[], Any], threads: int = 2) -> Iterator[int]:
    """The port. What the test has patched before holds in the process, too."""
    listener, parent = open_listener("127.0.0.1", 0), os.getpid()
    pid = os.fork()
    if pid == 0:
        run_child("web", partial(serve_web, load, listener, threads, 1.0), parent)
    address = address_of(listener)
    listener.close()
    try:
        until(partial(is_answering, address), "it serves")
        yield int(urlsplit(address).port or 0)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=20)


def send(port: int, wire: bytes) -> bytes:
    """Everything that comes until the server closes the connection."""
    with connect(port) as peer:
        peer.sendall(wire)
        return read_all(peer)


def read_all(peer: socket.socket) -> bytes:
    answer = b""
    try:
        while piece := peer.recv(65536):
            answer += piece
    except ConnectionError:
        return answer
    return answer


def post(path: str, length: int, body: bytes = b"", *headers: str) -> bytes:
    """A POST that promises `length` bytes."""
    lines = [f"POST {path} HTTP/1.1", "Host: test", "Content-Type: application/x-www-form-urlencoded"]
    return "\r\n".join([*lines, f"Content-Length: {length}", *headers, "", ""]).encode() + body


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])
