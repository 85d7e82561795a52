"""A proxy in front of several web hosts, for tests.

It takes turns and tries the next host if one refuses the connection or breaks it off.
"""

from __future__ import annotations

import http.client
import itertools
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any

PATIENCE_SECONDS = 30.0
_HOP = {"connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade", "content-length", "date", "server"}
"""Headers of a single connection (RFC 9110, 7.6.1), and those that the next server writes anew."""


class Front:
    """The proxy as a WSGI application. `addresses`: host:port of each web host, including those that are down."""

    def __init__(self) -> None:
        self.addresses: list[str] = []
        self.turned_away = 0
        """How many requests the first host did not answer."""
        self._turns = itertools.count()

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        path = environ["PATH_INFO"] + (f"?{environ['QUERY_STRING']}" if environ["QUERY_STRING"] else "")
        request = (environ["REQUEST_METHOD"], path, _body(environ), _headers(environ))
        first, count = next(self._turns), len(self.addresses)
        for turn in range(count):
            try:
                status, headers, body = _ask(self.addresses[(first + turn) % count], *request)
            except (OSError, http.client.HTTPException):
                # Repeat notifications, too, although the first host may have stored one: the app recognises duplicates,
                # and Mango does not repeat an unanswered notification.
                self.turned_away += turn == 0
                continue
            start_response(f"{status} {HTTPStatus(status).phrase}", headers)
            return [body]
        start_response("502 Bad Gateway", [("Content-Type", "text/plain")])
        return [b"no host answers\n"]


def _ask(
    address: str, method: str, path: str, body: bytes, request_headers: dict[str, str]
) -> tuple[int, list[tuple[str, str]], bytes]:
    host, _, port = address.partition(":")
    peer = http.client.HTTPConnection(host, int(port), timeout=PATIENCE_SECONDS)
    try:
        peer.request(method, path, body, request_headers)
        answer = peer.getresponse()
        headers = [(name, value) for name, value in answer.getheaders() if name.lower() not in _HOP]
        return answer.status, headers, answer.read()
    finally:
        peer.close()


def _body(environ: dict[str, Any]) -> bytes:
    length = int(environ.get("CONTENT_LENGTH") or 0)
    body: bytes = environ["wsgi.input"].read(length) if length else b""
    return body


def _headers(environ: dict[str, Any]) -> dict[str, str]:
    headers = {name[5:].replace("_", "-").title(): value for name, value in environ.items() if name.startswith("HTTP_")}
    headers = {name: value for name, value in headers.items() if name.lower() not in _HOP}
    if environ.get("CONTENT_TYPE"):
        headers["Content-Type"] = environ["CONTENT_TYPE"]
    return headers
