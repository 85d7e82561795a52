"""The web process: granian's WSGI worker inside a process that the supervisor forked, on a socket that the supervisor
holds.

Granian's own main process is not used (docs/decisions/0001-wsgi-server.md). The supervisor does its work, which saves a
process. The listening socket outlives a web process: connections that arrive during a restart wait and are not refused.
This uses granian's private interface, so its version is pinned, and tests/infra/processes/test_web_server.py checks
what is relied upon.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import structlog
from granian.constants import HTTPModes
from granian.http import HTTP1Settings

from bx24app.infra.processes.supervisor import ProcessSpec

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

# Not imported by name: the type stubs that granian ships describe another version of these than the one it runs.
_granian: Any = import_module("granian._granian")
_futures: Any = import_module("granian._futures")
_wsgi: Any = import_module("granian.wsgi")

_log = structlog.get_logger(__name__)

BACKLOG = 1024
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
    load: Callable[[], WSGIApplication], listener: socket.socket, count: int = 1, threads: int = 16
) -> ProcessSpec:
    """The web process of `up`. `load` returns the application; it is called in the forked process, where it can renew
    what must not cross a fork.
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
    logging.getLogger("_granian").setLevel(logging.WARNING)
    stop, ended = _granian.WorkerSignal(), threading.Event()
    stop.add_cb(ended.set)

    def handle_stop(signal_number: int, frame: object) -> None:
        stop.set()
        kill_timer = threading.Timer(grace, _drop_open_requests)
        kill_timer.daemon = True
        kill_timer.start()

    for signal_number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signal_number, handle_stop)
    loop = asyncio.new_event_loop()  # granian wants one for its scheduler; a WSGI worker never runs it
    # Granian closes the descriptor, so it gets a duplicate.
    holder = _granian.SocketHolder(os.dup(listener.fileno()), False, BACKLOG)
    application = _wsgi._callback_wrapper(load(), {"url_path_prefix": None})
    worker = _granian.WSGIWorker(
        1, (None, holder), None,
        1,  # threads of the network runtime, which runs no Python
        threads + 8,  # upper bound of the runtime's own blocking threads
        threads, 30,  # threads that run the application; seconds until an idle one ends
        BACKLOG,  # connections held at a time, idle ones included
        HTTPModes.http1, HTTP1Settings(), None, None,
        False, None, None, None, "tls1.3", None, [], False,  # no TLS: a proxy's work
        (None, None),
    )  # fmt: skip
    worker.serve_mtr(_futures._new_cbscheduler(loop, application, impl_asyncio=True), loop, stop)
    ended.wait()
    loop.close()


def _drop_open_requests() -> None:
    _log.warning("requests still open when the web part had to end; their answers are lost")
    os._exit(0)
