"""One POST to a portal: sends it over a pooled OAuth2Session, bounds the answer, and tells whether a failed request
left at all.

`client` uses it for every request. The token is sent in the JSON body as ``auth``, as the documentation says: that
keeps it out of access logs, and only then does `attachRecord` return an upload address that works without a token
(server's source).
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import ssl
import threading
import time
from dataclasses import dataclass
from http.cookiejar import DefaultCookiePolicy
from importlib.metadata import version
from pathlib import Path
from typing import Any, BinaryIO, Final

import requests
from oauthlib.oauth2 import WebApplicationClient
from requests.adapters import HTTPAdapter
from requests_oauthlib import OAuth2Session
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError

from bx24app.bitrix24.answer_size import COMMAND_BOUNDS, parse_bounded, read_bounded
from bx24app.bitrix24.errors import CERTIFICATE, AnswerLost, Later, NotSent
from bx24app.bitrix24.request_deadline import shorten_timeout
from bx24app.domain.json_pieces import AnswerBounds
from bx24app.domain.retry_after import read_retry_after

USER_AGENT: Final = f"bx24app/{version('bx24app')} (Mango Office)"
"""Bitrix24 asks integrations to name themselves and their version (general-principles.md)."""
TIMEOUT: Final = (3.05, 65.0)
"""Seconds to connect and to wait for bytes; the cloud ends a request of its own after 60 s."""
_CHUNK_SIZE: Final = 256 * 1024
"""Bytes of a file that are read and sent at once; by urllib3's own 16 KB an upload costs more CPU time."""


class BodyTokenClient(WebApplicationClient):
    """Puts the access token into the JSON body as ``auth``. Any body but a dict (an upload) is sent unchanged."""

    def add_token(  # type: ignore[no-untyped-def]
        self, uri, http_method="GET", body=None, headers=None, token_placement=None, **kwargs
    ):
        if isinstance(body, dict):
            body = encode_json({**body, "auth": self.access_token})
        return uri, headers, body


def encode_json(content: dict[str, Any]) -> bytes:
    """JSON as UTF-8. A lone surrogate becomes "?": PHP cannot parse a body that holds one, and answers NO_AUTH_FOUND.
    """
    return json.dumps(content, ensure_ascii=False).encode("utf-8", "replace")


class Transport:
    """Connections of one process: a pooled adapter shared by the sessions of all portals. Thread-safe.

    Args:
        adapter: makes the connections; in the app a `ssrf_guard.GuardedAdapter`.
        plain_http: admit http (demo and tests; the `AddressPolicy` says to which hosts).
    """

    def __init__(
        self, adapter: HTTPAdapter | None = None, ca_bundle: Path | None = None, *, plain_http: bool = False
    ) -> None:
        self._adapter = adapter or HTTPAdapter(pool_connections=256, pool_maxsize=64)
        self._verify: bool | str = str(ca_bundle) if ca_bundle else True
        self._thread_local = threading.local()
        if plain_http:
            os.environ["OAUTHLIB_INSECURE_TRANSPORT"] = "1"  # oauthlib has no other switch; the AddressPolicy decides
        for library in ("requests_oauthlib", "oauthlib", "urllib3"):
            logging.getLogger(library).setLevel(logging.INFO)  # at DEBUG they log tokens and upload addresses

    def get_session(self, token: str = "") -> OAuth2Session:
        """This thread's session, with the token of the next request, so that no portal ever sees another's."""
        session: OAuth2Session | None = getattr(self._thread_local, "session", None)
        if session is None:
            session = OAuth2Session(client=BodyTokenClient("-"))
            session.mount("https://", self._adapter)
            session.mount("http://", self._adapter)
            session.trust_env = False
            session.headers["User-Agent"] = USER_AGENT
            session.verify = self._verify
            session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
            self._thread_local.session = session
        session.token = {"access_token": token, "token_type": "Bearer"} if token else {}
        return session

    def post(
        self, url: str, body: Any, headers: dict[str, str], token: str = "", bounds: AnswerBounds = COMMAND_BOUNDS
    ) -> PortalResponse:
        """Send a request and read the whole answer.

        Raises:
            NotSent: no connection was made. AnswerLost: the connection broke, or the answer took too long or was
            over-large.
        """
        timeout = shorten_timeout(TIMEOUT)
        try:
            with self.get_session(token).post(
                url, data=body, headers=headers, timeout=timeout, allow_redirects=False, stream=True
            ) as response:
                content = read_bounded(response, bounds)
                status, location = response.status_code, _header_address(response.headers.get("Location"))
                pause = read_retry_after(response.headers.get("Retry-After"), time.time())
            return PortalResponse(status, parse_bounded(content, bounds), location, pause)
        except (requests.RequestException, HTTPError, OSError) as error:
            raise classify_failure(error) from None


@dataclass(frozen=True, slots=True)
class PortalResponse:
    """`body` is the parsed JSON; None if the answer was not JSON. `retry_after`: seconds of the header Retry-After."""

    status: int
    body: Any
    location: str | None
    retry_after: float | None = None


def _header_address(value: str | None) -> str | None:
    """An address from a header. One with Cyrillic comes as UTF-8, and urllib3 reads headers as Latin-1."""
    try:
        return value and value.encode("latin-1").decode()
    except UnicodeError:
        return value


def classify_failure(error: Exception, peer: str = "the portal") -> Later:
    """`NotSent` if the connection was never made, else `AnswerLost`. The error's text may hold a token, so only its
    name is used.
    """
    inner = error.args[0] if error.args else None
    reason = getattr(inner, "reason", inner)
    not_connected = (ConnectTimeoutError, NewConnectionError, requests.ConnectTimeout, requests.exceptions.InvalidURL)
    if isinstance(error, not_connected) or isinstance(reason, not_connected):
        cause = reason if isinstance(reason, not_connected) else error
        distrust = _certificate_error(cause)
        if distrust is not None:
            return NotSent(f"the certificate of {peer} is not trusted ({distrust.verify_message})", cause=CERTIFICATE)
        return NotSent(f"no connection to {peer} ({type(cause).__name__})")
    return AnswerLost(f"the connection to {peer} broke ({type(error).__name__})")


def _certificate_error(error: BaseException | None) -> ssl.SSLCertVerificationError | None:
    """Why a certificate was refused: urllib3 wraps it, and `ssrf_guard` wraps that."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return error
        inner = error.args[0] if error.args and isinstance(error.args[0], BaseException) else None
        error = error.__cause__ or inner
    return None


class MultipartBody:
    """A multipart body with one file that is read while it is sent, so it is never whole in memory."""

    def __init__(self, stream: BinaryIO, size: int, filename: str, field: str) -> None:
        boundary = f"bx24app{secrets.token_hex(16)}"
        head = (
            f"--{boundary}\r\n"
            f'Content-Disposition: form-data; name="{_header_text(field)}"; filename="{_header_text(filename)}"\r\n'
            "Content-Type: audio/mpeg\r\n\r\n"
        ).encode()
        tail = f"\r\n--{boundary}--\r\n".encode()
        self.content_type = f"multipart/form-data; boundary={boundary}"
        self._parts: list[bytes | BinaryIO] = [head, stream, tail]
        self._length = len(head) + size + len(tail)
        self._part_index = 0

    def read(self, size: int = -1) -> bytes:
        size = max(size or 0, _CHUNK_SIZE)
        while self._part_index < len(self._parts):
            part = self._parts[self._part_index]
            if isinstance(part, bytes):
                self._part_index += 1
                return part
            chunk: bytes = part.read(size)
            if chunk:
                return chunk
            self._part_index += 1
        return b""

    def __len__(self) -> int:
        return self._length


def _header_text(text: str) -> str:
    """Text for a quoted string of a header: without quotes, backslashes and line breaks."""
    return "".join(letter for letter in text if letter.isprintable() and letter not in '"\\')
