"""The web process: our HTTP front inside a process that the supervisor forked, on a socket that the supervisor holds.

The listening socket outlives a web process: connections that arrive during a restart wait and are not refused.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import structlog

from bx24app.infra.http_front.admission import admission_of
from bx24app.infra.http_front.server import BACKLOG, HttpServer
from bx24app.infra.processes.supervisor import ProcessSpec

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

_log = structlog.get_logger(__name__)

OPEN_REQUESTS_SECONDS = 8.0
"""Seconds that a request may still run after SIGTERM."""


class ListenError(Exception):
    """The program cannot listen on the address. The message is one line for the operator."""


def open_listener(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free port. Close it only after the processes have ended.

    Raises:
        ListenError: the port is in use, needs rights, or the host is not an address of this machine.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ListenError(f"cannot listen on {host}:{port}: {error.strerror}") from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a predecessor's closed connections linger
        # Accepted sockets inherit it: the rest of an answer must not wait for the peer's delayed acknowledgement.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise ListenError(f"cannot listen on {host}:{port}: {error.strerror}; give another --host or --port") from None
    return listener


def address_of(listener: socket.socket) -> str:
    """`http://HOST:PORT`, with the port that was taken."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def make_web_spec(
    load: Callable[[], WSGIApplication],
    listener: socket.socket,
    count: int = 1,
    threads: int = 16,
) -> ProcessSpec:
    """The web process of `up`. `load` returns the application; it is called in the forked process, where it can renew
    what must not cross a fork. `threads`: for notifications, and as many for everything else.
    """
    target = partial(serve_web, load, listener, threads)
    return ProcessSpec("web", target, count=count, is_ready=partial(is_answering, address_of(listener)))


def is_answering(address: str) -> bool:
    """Does the web process answer a request for its health page within a second, with any status?"""
    parts = urlsplit(address)
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(parts.hostname or "", parts.hostname)  # noqa: S104  # nosec B104 - to connect to, not to listen on
    try:
        with socket.create_connection((host, parts.port), timeout=1) as peer:
            peer.sendall(b"GET /healthz HTTP/1.1\r\nHost: " + parts.netloc.encode() + b"\r\nConnection: close\r\n\r\n")
            return peer.recv(9).startswith(b"HTTP/1.1 ")
    except OSError:
        return False


def serve_web(
    load: Callable[[], WSGIApplication],
    listener: socket.socket,
    threads: int = 16,
    grace: float = OPEN_REQUESTS_SECONDS,
) -> None:
    """Serve until SIGTERM or SIGINT, then let open requests finish for `grace` seconds. Needs the main thread of its
    own process.
    """
    application = load()
    if not HttpServer(application, admission_of(application), threads).run(listener, grace):
        _log.warning("requests still open when the web part had to end; their answers are lost")
        os._exit(0)
