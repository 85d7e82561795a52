"""Parses one HTTP/1.1 request after the other from what a connection receives (httptools: llhttp of Node.js).

Knows the bounds of a head and of a body, and nothing of threads, deadlines or sockets.
"""

from __future__ import annotations

from typing import Protocol
from urllib.parse import unquote_to_bytes

import httptools

from bx24app.infra.http_front.admission import RequestHead, Terms

HEAD_BYTES, HEAD_LINES = 64 * 1024, 100


class RequestListener(Protocol):
    """What a parser tells the connection."""

    def begin_body(self, head: RequestHead) -> Terms | int:
        """The head is complete: the terms, or the status of the refusal."""

    def end_request(self) -> None:
        """The body is complete."""

    def refuse(self, status: int) -> None:
        """The request breaks a bound."""


class RequestParser:
    """The request under way. A second one in the same packet is not parsed: the connection ends after the first."""

    def __init__(self, listener: RequestListener, peer: str) -> None:
        self._listener, self._peer = listener, peer
        self._parser = httptools.HttpRequestParser(self)
        self.is_ignoring = False
        """Nothing more is taken: the request was refused, or another one follows it too early."""
        self.keep_alive = self.is_over = False
        self._begin()

    def _begin(self) -> None:
        self._target, self._headers, self._head_size = b"", list[tuple[bytes, bytes]](), 0
        self._chunks, self._size, self._most = list[bytes](), 0, 0
        self.has_head = self.is_complete = False

    @property
    def can_chunk(self) -> bool:
        """Does the other side understand an answer in chunks?"""
        return bool(self._parser.get_http_version() == "1.1")

    @property
    def body(self) -> bytes:
        return self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)

    @property
    def size(self) -> int:
        return self._size

    def feed(self, data: bytes) -> None:
        """Raises nothing: what is no HTTP is refused with 400."""
        if self.is_ignoring:
            return
        if not self.has_head:
            self._head_size += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self.is_over = True  # we speak nothing else: the request is answered as if it had not asked
        except httptools.HttpParserError:
            if not self.is_ignoring and not self.is_complete:
                self._refuse(400)
        if not self.has_head and self._head_size > HEAD_BYTES:
            self._refuse(431)

    def next_request(self) -> None:
        """The one before is answered."""
        self._begin()

    # --- called by httptools ---

    def on_message_begin(self) -> None:
        if self.is_complete:
            self.is_ignoring = self.is_over = True

    def on_url(self, part: bytes) -> None:
        if not self.is_ignoring:
            self._target += part

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.is_ignoring or self.has_head:  # a trailer
            return
        self._headers.append((name, value))
        if len(self._headers) > HEAD_LINES:
            self._refuse(431)

    def on_headers_complete(self) -> None:
        if self.is_ignoring:
            return
        self.has_head, self.keep_alive = True, self._parser.should_keep_alive()
        head = self._head()
        if head is None:
            self._refuse(400)
            return
        terms = self._listener.begin_body(head)
        if isinstance(terms, int):
            self._refuse(terms)
            return
        self._most = terms.max_bytes
        length = head.header("content-length")
        if length and int(length) > self._most:
            self._refuse(413)

    def on_body(self, chunk: bytes) -> None:
        if self.is_ignoring:
            return
        self._size += len(chunk)
        if self._size > self._most:
            self._refuse(413)
            return
        self._chunks.append(chunk)

    def on_message_complete(self) -> None:
        if self.is_ignoring:
            return
        self.is_complete = True
        self._listener.end_request()

    # --- ---

    def _head(self) -> RequestHead | None:
        target = self._target
        if not target.startswith(b"/"):
            try:
                parts = httptools.parse_url(target)
            except httptools.HttpParserInvalidURLError:
                return None
            if not parts.schema:
                return None
            path, query = parts.path or b"/", parts.query or b""
        else:
            path, _, query = target.partition(b"#")[0].partition(b"?")
        return RequestHead(
            self._parser.get_method().decode("latin-1"),
            unquote_to_bytes(path).decode("latin-1"),
            query.decode("latin-1"),
            [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in self._headers],
            self._peer,
        )

    def _refuse(self, status: int) -> None:
        self.is_ignoring = True
        self._chunks = []
        self._listener.refuse(status)
