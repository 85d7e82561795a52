"""A bound on what a socket's own time-out does not bound: it starts anew with every byte, so a head that drips in would hold a thread for hours.

One thread of the process looks once a second at the answers that are awaited, and shuts down the sockets of those whose time is over.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

LOOK_SECONDS = 1.0

_watched: dict[int, tuple[float, socket.socket]] = {}
_lock = threading.Lock()
_wanted = threading.Event()
_thread: threading.Thread | None = None


@contextmanager
def at_most(seconds: float, sock: socket.socket | None) -> Iterator[None]:
    """Inside, whoever waits for `sock` meets its end once `seconds` are over, however slowly bytes come.

    Raises:
        TimeoutError: at the end, where that happened and nothing else was raised.
    """
    if sock is None:
        yield
        return
    _start()
    number = id(sock)
    _watched[number] = (time.monotonic() + seconds, sock)
    _wanted.set()
    cut = False
    try:
        yield
    finally:
        cut = _watched.pop(number, None) is None
    if cut:  # what was read until then looks like an answer with few headers
        raise TimeoutError("the answer takes too long to begin")


def _start() -> None:
    global _thread
    if _thread is None:
        with _lock:
            if _thread is None:
                _thread = threading.Thread(target=_look, name="watchdog", daemon=True)
                _thread.start()


def _look() -> None:
    while True:
        _wanted.wait()
        _wanted.clear()
        while _watched:
            now = time.monotonic()
            for number, (until, sock) in list(_watched.items()):
                if now > until:
                    _watched.pop(number, None)
                    with suppress(OSError):  # its owner has closed it meanwhile
                        # Of the plain socket: the TLS one would forget its session under the feet of who reads.
                        socket.socket.shutdown(sock, socket.SHUT_RDWR)
            time.sleep(LOOK_SECONDS)


def _forked() -> None:
    """Threads do not survive a fork, and what they watched is the parent's."""
    global _thread, _lock, _wanted
    _watched.clear()
    _thread, _lock, _wanted = None, threading.Lock(), threading.Event()


os.register_at_fork(after_in_child=_forked)
