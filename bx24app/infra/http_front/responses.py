"""An answer on its way from the application's thread to the connection.

A short body is bytes. A longer one goes through a temporary file that has no name: so the application's thread is free
as soon as it has produced the body, however slowly the other side reads, and the memory does not grow with it.
"""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import formatdate
from functools import lru_cache
from io import FileIO

from bx24app.infra.clock import utcnow

IN_MEMORY_BYTES = 256 * 1024
PIECE_BYTES = 64 * 1024
SPOOLED_BYTES = 1 << 30
"""A body that is longer is cut off."""


class ResponseFile:
    """A body that one thread writes while the event loop sends it. The file is gone when both have closed it."""

    def __init__(self) -> None:
        self._file = _open_file()
        self._lock, self._open_halves = threading.Lock(), 2
        self._pending = bytearray()
        self.size = 0
        """Bytes that were appended."""
        self.is_complete = self.is_failed = self.is_abandoned = False
        self.on_progress: Callable[[], None] = lambda: None

    def append(self, data: bytes) -> None:
        self._pending += data
        self.size += len(data)
        if len(self._pending) >= PIECE_BYTES:
            self._write()
            self.on_progress()

    def _write(self) -> None:
        view = memoryview(bytes(self._pending))
        self._pending.clear()
        while view:
            view = view[self._file.write(view) :]

    def finish(self, is_good: bool) -> None:
        """The last call of the writing thread."""
        try:
            self._write()
        except OSError:  # no space left
            is_good = False
        self.is_failed = not is_good
        self.is_complete = True
        self._close_half()
        self.on_progress()

    def read(self, offset: int, size: int) -> bytes:
        """What is written already; the reader stays within `size` of the file."""
        return os.pread(self._file.fileno(), size, offset)

    def release(self) -> None:
        """The last call of the event loop: it has sent everything, or the other side is gone."""
        self.is_abandoned = True
        self.on_progress = lambda: None
        self._close_half()

    def _close_half(self) -> None:
        with self._lock:
            self._open_halves -= 1
            if not self._open_halves:
                self._file.close()


def _open_file() -> FileIO:
    """A file without a name; in memory where there is no folder for it (a container whose file system is read-only)."""
    try:
        return tempfile.TemporaryFile(buffering=0)
    except OSError:
        return FileIO(os.memfd_create("answer"), "w+b")


@dataclass(frozen=True, slots=True)
class Response:
    """Status line (`200 OK`), headers and body as the application gave them."""

    status: str
    headers: list[tuple[str, str]]
    body: bytes | ResponseFile
    close: bool = False
    """End the connection after it: what the other side still sends is not read."""


def head_of(response: Response, keeps: bool, is_bodiless: bool, can_chunk: bool) -> tuple[bytes, bool, bool]:
    """Status line and headers; whether the body follows in chunks; whether the connection is kept."""
    lines, has_length = [f"HTTP/1.1 {response.status}"], False
    for name, value in response.headers:
        lowered = name.lower()
        if lowered not in _OURS:
            has_length = has_length or lowered == "content-length"
            lines.append(f"{name}: {value}")
    is_chunked = False
    if not has_length and not is_bodiless:
        if isinstance(response.body, bytes):
            lines.append(f"Content-Length: {len(response.body)}")
        elif can_chunk:
            is_chunked = True
            lines.append("Transfer-Encoding: chunked")
        else:
            keeps = False
    lines += [f"Date: {_date(int(utcnow().timestamp()))}", f"Connection: {'keep-alive' if keeps else 'close'}", "", ""]
    return "\r\n".join(lines).encode("latin-1", "replace"), is_chunked, keeps


@lru_cache(maxsize=2)
def _date(second: int) -> str:
    return formatdate(second, usegmt=True)


def plain_response(status: int, retry_after: int | None = None) -> Response:
    """An answer of the server itself, after which the connection is closed."""
    phrase = _PHRASES.get(status, "Refused")
    body = f"{phrase}\n".encode()
    headers = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body)))]
    if retry_after is not None:
        headers.append(("Retry-After", str(retry_after)))
    return Response(f"{status} {phrase}", headers, body, close=True)


_OURS = ("connection", "transfer-encoding", "date", "keep-alive")
_PHRASES = {
    400: "Bad request",
    403: "Forbidden",
    404: "Not found",
    408: "Request timeout",
    413: "Content too large",
    415: "Unsupported media type",
    429: "Too many requests",
    431: "Request header fields too large",
    500: "Internal server error",
    503: "Try again later",
}
