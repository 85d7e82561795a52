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

CHECK_SECONDS = 1.0

_deadlines: dict[int, tuple[float, socket.socket]] = {}
_lock = threading.Lock()
_wakeup = threading.Event()
_thread: threading.Thread | None = None


@contextmanager
def enforce_deadline(seconds: float, sock: socket.socket | None) -> Iterator[None]:
    """Inside, whoever waits for `sock` meets its end once `seconds` are over, however slowly bytes come.

    Raises:
        TimeoutError: at the end, where that happened and nothing else was raised.
    """
    if sock is None:
        yield
        return
    _start_watchdog()
    number = id(sock)
    _deadlines[number] = (time.monotonic() + seconds, sock)
    _wakeup.set()
    cut = False
    try:
        yield
    finally:
        cut = _deadlines.pop(number, None) is None
    if cut:  # what was read until then looks like an answer with few headers
        raise TimeoutError("the answer takes too long to begin")


def _start_watchdog() -> None:
    global _thread
    if _thread is None:
        with _lock:
            if _thread is None:
                _thread = threading.Thread(target=_close_overdue, name="watchdog", daemon=True)
                _thread.start()


def _close_overdue() -> None:
    while True:
        _wakeup.wait()
        _wakeup.clear()
        while _deadlines:
            now = time.monotonic()
            for number, (until, sock) in list(_deadlines.items()):
                if now > until:
                    _deadlines.pop(number, None)
                    with suppress(OSError):  # its owner has closed it meanwhile
                        # Of the plain socket: the TLS one would forget its session under the feet of who reads.
                        socket.socket.shutdown(sock, socket.SHUT_RDWR)
            time.sleep(CHECK_SECONDS)


def _reset_after_fork() -> None:
    """Threads do not survive a fork, and what they watched is the parent's."""
    global _thread, _lock, _wakeup
    _deadlines.clear()
    _thread, _lock, _wakeup = None, threading.Lock(), threading.Event()


os.register_at_fork(after_in_child=_reset_after_fork)
