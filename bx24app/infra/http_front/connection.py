"""One connection: reads a request under its deadlines, lets a thread answer it, sends the answer, waits for the next.

Runs in the event loop and never waits in it. `HttpServer` makes one for each connection and looks at the deadlines.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, cast

from bx24app.infra.http_front.admission import RETRY_AFTER_SECONDS, SMALL_BODY_BYTES, RequestHead, Terms
from bx24app.infra.http_front.requests import RequestParser
from bx24app.infra.http_front.responses import PIECE_BYTES, Response, ResponseFile, head_of, plain_response
from bx24app.infra.http_front.wsgi_call import call_application, make_environ

if TYPE_CHECKING:
    from bx24app.infra.http_front.server import HttpServer

IDLE_SECONDS, HEAD_SECONDS = 75.0, 10.0
"""How long a kept connection may be silent (proxies close theirs after 60), and how long a head may take."""
BODY_SECONDS, BODY_BYTES_PER_SECOND = 10.0, 64 * 1024
"""A body has ten seconds, and one more for each 64 KiB that have come."""
SEND_SECONDS, SEND_BYTES_PER_SECOND = 20.0, 4096
"""How long a piece of an answer may stay unread."""
LINGER_SECONDS, LINGER_BYTES = 2.0, 1 << 20
"""After a refusal we read on for so long, since closing at once would take the refusal from the sender's hands."""
EARLY_BYTES = 64 * 1024
PIECES_AT_ONCE = 8


class Phase(Enum):
    IDLE, HEAD, BODY, WORK, SEND, LINGER = range(6)


@dataclass(slots=True)
class OpenRequest:
    """The request whose head has come. `began`: when (monotonic seconds)."""

    head: RequestHead
    terms: Terms
    is_judged: bool
    began: float
    is_judging: bool = False


class HttpConnection(asyncio.Protocol):
    """`deadline` (monotonic seconds; 0: none) belongs to the phase."""

    def __init__(self, server: HttpServer) -> None:
        self.server = server
        self.phase, self.deadline = Phase.IDLE, 0.0
        self.is_closed = False
        self._early, self._lingered = b"", 0
        self._request: OpenRequest | None = None
        self._must_close = self._is_paused = self._is_chunked = False
        self._file: ResponseFile | None = None
        self._sent = 0

    # --- called by asyncio ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.transport.set_write_buffer_limits(high=0)  # `resume_writing` is then called when everything is sent
        peer = self.transport.get_extra_info("peername")
        self._parser = RequestParser(self, str(peer[0]) if isinstance(peer, tuple) and peer else "")
        self._wait_for(Phase.IDLE, HEAD_SECONDS)
        self.server.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        self.is_closed = True
        self._release()
        self.server.remove(self)

    def eof_received(self) -> bool:
        return self.phase in (Phase.WORK, Phase.SEND)  # whoever only closed their half still wants the answer

    def data_received(self, data: bytes) -> None:
        if self.phase is Phase.LINGER:
            self._lingered += len(data)
            if self._lingered > LINGER_BYTES:
                self.transport.abort()
            return
        if self.phase in (Phase.WORK, Phase.SEND):  # the next request
            self._early += data
            if len(self._early) > EARLY_BYTES:
                self.transport.pause_reading()
            return
        if self.phase is Phase.IDLE:
            self._wait_for(Phase.HEAD, HEAD_SECONDS)
        self._parser.feed(data)
        self._after_data()

    def pause_writing(self) -> None:
        self._is_paused = True

    def resume_writing(self) -> None:
        self._is_paused = False
        if self.phase is Phase.SEND:
            self._send_on()

    # --- called by the parser ---

    def begin_body(self, head: RequestHead) -> Terms | int:
        terms = self.server.choose_terms(head)
        if isinstance(terms, int):
            return terms
        if terms.max_bytes > SMALL_BODY_BYTES and not self.server.may_be_large(self, head):
            return 503
        is_judged = not terms.must_judge or self.server.admission.judge_at_once(head, terms)
        self._request = OpenRequest(head, terms, is_judged, monotonic())
        self._wait_for(Phase.BODY, BODY_SECONDS)
        return terms

    def end_request(self) -> None:
        """Nothing: `_after_data` goes on."""

    def refuse(self, status: int) -> None:
        """Answer with this status, whether the body has come or not, and end the connection."""
        self._release()
        self.send(plain_response(status, RETRY_AFTER_SECONDS if status in (408, 429, 503) else None))

    # --- a request's way ---

    def _after_data(self) -> None:
        """What has come is parsed."""
        request = self._request
        if self.phase is not Phase.BODY or request is None:
            return
        if self._parser.is_complete:
            self.server.unfinished[request.terms.group].remove(self)
            self._wait_for(Phase.WORK, 0)
            self._submit(request, partial(self._answer, request))
        elif request.is_judged:
            self._expect_more(request)
        elif not request.is_judging:
            request.is_judging = True
            self.transport.pause_reading()
            self._submit(request, partial(self._judge, request))

    def _expect_more(self, request: OpenRequest) -> None:
        victim = self.server.unfinished[request.terms.group].add(self, request.terms.address)
        if victim is not None:
            cast("HttpConnection", victim).refuse(408)
        if not self._parser.size and request.head.header("expect").lower() == "100-continue":
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _submit(self, request: OpenRequest, job: Callable[[], None]) -> None:
        if not self.server.threads[request.terms.group].submit(job):
            self.refuse(503)

    def _judge(self, request: OpenRequest) -> None:
        """In a thread: may the body be read?"""
        status = self.server.admission.judge(request.head, request.terms)
        self.server.call_in_loop(partial(self._go_on, request, status))

    def _go_on(self, request: OpenRequest, status: int | None) -> None:
        request.is_judging, request.is_judged = False, True
        if self.is_closed or self.phase is not Phase.BODY:
            return
        if status is not None:
            self.refuse(status)
            return
        self.transport.resume_reading()
        self._after_data()

    def _answer(self, request: OpenRequest) -> None:
        """In a thread: judge if that is still to be done, and run the application."""
        head, terms = request.head, request.terms
        if self.is_closed and not terms.must_judge:
            return  # nobody waits for the page; a notification counts all the same
        if not request.is_judged:
            status = self.server.admission.judge(head, terms)
            if status is not None:
                self.server.call_in_loop(partial(self.refuse, status))
                return
        environ = make_environ(head, self._parser.body, self.server.address, terms.must_judge)
        call_application(self.server.application, environ, self._deliver)

    def _deliver(self, response: Response) -> None:
        file = response.body if isinstance(response.body, ResponseFile) else None
        if file is not None:
            file.on_progress = partial(self.server.call_in_loop, self._send_on)
        self.server.call_in_loop(partial(self.send, response))

    # --- the answer's way ---

    def send(self, response: Response) -> None:
        """Begin to send the answer."""
        body = response.body
        if self.is_closed or self.transport.is_closing() or self.phase in (Phase.SEND, Phase.LINGER):
            if isinstance(body, ResponseFile):
                body.release()
            return
        keeps = self._parser.keep_alive and not (response.close or self._parser.is_over or self.server.is_stopping)
        is_head = self._request is not None and self._request.head.method == "HEAD"
        is_bodiless = is_head or response.status[:3] in ("204", "304")
        text, self._is_chunked, keeps = head_of(response, keeps, is_bodiless, self._parser.can_chunk)
        self._must_close, self._sent = not keeps, 0
        size = len(text)
        if isinstance(body, ResponseFile):
            if is_bodiless:
                body.release()
            else:
                self._file = body
            self.transport.write(text)
        else:
            self.transport.write(text if is_bodiless else text + body)
            size += len(body)
            if self._is_paused:
                self.server.count_unsent(self, size)
        self._wait_for(Phase.SEND, SEND_SECONDS + size / SEND_BYTES_PER_SECOND)
        self._send_on()

    def _send_on(self) -> None:
        """Send what there is, as fast as the other side reads; at the end, wait for the next request."""
        if self.phase is not Phase.SEND:
            return
        for _ in range(PIECES_AT_ONCE):
            file = self._file
            if file is None or self._is_paused:
                break
            is_complete = file.is_complete  # looked at before the file, since it is written by another thread
            piece = file.read(self._sent, PIECE_BYTES)
            if not piece:
                if not is_complete:
                    self.deadline = 0.0  # the application is at work, not the reader
                    return
                if file.is_failed:
                    self.transport.abort()
                    return
                self._release_file()
                if self._is_chunked:
                    self.transport.write(b"0\r\n\r\n")
                break
            self._sent += len(piece)
            self.deadline = monotonic() + SEND_SECONDS
            self.transport.write(b"%x\r\n%b\r\n" % (len(piece), piece) if self._is_chunked else piece)
        if self._file is not None and not self._is_paused:
            self.server.call_in_loop(self._send_on)  # the reader is fast: let others have their turn
        elif not self._is_paused:
            self._end_response()

    def _end_response(self) -> None:
        self._release()
        if self._must_close:
            self._linger()
            return
        self._request = None
        self._parser.next_request()
        self._wait_for(Phase.IDLE, IDLE_SECONDS)
        self.server.wait_for_request(self)
        if self._early:
            early, self._early = self._early, b""
            self.transport.resume_reading()
            self.data_received(early)

    def _linger(self) -> None:
        self._wait_for(Phase.LINGER, LINGER_SECONDS)
        if (self._parser.is_complete and not self._early) or not self.transport.can_write_eof():
            self.transport.close()
            return
        self.transport.write_eof()
        self.transport.resume_reading()

    # --- deadlines ---

    def _wait_for(self, phase: Phase, seconds: float) -> None:
        if self.phase in (Phase.IDLE, Phase.HEAD) and phase not in (Phase.IDLE, Phase.HEAD):
            self.server.begin_request(self)
        self.phase, self.deadline = phase, monotonic() + seconds if seconds else 0.0

    def on_deadline(self, now: float) -> None:
        """The server's clock found that the deadline has passed."""
        if self.phase is Phase.BODY:
            began = self._request.began if self._request is not None else now
            self.deadline = began + BODY_SECONDS + self._parser.size / BODY_BYTES_PER_SECOND
            if now >= self.deadline:
                self.refuse(408)
        elif self.phase is Phase.HEAD:
            self._parser.is_ignoring = True
            self.refuse(408)
        else:
            self.transport.abort()

    def _release(self) -> None:
        if self._request is not None:
            self.server.unfinished[self._request.terms.group].remove(self)
        self.server.forget(self)
        self._release_file()

    def _release_file(self) -> None:
        if self._file is not None:
            self._file.release()
            self._file = None
