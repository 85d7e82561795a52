"""An HTTP server with scripted answers, one entry for each request, that records the requests.

Tests use it for answers that the sandbox portal never gives, such as broken JSON or a dropped connection.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class ReceivedRequest:
    """One request as it arrived."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads(self.body)
        return content


@dataclass
class ScriptedAnswer:
    """One answer. `drop` closes the connection without an answer; `hang` keeps it open until the server stops."""

    status: int = 200
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=dict)
    drop: bool = False
    hang: bool = False


Script = Callable[[ReceivedRequest], ScriptedAnswer]


class ScriptedServer:
    """`url` ends with a slash; `requests` are in order of arrival. The last script entry is never used up."""

    def __init__(self) -> None:
        self.requests: list[ReceivedRequest] = []
        self.script: list[ScriptedAnswer | Script] = []
        self.connections = 0
        self.over = threading.Event()
        self.url = ""

    def answer_with(self, *answers: ScriptedAnswer | Script | dict[str, Any]) -> None:
        """Set the script. A dict is a JSON answer with status 200."""
        self.script = [json_answer(entry) if isinstance(entry, dict) else entry for entry in answers]

    def _next(self, request: ReceivedRequest) -> ScriptedAnswer:
        self.requests.append(request)
        entry = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        return entry(request) if callable(entry) else entry


def json_answer(body: dict[str, Any], status: int = 200) -> ScriptedAnswer:
    """A JSON answer."""
    return ScriptedAnswer(status, json.dumps(body).encode(), {"Content-Type": "application/json"})


def refused(code: str, text: str = "", status: int = 400, **more: Any) -> ScriptedAnswer:
    """An error in the format of Bitrix24."""
    return json_answer({"error": code, "error_description": text, **more}, status)


@contextmanager
def scripted() -> Iterator[ScriptedServer]:
    """A running server on a loopback port."""
    server = ScriptedServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            super().setup()
            server.connections += 1

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            answer = server._next(ReceivedRequest(self.path, dict(self.headers.items()), body))
            if answer.hang:
                server.over.wait(30)
            if answer.hang or answer.drop:
                self.close_connection = True
                return
            self.send_response(answer.status)
            for name, value in {"Content-Length": str(len(answer.body)), **answer.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer.body)
            self.close_connection = self.close_connection or "Connection" in answer.headers

        do_GET = do_POST  # noqa: N815

        def log_message(self, format: str, *args: Any) -> None:
            """Log nothing."""

    listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listener.daemon_threads = True
    server.url = f"http://127.0.0.1:{listener.server_port}/"
    thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.over.set()
        listener.shutdown()
        listener.server_close()
        thread.join()
