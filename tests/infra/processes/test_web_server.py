"""The web part: what the program relies upon in the WSGI server, and how it starts and stops."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from flask import Flask, Response, request

from bx24app.infra.processes.child_process import run_child
from bx24app.infra.processes.web_server import ListenError, address_of, is_answering, open_listener, serve_web
from tests.infra.processes.test_supervisor import children, lines, lives, ready, tree, until


def create_app() -> Flask:
    app = Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = 256 * 1024

    @app.post("/echo")
    def echo() -> Response:
        answer = Response(f"{request.form['json']} {request.remote_addr} {request.headers['X-Two']}")
        answer.set_cookie("one", "1")
        answer.set_cookie("two", "2")
        return answer

    @app.get("/слово/<word>")
    def word(word: str) -> str:
        return f"{word} {request.args['q']}"

    @app.get("/short")
    def short() -> str:
        return "soon"

    @app.get("/slow/<float:seconds>")
    def slow(seconds: float) -> str:
        Path(request.args["note"]).touch()
        time.sleep(seconds)
        return "late"

    @app.get("/stream")
    def stream() -> Response:
        closed = Path(request.args["note"])

        def parts() -> Iterator[bytes]:
            try:
                for _ in range(1000):
                    yield b"x" * 65536
                    time.sleep(0.01)
            finally:
                closed.touch()

        return Response(parts(), content_type="audio/mpeg")

    @app.get("/fault")
    def fault() -> str:
        raise RuntimeError("on purpose")

    return app


@contextmanager
def served(grace: float = 8.0) -> Iterator[tuple[str, int]]:
    """The app above in a forked web part; gives its address and process."""
    listener, parent = open_listener("127.0.0.1", 0), os.getpid()
    pid = os.fork()
    if pid == 0:
        run_child("web", partial(serve_web, create_app, listener, 4, grace), parent)
    address = address_of(listener)
    listener.close()
    try:
        until(partial(is_answering, address), "it serves")
        yield address, pid
    finally:
        if not os.waitpid(pid, os.WNOHANG)[0]:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


@contextmanager
def connection(address: str) -> Iterator[http.client.HTTPConnection]:
    to = http.client.HTTPConnection(str(urlsplit(address).hostname), urlsplit(address).port, timeout=30)
    try:
        yield to
    finally:
        to.close()


def ended(pid: int) -> int:
    """The exit code of a child, which must end within a generous time."""
    found: list[int] = []
    until(lambda: found or _note(found, pid), "it ends")
    return found[0]


def _note(found: list[int], pid: int) -> bool:
    done = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    if done is not None:
        found.append(done.si_status)
    return bool(found)


def test_what_flask_needs_of_the_server(tmp_path: Path) -> None:
    with served() as (address, _), connection(address) as to:
        form = {"Content-Type": "application/x-www-form-urlencoded", "X-Two": "a, b"}
        for _ in range(2):  # keep-alive
            to.request("POST", "/echo", "json=%7B%22a%22%3A1%7D", form)
            answer = to.getresponse()
            assert answer.read() == b'{"a":1} 127.0.0.1 a, b'
            assert [value.split(";")[0] for value in answer.headers.get_all("Set-Cookie", [])] == ["one=1", "two=2"]
        to.request("POST", "/echo", iter([b"json=", b"chunked"]), form, encode_chunked=True)
        assert to.getresponse().read() == b"chunked 127.0.0.1 a, b"
        to.request("GET", "/%D1%81%D0%BB%D0%BE%D0%B2%D0%BE/a%2Bb%20c?q=%D1%8F+1")
        assert to.getresponse().read().decode() == "a+b c я 1"
        to.request("HEAD", "/short")
        answer = to.getresponse()
        assert (answer.status, answer.headers["Content-Length"], answer.read()) == (200, "4", b"")
        to.request("GET", "/fault")
        answer = to.getresponse()
        assert answer.status == 500
        assert b"on purpose" not in answer.read()


def test_a_body_over_the_limit_is_413() -> None:
    with served() as (address, _), connection(address) as to:
        to.request("POST", "/echo", b"json=" + b"x" * 300_000, {"Content-Type": "application/x-www-form-urlencoded"})
        assert to.getresponse().status == 413


def test_idle_connections_keep_nobody_out() -> None:
    with served() as (address, _):
        place = (str(urlsplit(address).hostname), urlsplit(address).port)
        idle = [socket.create_connection(place) for _ in range(200)]
        with connection(address) as to:
            to.request("GET", "/short")
            assert to.getresponse().read() == b"soon"
        for sock in idle:
            sock.close()


def test_answers_leave_at_once() -> None:
    """Without TCP_NODELAY on the listener every answer waits 40 ms for the peer's delayed acknowledgement."""
    with open_listener("127.0.0.1", 0) as listener:
        assert listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_stream_stops_when_its_reader_goes(tmp_path: Path) -> None:
    with served() as (address, _):
        with connection(address) as to:
            to.request("GET", f"/stream?note={tmp_path / 'closed'}")
            assert to.getresponse().read(65536)
        until((tmp_path / "closed").exists, "the application's iterator is closed")


def test_an_open_request_is_answered_after_sigterm(tmp_path: Path) -> None:
    with served() as (address, pid), connection(address) as idle, connection(address) as to:
        idle.request("GET", "/short")
        idle.getresponse().read()  # now idle, kept alive: must not keep the server
        to.request("GET", f"/slow/1.0?note={tmp_path / 'begun'}")
        until((tmp_path / "begun").exists, "the request is in hand")
        os.kill(pid, signal.SIGTERM)
        assert to.getresponse().read() == b"late"
        assert ended(pid) == 0


def test_a_request_that_takes_too_long_is_dropped(tmp_path: Path) -> None:
    with served(grace=0.3) as (address, pid), connection(address) as to:
        to.request("GET", f"/slow/600.0?note={tmp_path / 'begun'}")
        until((tmp_path / "begun").exists, "the request is in hand")
        os.kill(pid, signal.SIGTERM)
        assert ended(pid) == 0
        with pytest.raises(ConnectionError):
            to.getresponse()


def test_connections_wait_while_a_killed_web_part_is_started_again(tmp_path: Path) -> None:
    with tree("whole", tmp_path) as up:
        ready(up)
        address = lines(tmp_path, "address")[0]
        web = next(pid for pid, title in children(up.pid).items() if title == "bx24app: web")
        os.kill(web, signal.SIGKILL)
        until(lambda: not lives(web), "it is dead")
        with connection(address) as to:  # answered, never refused
            to.request("GET", "/")
            answer = to.getresponse()
            assert answer.read() == b"ok"
            assert int(answer.headers["X-Pid"]) != web


def test_a_port_in_use_is_told_in_one_line() -> None:
    with open_listener("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with pytest.raises(
            ListenError,
            match=rf"^cannot listen on 127\.0\.0\.1:{port}: Address already in use; give another --host or --port$",
        ):
            open_listener("127.0.0.1", port)
    with open_listener("127.0.0.1", port):
        pass


def test_a_host_of_another_machine_is_told_in_one_line() -> None:
    with pytest.raises(ListenError, match=r"^cannot listen on 192\.0\.2\.1:0: Cannot assign requested address"):
        open_listener("192.0.2.1", 0)
    with pytest.raises(ListenError, match=r"^cannot listen on no such host:0: "):
        open_listener("no such host", 0)


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "localhost"])
def test_the_address_names_the_port_that_was_taken(host: str) -> None:
    with open_listener(host, 0) as listener:
        port = urlsplit(address_of(listener)).port
        assert port == listener.getsockname()[1] != 0
        assert not is_answering(address_of(listener)), "nobody serves yet"
        socket.create_connection(("127.0.0.1", port)).close()
