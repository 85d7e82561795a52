"""REST of one portal: `call`, `batch`, `list`, `upload`. Every request leaves through a pooled OAuth2Session.

The token goes into the JSON body as ``auth``: that is what the documentation names, it keeps the token out of logs, and only so
does `attachRecord` give an upload address that stands on its own (official documentation against the server's source).
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote, urlsplit

import requests
from oauthlib.oauth2 import WebApplicationClient
from requests.adapters import HTTPAdapter
from requests_oauthlib import OAuth2Session

from bx24app.bitrix24 import errors, reactions
from bx24app.bitrix24.budget import Budget, Priority
from bx24app.bitrix24.errors import AnswerLost, Moved, NotSent, TokenExpired

TIMEOUT = (3.05, 65.0)
"""Seconds to connect and to wait for bytes; the cloud ends a request of its own after 60 s."""
LARGEST = 32 * 1024 * 1024
"""Bytes of an answer at the most."""
BATCH = 50


@dataclass(frozen=True, slots=True)
class Answer:
    """A success. `next` and `total` only of lists; `time` as the portal measured."""

    result: Any
    next: int | None = None
    total: int | None = None
    time: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Ref:
    """``$result[key][path]`` inside a batch; `path` may hold brackets (``item][id``). Text from outside never becomes one."""

    key: str
    path: str


class BodyToken(WebApplicationClient):
    """Puts the access token into the JSON body as ``auth``."""

    def add_token(  # type: ignore[no-untyped-def]
        self, uri, http_method="GET", body=None, headers=None, token_placement=None, **kwargs
    ):
        if body is None or hasattr(body, "read") or not isinstance(body, bytes):
            return uri, headers, body
        content = json.loads(body)
        content["auth"] = self.access_token
        return uri, headers, json.dumps(content, ensure_ascii=False).encode()


class Transport:
    """Connections of one process: a pooled adapter shared by the sessions of all portals. Thread-safe."""

    def __init__(self, adapter: HTTPAdapter | None = None, ca_bundle: Path | None = None) -> None:
        self._adapter = adapter or HTTPAdapter(pool_connections=256, pool_maxsize=64)
        self._verify: bool | str = str(ca_bundle) if ca_bundle else True
        self._local = threading.local()

    def session(self) -> OAuth2Session:
        """This thread's session; the token is set for each request, so that no portal ever sees another's."""
        session: OAuth2Session | None = getattr(self._local, "session", None)
        if session is None:
            session = OAuth2Session(client=BodyToken("-"))
            session.mount("https://", self._adapter)
            session.mount("http://", self._adapter)
            session.trust_env = False
            session.verify = self._verify
            session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
            self._local.session = session
        return session


@dataclass(frozen=True, slots=True)
class Grants:
    """Where the client takes its token from. All three may take a lock and talk to the database; none is called during HTTP."""

    access: Callable[[], str]
    refresh: Callable[[str], str]
    """Given the token that was refused, a fresh one."""
    moved: Callable[[str], str]
    """Given the address of a redirect: the verified and stored new REST base."""


class Bitrix24:
    """REST of one portal on its background grant.

    Every method raises `Later` (`NotSent`, `AnswerLost`), `NeedsAdmin`, `Gone` or `Refused`.
    """

    def __init__(self, endpoint: str, grants: Grants, budget: Budget, transport: Transport) -> None:
        self.endpoint, self.budget = endpoint.rstrip("/") + "/", budget
        self._grants, self._transport = grants, transport

    def call(self, method: str, params: dict[str, Any] | None = None, priority: Priority = Priority.CARD) -> Answer:
        """One method. Waits for nothing: where the budget is used up, raises `NotSent` with the seconds to wait."""
        said = self._repeat(method, params or {}, priority)
        return Answer(said.get("result"), said.get("next"), said.get("total"), said.get("time"))

    def batch(
        self, commands: list[tuple[str, str, dict[str, Any]]], halt: bool = False, priority: Priority = Priority.CARD
    ) -> dict[str, Answer | errors.PortalError]:
        """Up to 50 (key, method, params) in one request, in their order. What is missing in the answer was not reached.

        The whole batch raises like `call`; what a single command met is its value.
        """
        if len(commands) > BATCH:
            raise ValueError(f"a batch takes {BATCH} commands, not {len(commands)}")
        cmd = {key: f"{method}?{_query(params)}" for key, method, params in commands}
        said = self._repeat("batch", {"halt": int(halt), "cmd": cmd}, priority).get("result")
        if not isinstance(said, dict):
            raise AnswerLost("the portal's answer to a batch has an unknown shape")
        results, failed = _mapping(said.get("result"), cmd), _mapping(said.get("result_error"), cmd)
        found: dict[str, Answer | errors.PortalError] = {key: Answer(value) for key, value in results.items()}
        for key, error in failed.items():
            met = reactions.of_error(error if isinstance(error, dict) else {"error": str(error)})
            found[key] = (
                NotSent("the token expired in the middle of a batch", 0.0) if isinstance(met, TokenExpired) else met
            )
        return found

    def list(
        self, method: str, params: dict[str, Any] | None = None, priority: Priority = Priority.BACKGROUND
    ) -> Iterator[Any]:
        """Every row of a list method, page by page (50 a page)."""
        start: int | None = 0
        while start is not None:
            answer = self.call(method, {**(params or {}), "start": start}, priority)
            rows = answer.result
            if isinstance(rows, dict):
                rows = next((value for value in rows.values() if isinstance(value, list)), [])
            yield from rows or []
            start = answer.next

    def upload(
        self, url: str, file: Path, filename: str, field: str = "file", priority: Priority = Priority.RECORD
    ) -> Any:
        """POST a file to an upload address of this portal, streamed from disk. The address is a secret: it is never logged."""
        if urlsplit(url).hostname != urlsplit(self.endpoint).hostname:
            raise errors.Refused("UPLOAD_HOST", "the portal named an upload address on another host")
        self._pay(priority)
        with file.open("rb") as stream:
            body = _Multipart(stream, file.stat().st_size, filename, field)
            said = self._send(url, body, {"Content-Type": body.content_type})
        return said.get("result")

    def probe(self) -> bool:
        """Does the portal answer the simplest question? Tells a tariff that has no REST from a right that is missing."""
        try:
            self.call("profile", priority=Priority.BACKGROUND)
        except (errors.NeedsAdmin, errors.Refused, errors.Gone):
            return False
        return True

    def _repeat(self, method: str, params: dict[str, Any], priority: Priority) -> dict[str, Any]:
        """Send; refresh the token once, follow a change of domain once."""
        token = self._grants.access()
        refreshed = moved = False
        while True:
            self._pay(priority)
            body = json.dumps(params, ensure_ascii=False).encode()
            session = self._transport.session()
            session.token = {"access_token": token, "token_type": "Bearer"}
            try:
                return self._send(self.endpoint + method, body, {"Content-Type": "application/json"})
            except TokenExpired:
                if refreshed:
                    raise errors.NeedsAdmin("authorise", "the portal refuses a fresh token") from None
                token, refreshed = self._grants.refresh(token), True
            except Moved as redirect:
                if moved:
                    raise AnswerLost("the portal redirects again and again") from None
                self.endpoint, moved = self._grants.moved(redirect.location).rstrip("/") + "/", True

    def _pay(self, priority: Priority) -> None:
        wait = self.budget.take(priority)
        if wait > 0:
            raise NotSent("the portal's request budget is used up", wait, budget=True)

    def _send(self, url: str, body: Any, headers: dict[str, str]) -> dict[str, Any]:
        session = self._transport.session()
        try:
            with session.post(
                url, data=body, headers=headers, timeout=TIMEOUT, allow_redirects=False, stream=True
            ) as response:
                content = response.raw.read(LARGEST + 1, decode_content=True)
                status, location = response.status_code, response.headers.get("Location")
        except (requests.ConnectTimeout, requests.exceptions.SSLError, requests.exceptions.InvalidURL) as error:
            raise NotSent(f"no connection to the portal ({type(error).__name__})") from None
        except requests.ConnectionError as error:
            raise _unreachable(error) from None
        except Exception as error:
            if isinstance(error, requests.RequestException | OSError) or type(error).__module__.startswith("urllib3"):
                raise AnswerLost(f"the connection to the portal broke ({type(error).__name__})") from None
            raise
        if len(content) > LARGEST:
            raise AnswerLost("the portal's answer is too large")
        said = _parsed(content)
        if status == 200 and isinstance(said, dict) and "error" not in said:
            return said
        met = reactions.of_answer(status, said, location=location) or AnswerLost("the portal's answer has an unknown shape")
        if isinstance(met, NotSent) and met.budget:
            self.budget.penalty(met.after or 1.0)
        raise met


def _unreachable(error: requests.ConnectionError) -> errors.Later:
    """A connection that was never made is not a lost answer."""
    text = repr(error)
    if "NewConnectionError" in text or "NameResolutionError" in text or "ConnectTimeout" in text:
        return NotSent("no connection to the portal")
    return AnswerLost(f"the connection to the portal broke ({type(error).__name__})")


def _parsed(content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError:
        return None


def _mapping(value: Any, cmd: dict[str, str]) -> dict[str, Any]:
    """Every empty map arrives as ``[]``; a list stands for the commands in their order."""
    if isinstance(value, dict):
        return value
    if isinstance(value, list):
        return dict(zip(cmd, value, strict=False))
    return {}


def _query(params: dict[str, Any]) -> str:
    """PHP brackets. A `Ref` becomes a reference; a ``$`` in any other text is told apart, so that it cannot become one."""
    return "&".join(f"{quote(key, safe='')}={value}" for key, value in _flat(params))


def _flat(value: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _flat(item, f"{prefix}[{key}]" if prefix else str(key))
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _flat(item, f"{prefix}[{index}]")
    elif isinstance(value, Ref):
        yield prefix, quote(f"$result[{value.key}][{value.path}]", safe="")
    elif isinstance(value, bool):
        yield prefix, str(int(value))
    elif value is not None:
        yield prefix, quote(_plain(str(value)), safe="")


def _plain(text: str) -> str:
    """Bitrix24 replaces ``$result[`` in any parsed value: a full-width dollar reads the same and means nothing to it."""
    for word in ("$result", "$next", "$total", "$error", "$time"):
        text = text.replace(word, "\uff04" + word[1:])
    return text


class _Multipart:
    """A multipart body with one file, read as it is sent: nothing is held in memory."""

    def __init__(self, stream: BinaryIO, size: int, filename: str, field: str) -> None:
        boundary = f"bx24app-{size}-{abs(hash(filename)):x}"
        head = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="{field}"; filename="{filename}"\r\n'
            "Content-Type: audio/mpeg\r\n\r\n"
        )
        self.content_type = f"multipart/form-data; boundary={boundary}"
        self._parts: list[bytes | BinaryIO] = [head.encode(), stream, f"\r\n--{boundary}--\r\n".encode()]
        self.len = len(head.encode()) + size + len(f"\r\n--{boundary}--\r\n")
        self._at = 0

    def read(self, size: int = -1) -> bytes:
        size = 256 * 1024 if size is None or size < 0 else max(size, 64 * 1024)
        while self._at < len(self._parts):
            part = self._parts[self._at]
            if isinstance(part, bytes):
                self._at += 1
                return part
            chunk: bytes = part.read(size)
            if chunk:
                return chunk
            self._at += 1
        return b""

    def __len__(self) -> int:
        return self.len
