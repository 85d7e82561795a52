"""Accepts connections, bounds how many there are, looks at their deadlines, and ends in an orderly way.

`bx24app.infra.processes.web_server` calls `HttpServer.run` in the main thread of the web process.
"""

from __future__ import annotations

import asyncio
import resource
import signal
import socket
import sys
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING

import structlog
import uvloop

from bx24app.infra.http_front.admission import HEALTH, HOOKS, PAGES, SMALL_BODY_BYTES, Admission, RequestHead, Terms
from bx24app.infra.http_front.connection import HttpConnection, Phase
from bx24app.infra.http_front.thread_pool import RequestThreads
from bx24app.infra.http_front.unfinished import UnfinishedBodies

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

_log = structlog.get_logger(__name__)

BACKLOG = 1024
MAX_CONNECTIONS = 4096
"""Beyond it the connection that has waited longest for a request is closed. Fewer where the process may open less."""
OTHER_FILES = 384
"""Descriptors that are left for databases, Redis, Mango Office and temporary files."""
WAITING = {HOOKS: 512, PAGES: 128, HEALTH: 32}
"""Requests that wait for a thread; beyond it 503."""
HEALTH_THREADS = 2
UNFINISHED = {HOOKS: (256, 64), PAGES: (64, 16), HEALTH: (1, 1)}
"""Unfinished bodies over all and of one address."""
MAX_LARGE = 12
"""Requests under way whose body may be larger than 64 KiB; beyond it 503. A bound on memory."""
MAX_UNSENT_BYTES = 32 << 20
"""Answers in memory that are not read; beyond it the oldest ones are cut off."""
_TICK_SECONDS = 0.5
SWITCH_SECONDS = 0.0003
"""How long a thread may compute while others wait for the interpreter; 5 ms by default. A notification needs it several
times: beside four pages that compute, its p50 was 334 ms with 5 ms, and 15 ms with this."""


class HttpServer:
    """The connections and threads of one web process."""

    def __init__(self, application: WSGIApplication, admission: Admission, threads: int) -> None:
        self.application, self.admission = application, admission
        self.address = ("", 0)
        self.threads = {
            group: RequestThreads(group, HEALTH_THREADS if group == HEALTH else threads, waiting)
            for group, waiting in WAITING.items()
        }
        self.unfinished = {group: UnfinishedBodies(*bounds) for group, bounds in UNFINISHED.items()}
        self.is_stopping = False
        self._connections: set[HttpConnection] = set()
        self._waiting: OrderedDict[HttpConnection, None] = OrderedDict()
        """Those without a complete head, the longest first."""
        self._large: set[HttpConnection] = set()
        self._unsent: OrderedDict[HttpConnection, int] = OrderedDict()
        self._unsent_bytes = 0
        self._max_connections = _raise_file_limit()

    def run(self, listener: socket.socket, grace: float) -> bool:
        """Serve until SIGTERM or SIGINT, then finish what is under way; False: it took longer than `grace` seconds."""
        host, port = listener.getsockname()[:2]
        self.address = (str(host), int(port))
        sys.setswitchinterval(SWITCH_SECONDS)
        # Never closed: the process ends next, and closing would wait for whoever does not read.
        loop = uvloop.new_event_loop()
        asyncio.set_event_loop(loop)
        return loop.run_until_complete(self._serve(listener, grace))

    async def _serve(self, listener: socket.socket, grace: float) -> bool:
        self._loop, stop = asyncio.get_running_loop(), asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, stop.set)
        listening = await self._loop.create_server(lambda: HttpConnection(self), sock=listener.dup(), backlog=BACKLOG)
        ticking = self._loop.create_task(self._tick())
        await stop.wait()
        self.is_stopping = True
        listening.close()
        for connection in list(self._waiting):
            connection.transport.close()
        end = monotonic() + grace
        while self._is_busy() and monotonic() < end:
            await asyncio.sleep(0.02)
        ticking.cancel()
        is_done = not self._is_busy()
        for connection in list(self._connections):
            connection.transport.abort()
        return is_done

    def _is_busy(self) -> bool:
        return any(connection.phase in (Phase.BODY, Phase.WORK, Phase.SEND) for connection in self._connections) or any(
            threads.under_way for threads in self.threads.values()
        )

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            now = monotonic()
            for connection in [peer for peer in self._connections if 0 < peer.deadline < now]:
                connection.on_deadline(now)

    # --- called by connections ---

    def add(self, connection: HttpConnection) -> None:
        if len(self._connections) >= self._max_connections:
            longest = next(iter(self._waiting), connection)
            self._waiting.pop(longest, None)
            longest.transport.abort()
        self._connections.add(connection)
        self._waiting[connection] = None

    def remove(self, connection: HttpConnection) -> None:
        self._connections.discard(connection)
        self._waiting.pop(connection, None)

    def begin_request(self, connection: HttpConnection) -> None:
        """Its head is complete."""
        self._waiting.pop(connection, None)

    def wait_for_request(self, connection: HttpConnection) -> None:
        """Its answer is sent, and it is kept."""
        self._waiting[connection] = None

    def may_be_large(self, connection: HttpConnection, head: RequestHead) -> bool:
        """May its body be as long as its terms allow? Counted until `forget`."""
        length = head.header("content-length")
        if (length and int(length) <= SMALL_BODY_BYTES) or not (length or head.header("transfer-encoding")):
            return True
        if len(self._large) >= MAX_LARGE:
            return False
        self._large.add(connection)
        return True

    def count_unsent(self, connection: HttpConnection, size: int) -> None:
        """Its answer waits in memory until the other side reads. Counted until `forget`."""
        self._unsent[connection] = size
        self._unsent_bytes += size
        while self._unsent_bytes > MAX_UNSENT_BYTES:
            oldest = next(iter(self._unsent))
            self.forget(oldest)
            oldest.transport.abort()

    def forget(self, connection: HttpConnection) -> None:
        """The request is answered or gone."""
        self._large.discard(connection)
        self._unsent_bytes -= self._unsent.pop(connection, 0)

    def choose_terms(self, head: RequestHead) -> Terms | int:
        return self.admission.choose_terms(head)

    def call_in_loop(self, function: Callable[[], None]) -> None:
        """For threads. Does nothing once the loop has ended."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(function)


def _raise_file_limit() -> int:
    """Allow this process as many descriptors as its hard limit; returns how many connections they are enough for."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_CONNECTIONS + OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return MAX_CONNECTIONS if soft == resource.RLIM_INFINITY else max(64, min(MAX_CONNECTIONS, soft - OTHER_FILES))
