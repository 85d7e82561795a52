"""A deadline for reading from a socket. The socket's own time-out starts anew with every byte, so a slow head could
hold a thread for hours.

`ssrf_guard` sets a deadline for the head of each answer. One thread of the process checks once a second which deadlines
have passed, and shuts those sockets down. The thread serves all sockets of the process, whatever application opened
them, so it is kept by the module.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

CHECK_SECONDS = 1.0

_deadlines: dict[object, tuple[float, socket.socket]] = {}
_lock = threading.Lock()
_wakeup = threading.Event()
_thread: threading.Thread | None = None


@contextmanager
def enforce_deadline(seconds: float, sock: socket.socket | None) -> Iterator[None]:
    """Shut `sock` down if the block is not left within `seconds`.

    Raises:
        TimeoutError: when the block is left, if the socket was shut down and the block itself raised nothing.
    """
    if sock is None:
        yield
        return
    _start_watchdog()
    key = object()  # a kept-alive socket may have two deadlines for a moment: of the last answer and of the next
    _deadlines[key] = (time.monotonic() + seconds, sock)
    _wakeup.set()
    was_closed = False
    try:
        yield
    finally:
        was_closed = _deadlines.pop(key, None) is None
    if was_closed:  # a head that was cut off looks like an answer with few headers
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
            for key, (deadline, sock) in list(_deadlines.items()):
                if now > deadline:
                    _deadlines.pop(key, None)
                    with suppress(OSError):  # the owner closed it meanwhile
                        # The plain socket's method: a TLS socket's would drop the session while another thread reads.
                        socket.socket.shutdown(sock, socket.SHUT_RDWR)
            time.sleep(CHECK_SECONDS)


def _reset_after_fork() -> None:
    """Threads do not survive a fork, and the sockets belong to the parent."""
    global _thread, _lock, _wakeup
    _deadlines.clear()
    _thread, _lock, _wakeup = None, threading.Lock(), threading.Event()


os.register_at_fork(after_in_child=_reset_after_fork)
