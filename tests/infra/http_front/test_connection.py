"""The HTTP front: bounds and deadlines of a request, and what of HTTP/1.1 the program relies upon."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bx24app.infra.http_front import connection, server
from bx24app.infra.http_front.admission import HOOKS, PAGES, RequestHead, Terms
from tests.infra.http_front.serving import connect, post, read_all, send, served, status_of

Start = Callable[[str, list[tuple[str, str]]], object]
GET = b"GET %b HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"


class Application:
    """Says what it got. `/slow` takes its thread for five seconds, `/long` answers 3 MiB, `/longest` 50."""

    def __init__(self, note: Path | None = None) -> None:
        self._note = note
        self.extensions = {"bx24app.admission": self}

    def __call__(self, environ: dict[str, Any], start_response: Start) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path == "/slow":
            time.sleep(5)
        if path in ("/long", "/longest"):
            start_response("200 OK", [("Content-Type", "text/plain")])
            return self._pieces(48 if path == "/long" else 800)
        body = environ["wsgi.input"].read()
        names = ",".join(sorted(name for name in environ if name.startswith("HTTP_X")))
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [f"{environ['REQUEST_METHOD']} {path} {len(body)} {names}\n".encode()]

    def _pieces(self, count: int) -> Iterator[bytes]:
        try:
            for number in range(count):
                yield b"%c" % (97 + number % 26) * 65536
        finally:
            if self._note is not None:
                self._note.touch()

    def choose_terms(self, head: RequestHead) -> Terms | int:
        if head.header("content-encoding"):
            return 415
        if head.path.startswith("/mango"):
            return Terms(HOOKS, head.peer, 1000, must_judge=True)
        return Terms(PAGES, head.peer, 100_000)

    def judge_at_once(self, head: RequestHead, terms: Terms) -> bool:
        return head.path == "/mango/known"

    def judge(self, head: RequestHead, terms: Terms) -> int | None:
        return {"/mango/nobody": 404, "/mango/flood": 429}.get(head.path)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Deadlines of half a second instead of ten."""
    monkeypatch.setattr(connection, "BODY_SECONDS", 0.5)
    monkeypatch.setattr(connection, "HEAD_SECONDS", 0.5)
    monkeypatch.setattr(server, "_TICK_SECONDS", 0.05)


def test_unfinished_bodies_take_no_thread_and_end_with_408(quick: None) -> None:
    with served(Application) as port:
        peers = [connect(port) for _ in range(12)]
        for number, peer in enumerate(peers):  # six times as many as threads of each group
            peer.sendall(post("/mango/known" if number % 2 else "/page", 500, b"a" * 100))
        assert status_of(send(port, GET % b"/page")) == 200
        assert status_of(send(port, post("/mango/known", 3, b"abc", "Connection: close"))) == 200
        for peer in peers:
            answer = read_all(peer)
            assert status_of(answer) == 408
            assert b"Retry-After" in answer
            peer.close()


def test_a_trickle_does_not_prolong_a_body(quick: None) -> None:
    with served(Application) as port, connect(port) as peer:
        peer.sendall(post("/page", 90_000))
        began = time.monotonic()
        peer.settimeout(0.05)
        while time.monotonic() < began + 15:
            try:
                peer.sendall(b"a")
                if answer := peer.recv(4096):
                    break
            except TimeoutError:
                continue
        assert status_of(answer) == 408


def test_an_unfinished_head_ends(quick: None) -> None:
    with served(Application) as port:
        assert status_of(send(port, b"GET /page HTTP/1.1\r\nHost: t")) == 408
        assert send(port, b"") == b"", "a connection that says nothing is closed without a word"


@pytest.mark.parametrize(("path", "status"), [("/mango/nobody", 404), ("/mango/flood", 429)])
def test_a_hook_is_judged_before_its_body(path: str, status: int) -> None:
    with served(Application) as port:
        answer = send(port, post(path, 900))
        assert status_of(answer) == status
        assert status_of(send(port, post(path, 3, b"abc"))) == status, "nor after a short one"


def test_beyond_the_bound_the_oldest_body_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(server.UNFINISHED, PAGES, (64, 2))
    with served(Application) as port:
        peers = [connect(port) for _ in range(3)]
        for peer in peers:
            peer.sendall(post("/page", 10, b"abc"))
            time.sleep(0.1)
        assert status_of(read_all(peers[0])) == 408
        for peer in peers[1:]:
            peer.sendall(b"defghij")
            assert status_of(peer.recv(4096)) == 200
            peer.close()
        peers[0].close()


def test_pages_that_wait_take_nothing_from_hooks() -> None:
    with served(Application) as port:
        peers = [connect(port) for _ in range(2 + server.WAITING[PAGES])]
        for peer in peers:
            peer.sendall(GET % b"/slow")
        time.sleep(0.3)
        assert status_of(send(port, GET % b"/page")) == 503, "threads and queue of the pages are full"
        assert status_of(send(port, post("/mango/known", 3, b"abc", "Connection: close"))) == 200
        for peer in peers:
            peer.close()


def test_bounds_of_a_request() -> None:
    with served(Application) as port:
        assert status_of(send(port, post("/page", 100_001))) == 413
        assert status_of(send(port, post("/mango/known", 1001))) == 413
        assert status_of(send(port, post("/page", 3, b"abc", "Content-Encoding: gzip"))) == 415
        chunked = b"POST /mango/known HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n"
        assert status_of(send(port, chunked + b"2000\r\n" + b"a" * 2000)) == 413
        many = "".join(f"X-{number}: 1\r\n" for number in range(200))
        assert status_of(send(port, f"GET / HTTP/1.1\r\nHost: t\r\n{many}\r\n".encode())) == 431
        assert status_of(send(port, b"GET /" + b"a" * 70_000)) == 431
        assert status_of(send(port, b"what is this\r\n\r\n")) == 400
        both = b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        assert status_of(send(port, both)) == 400
        assert status_of(send(port, post("/page", -1))) == 400


def test_what_of_http_is_understood() -> None:
    with served(Application) as port:
        assert send(port, b"GET /old HTTP/1.0\r\n\r\n").endswith(b"\r\n\r\nGET /old 0 \n")
        absolute = b"GET http://test/whole?a=1 HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"
        assert send(port, absolute).endswith(b"GET /whole 0 \n")
        spoofed = b"GET /page HTTP/1.1\r\nHost: t\r\nX-One: 1\r\nX_Two: 2\r\nConnection: close\r\n\r\n"
        assert send(port, spoofed).endswith(b"GET /page 0 HTTP_X_ONE\n"), "a header with an underscore is left out"
        two = post("/page", 3, b"abc") + GET % b"/second"
        assert send(port, two).count(b"HTTP/1.1 200") >= 1
        with connect(port) as peer:
            peer.sendall(post("/page", 3, b"", "Expect: 100-continue", "Connection: close"))
            assert peer.recv(4096) == b"HTTP/1.1 100 Continue\r\n\r\n"
            peer.sendall(b"abc")
            assert read_all(peer).endswith(b"POST /page 3 \n")
        with connect(port) as peer:
            peer.sendall(GET % b"/half")
            peer.shutdown(1)
            assert read_all(peer).endswith(b"GET /half 0 \n"), "who closed one half still gets the answer"


def test_a_long_answer_is_whole_and_needs_no_thread_while_nobody_reads(tmp_path: Path) -> None:
    with served(lambda: Application(tmp_path / "produced"), threads=1) as port:
        with connect(port) as peer, connect(port) as other:
            peer.sendall(GET % b"/long")
            other.sendall(GET % b"/long")
            assert status_of(send(port, GET % b"/page")) == 200, "the only thread of the pages is free"
            whole = read_all(peer)
            assert b"Transfer-Encoding: chunked" in whole[:500]
            assert whole.count(b"b") >= 2 * 65536
            assert whole.endswith(b"0\r\n\r\n")
        assert (tmp_path / "produced").exists()
        assert send(port, b"GET /long HTTP/1.0\r\n\r\n").endswith(b"v" * 65536)


def test_whoever_does_not_read_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "SEND_SECONDS", 0.3)
    monkeypatch.setattr(server, "_TICK_SECONDS", 0.05)
    with served(Application) as port, connect(port) as peer:
        peer.sendall(GET % b"/longest")  # more than all buffers between here and there take
        time.sleep(1.5)
        assert not read_all(peer).endswith(b"0\r\n\r\n")




def test_a_long_answer_where_no_file_can_be_made(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: object) -> None:
        raise FileNotFoundError("No usable temporary directory found")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    with served(Application) as port:
        assert send(port, b"GET /long HTTP/1.0\r\n\r\n").endswith(b"v" * 65536)
