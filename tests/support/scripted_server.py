"""A server that answers as it is told, one script entry a request, and keeps what it was asked. For what no honest portal would do."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Asked:
    """One request as it arrived."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads(self.body)
        return content


@dataclass
class Says:
    """One answer. `drop` closes the connection without one; `hang` holds it until the server stops."""

    status: int = 200
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=dict)
    drop: bool = False
    hang: bool = False


Script = Callable[[Asked], Says]


class Scripted:
    """`url` with a slash at its end; `asked` in order of arrival. Without a script entry left, the last one answers again."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.script: list[Says | Script] = []
        self.connections = 0
        self.over = threading.Event()
        self.url = ""

    def says(self, *answers: Says | Script | dict[str, Any]) -> None:
        """What comes next; a dict stands for a JSON answer of status 200."""
        self.script = [told(entry) if isinstance(entry, dict) else entry for entry in answers]

    def _next(self, asked: Asked) -> Says:
        self.asked.append(asked)
        entry = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        return entry(asked) if callable(entry) else entry


def told(body: dict[str, Any], status: int = 200) -> Says:
    """A JSON answer."""
    return Says(status, json.dumps(body).encode(), {"Content-Type": "application/json"})


def refused(code: str, text: str = "", status: int = 400, **more: Any) -> Says:
    """An error as Bitrix24 words it."""
    return told({"error": code, "error_description": text, **more}, status)


@contextmanager
def scripted() -> Iterator[Scripted]:
    """A running server on a loopback port."""
    server = Scripted()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            super().setup()
            server.connections += 1

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            says = server._next(Asked(self.path, dict(self.headers.items()), body))
            if says.hang:
                server.over.wait(30)
            if says.hang or says.drop:
                self.close_connection = True
                return
            self.send_response(says.status)
            for name, value in {"Content-Length": str(len(says.body)), **says.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(says.body)
            self.close_connection = self.close_connection or "Connection" in says.headers

        do_GET = do_POST  # noqa: N815

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing."""

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
