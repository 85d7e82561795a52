"""Resolves host names within a bounded time: `getaddrinfo` has no time-out of its own, and a portal names its hosts.

`ssrf_guard` asks it before each connection. A look-up runs in a thread of its own, which a name server that does not
answer may hold for a minute; whoever waits for it gives up after `RESOLVE_SECONDS`. Look-ups of the same name share
one thread, so that one host takes one thread however often it is asked for.
"""

from __future__ import annotations

import ipaddress
import socket
import threading
from concurrent.futures import Future
from typing import Any, Final

from bx24app.bitrix24.request_deadline import seconds_left

RESOLVE_SECONDS: Final = 5.0
MAX_LOOKUPS: Final = 32
"""Threads of look-ups at most."""
_Entries = list[tuple[Any, ...]]


class Resolver:
    """`getaddrinfo` with a bound of time. Threads share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: dict[tuple[str, int], Future[_Entries]] = {}

    def resolve_name(self, host: str, port: int) -> _Entries:
        """The entries of `getaddrinfo` for streams.

        Raises:
            OSError: there is no such host, or (TimeoutError) no answer in time. UnicodeError: the name cannot be one.
        """
        if _is_address(host):
            return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return self._join_lookup(host, port).result(max(0.0, seconds_left(RESOLVE_SECONDS)))

    def _join_lookup(self, host: str, port: int) -> Future[_Entries]:
        with self._lock:
            future = self._running.get((host, port))
            if future is None:
                if len(self._running) >= MAX_LOOKUPS:
                    raise TimeoutError("too many names are being resolved")
                future = self._running[host, port] = Future()
                threading.Thread(target=self._look_up, args=(host, port, future), name="resolver", daemon=True).start()
            return future

    def _look_up(self, host: str, port: int, future: Future[_Entries]) -> None:
        try:
            future.set_result(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            future.set_exception(error)
        finally:
            with self._lock:
                self._running.pop((host, port), None)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
