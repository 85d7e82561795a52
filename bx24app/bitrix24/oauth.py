"""Client of Bitrix24's authorisation servers: whose a token is, code exchange, refresh.

They are the only hosts that ever see a client secret. `portals.tokens` and `portals.frame_auth` call this. A refresh
token works once: the caller must store the new pair before it is used. In the answer to a token request `domain` is the
authorisation server itself; the portal is in `client_endpoint`. Sources: official pages `settings/oauth/*`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import requests
from urllib3.exceptions import HTTPError

from bx24app.bitrix24 import error_table, errors
from bx24app.bitrix24.errors import AnswerLost
from bx24app.bitrix24.transport import classify_failure
from bx24app.domain.host_names import to_ascii_netloc, to_ascii_url

TIMEOUT = (3.05, 15.0)
TOTAL_TIMEOUT = 20.0
"""Seconds for a whole answer. A page waits for less: see `request_deadline`."""
MAX_ANSWER_BYTES = 256 * 1024
"""Bytes of an answer that are read at most."""


@dataclass(frozen=True, slots=True)
class AppInfo:
    """What the authorisation server knows about an access token. Host names are in ASCII."""

    client_id: str
    user_id: int
    member_id: str
    domain: str
    client_endpoint: str
    scope: str
    is_installed: bool
    status: str
    registered_endpoint: str = ""
    """What the server wrote, where https stands in `client_endpoint` in place of its http; else empty."""


@dataclass(frozen=True, slots=True)
class TokenPair:
    """Access and refresh token with what belongs to them; `expires_in` is in seconds from now."""

    access_token: str
    refresh_token: str
    expires_in: int
    member_id: str
    client_endpoint: str
    server_endpoint: str
    user_id: int
    scope: str

    def __repr__(self) -> str:
        return f"<Pair of {self.member_id}>"


class OAuthServers:
    """The servers that the configuration allows, over one pooled session.

    `pass_gate`: takes the server; each request is sent inside what it returns.
    """

    def __init__(
        self,
        servers: Iterable[str],
        session: requests.Session,
        pass_gate: Callable[[str], AbstractContextManager[None]] | None = None,
    ) -> None:
        self.servers = tuple(server.rstrip("/") for server in servers)
        self._session, self._pass_gate = session, pass_gate or (lambda _: nullcontext())

    def find_server(self, endpoint: str | None) -> str | None:
        """The allowed server whose host `endpoint` names; None if it names none of them."""
        try:
            wanted = urlsplit(endpoint or "").netloc.lower()
        except ValueError:
            return None
        return next((server for server in self.servers if urlsplit(server).netloc.lower() == wanted), None)

    def fetch_app_info(self, access_token: str, server: str) -> AppInfo:
        """Ask whose token this is. Everything that a browser claims is checked against this answer.

        Raises:
            Later: the server does not answer now. NeedsAdmin (``authorise``), Refused: it does not know the token.
            NeedsAdmin (other codes), Gone: it knows the token, but the application is not paid for, or no longer
            installed.
        """
        answer = self._send_request("GET", server, "/rest/app.info", {"auth": access_token})
        result = answer.get("result") or {}
        install = result.get("install") or {}
        try:
            return AppInfo(
                client_id=str(result["client_id"]),
                user_id=int(result["user_id"]),
                member_id=str(install["member_id"]),
                domain=to_ascii_netloc(str(install["domain"])),
                client_endpoint=to_ascii_url(str(install["client_endpoint"])),
                scope=str(result.get("scope") or install.get("scope") or ""),
                is_installed=bool(install.get("installed")),
                status=str(install.get("status") or ""),
            )
        except (KeyError, TypeError, ValueError):
            raise errors.Refused("invalid_token", "the auth server does not say whose token this is") from None

    def exchange_code(self, server: str, client_id: str, client_secret: str, code: str) -> TokenPair:
        """Exchange a code of the authorisation page, valid once and for 30 s, for a pair. Raises as `refresh_pair`
        does.
        """
        fields = {
            "grant_type": "authorization_code",
            "client_id": client_id,
            "client_secret": client_secret,
            "code": code,
        }
        return self._request_pair(server, fields)

    def refresh_pair(self, server: str, client_id: str, client_secret: str, refresh_token: str) -> TokenPair:
        """Get a fresh pair; the old refresh token is then invalid. After a lost answer the request is repeated once.

        Raises:
            Later: the server does not answer now, the old pair stays valid. NeedsAdmin, Gone: the refresh token is
            invalid.
        """
        fields = {
            "grant_type": "refresh_token",
            "client_id": client_id,
            "client_secret": client_secret,
            "refresh_token": refresh_token,
        }
        try:
            return self._request_pair(server, fields)
        except AnswerLost:
            return self._request_pair(server, fields)

    def _request_pair(self, server: str, fields: dict[str, str]) -> TokenPair:
        answer = self._send_request("POST", server, "/oauth/token/", fields)
        try:
            return TokenPair(
                access_token=_require_token(answer["access_token"]),
                refresh_token=_require_token(answer["refresh_token"]),
                expires_in=int(answer.get("expires_in") or 3600),
                member_id=str(answer.get("member_id") or ""),
                client_endpoint=to_ascii_url(str(answer.get("client_endpoint") or "")),
                server_endpoint=str(answer.get("server_endpoint") or ""),
                user_id=int(answer.get("user_id") or 0),
                scope=str(answer.get("scope") or ""),
            )
        except (KeyError, TypeError, ValueError):
            raise AnswerLost("the auth server's answer has an unknown shape") from None

    def _send_request(self, verb: str, server: str, path: str, fields: dict[str, str]) -> dict[str, Any]:
        if server not in self.servers:
            raise errors.Refused("OAUTH_SERVER", "not one of BX24APP_OAUTH_SERVERS")
        with self._pass_gate(server):
            try:
                status, body = self._exchange(verb, server + path, fields)
            except errors.Later as error:
                error.cause = errors.AUTH_SERVER
                raise
        refusal = error_table.classify_answer(status, body, oauth=True)
        if refusal is None:
            answer: dict[str, Any] = body
            return answer
        if isinstance(refusal, errors.PortalMoved):
            raise AnswerLost("the auth server answers with a redirect")
        raise refusal

    def _exchange(self, verb: str, url: str, fields: dict[str, str]) -> tuple[int, Any]:
        arguments: dict[str, Any] = {"params": fields} if verb == "GET" else {"data": fields}
        try:
            with self._session.request(
                verb, url, timeout=TIMEOUT, allow_redirects=False, stream=True, **arguments
            ) as response:
                status, content = response.status_code, _read_bounded(response)
        except (requests.RequestException, HTTPError, OSError) as error:
            raise classify_failure(error, "the auth server") from None
        try:
            return status, json.loads(content)
        except (ValueError, RecursionError):
            raise AnswerLost(f"the auth server's answer cannot be read (HTTP {status})") from None


def _read_bounded(response: requests.Response) -> bytes:
    content, deadline = b"", time.monotonic() + TOTAL_TIMEOUT
    while part := response.raw.read1(65536, decode_content=True):
        content += part
        if len(content) > MAX_ANSWER_BYTES or time.monotonic() > deadline:
            raise AnswerLost("the auth server's answer is too large or takes too long")
    return content


def _require_token(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("a token is missing")
    return value
