"""The proxies' files that we ship, run by the real programs: they buffer, and their logs hold nothing secret."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from scripts import needs
from tests.stress.chaos.web_part import running_proxy
from tests.support.servers import free_port

PROXIES = [
    pytest.param(name, marks=pytest.mark.skipif(needs.proxy(name.lower()) is None, reason=f"no {name} here"))
    for name in ("nginx", "Caddy")
]
SECRETS = ("secret-hook-key", "secret-ticket", "secret-token")
ADDRESSES = (
    "/mango/secret-hook-key/events/call", "/mango?pbx=secret-hook-key/broken", "/media/1?ticket=secret-ticket",
    "/broken?a=b&c=secret-token",
)  # fmt: skip


class Upstream(BaseHTTPRequestHandler):
    """Notes the paths of requests whose head has come."""

    paths: list[str]
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.paths.append(self.path)
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._say(b"stored")

    def do_GET(self) -> None:
        if "broken" in self.path:
            self.close_connection = True  # without an answer: the proxy logs an error
            return
        self._say(b"ok")

    def _say(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        """Nothing."""


@pytest.fixture
def upstream() -> Iterator[tuple[int, list[str]]]:
    Upstream.paths = []
    server = ThreadingHTTPServer(("127.0.0.1", free_port()), Upstream)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield server.server_port, Upstream.paths
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("name", PROXIES)
def test_the_shipped_file(name: str, tmp_path: Path, upstream: tuple[int, list[str]]) -> None:
    own, paths = upstream
    port = free_port()
    with running_proxy(name, tmp_path, own, port):
        with socket.create_connection(("127.0.0.1", port)) as peer:
            head = f"POST /mango/unfinished HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: 50000\r\n\r\n"
            peer.sendall(head.encode() + b"a" * 9000)
            time.sleep(0.7)
            assert paths == [], "the program hears of whole requests only"
            peer.sendall(b"a" * 41_000)
            assert peer.recv(4096).startswith(b"HTTP/1.1 200")
        assert paths == ["/mango/unfinished"]
        for path in ADDRESSES:
            for method in ("POST", "GET"):
                client = HTTPConnection("127.0.0.1", port, timeout=30)
                client.request(method, path, b"a=b" if method == "POST" else None, {"X-Frame-Session": "secret-token"})
                client.getresponse().read()
                client.close()
        client = HTTPConnection("127.0.0.1", port, timeout=30)
        client.request("GET", "/readyz")
        assert client.getresponse().status in (403, 404), "for internal machines only"
        client.close()
    logs = "".join(file.read_text(errors="replace") for file in tmp_path.glob("*.log"))
    assert logs, "something was logged"
    assert [secret for secret in SECRETS if secret in logs] == []
