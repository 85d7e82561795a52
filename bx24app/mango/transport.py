"""Sends one signed POST to Mango and turns a bad answer into the fitting error. `MangoClient` uses it.

Sizes and times of an answer are bounded; nothing secret is ever logged. Mango documents TLS 1.2 as the only version
that it supports; Python's default context offers 1.2 and 1.3, so both sides agree on 1.2.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from http.cookiejar import DefaultCookiePolicy
from typing import Any, Final, cast

import requests
import structlog
from requests.adapters import HTTPAdapter
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError
from urllib3.exceptions import SSLError as PoolSSLError

from bx24app.domain.json_pieces import AnswerBounds, parse_json
from bx24app.domain.retry_after import read_retry_after
from bx24app.mango import codes
from bx24app.mango.answer_size import COMMAND_BOUNDS, LIST_BOUNDS, OverLargeAnswer, read_bounded
from bx24app.mango.errors import (
    ADDRESS_REFUSED,
    AddressRefused,
    AnswerLost,
    KeyLocked,
    MangoError,
    NotPermitted,
    RequestRefused,
    ResourceNotFound,
    TemporaryFailure,
    Unreachable,
    WrongKey,
    WrongSignature,
)
from bx24app.mango.key_guard import KEY_CODES, KeyGuard, Unguarded
from bx24app.mango.signature import sign_text

_log = structlog.get_logger(__name__)

Timeout = tuple[float, float]
"""(seconds to connect, seconds between two bytes)."""

WRONG_KEY_CODE: Final = 3105


def new_session(pool: int = 16) -> requests.Session:
    """A pooled session: keep-alive, no retries, no cookies, neither proxies nor ``.netrc`` of the machine."""
    session = requests.Session()
    session.trust_env = False
    adapter = HTTPAdapter(pool_connections=4, pool_maxsize=pool, max_retries=0)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    return session


@dataclass(frozen=True, slots=True)
class MangoResponse:
    status: int
    headers: Mapping[str, str]
    content: bytes
    _parsed: list[Any] = field(default_factory=list, repr=False, compare=False)

    def parse_json(self) -> Any:
        """The parsed body; None if it is not JSON. It is parsed once."""
        if not self._parsed:
            self._parsed.append(parse_json(self.content))
        return self._parsed[0]


class SignedTransport:
    """Signs and sends requests with one PBX's key and salt. Threads may share it."""

    def __init__(
        self,
        api_url: str,
        api_key: str,
        api_salt: str,
        session: requests.Session | None = None,
        timeout: Timeout = (5.0, 20.0),
        ca_bundle: str | None = None,
        guard: KeyGuard | None = None,
    ) -> None:
        self.guard: KeyGuard = guard or Unguarded()
        self.api_url = api_url.rstrip("/") + "/"
        self._key, self._salt = api_key, api_salt
        self.session = session or new_session()
        self.timeout = timeout
        # Given with each request, since a request's own value takes precedence over its session's.
        self.verify: str | bool = ca_bundle or cast(str | bool, self.session.verify)

    def __repr__(self) -> str:
        return f"<SignedTransport {self.api_url}>"

    def post(
        self, path: str, fields: Mapping[str, Any], command: bool = False, bounds: AnswerBounds = LIST_BOUNDS
    ) -> MangoResponse:
        """Send a request and read the whole answer. A command uses a connection of its own, since a stale pooled one
        could swallow it.

        Raises:
            Unreachable: the request was not sent.
            AnswerLost: a command was sent, and no answer came.
            TemporaryFailure: another request was sent, and no answer came.
            KeyPaused: the key is locked, or this question would lock it.
        """
        started = time.monotonic()
        session = new_session(1) if command else self.session
        with nullcontext() if command else self.guard.question():
            try:
                with self.send(session, path, fields) as response:
                    content = read_bounded(response, COMMAND_BOUNDS if command else bounds)
                    answer = MangoResponse(response.status_code, response.headers, content)
            except requests.RequestException as error:
                raise self.classify_failure(path, error, command) from None
            finally:
                if command:
                    session.close()
            self.judge_key(answer)
        _log.debug(
            "mango request answered", path=path, status=answer.status, ms=round((time.monotonic() - started) * 1000)
        )
        return answer

    def send(self, session: requests.Session, path: str, fields: Mapping[str, Any]) -> requests.Response:
        """Send a request. The body of the answer is not read yet; redirects are not followed.

        Raises:
            WrongKey: this PBX has no key. Nothing was sent: two wrong requests would lock our address out.
        """
        if not self._key or not self._salt:
            raise WrongKey("This PBX has no key and salt.", WRONG_KEY_CODE)
        text = json.dumps(fields, ensure_ascii=False, separators=(",", ":"))
        form = {"vpbx_api_key": self._key, "sign": sign_text(self._key, self._salt, text), "json": text}
        return session.post(
            self.api_url + path,
            data=form,
            timeout=self.timeout,
            verify=self.verify,
            allow_redirects=False,
            stream=True,
        )

    def judge_key(self, answer: MangoResponse) -> None:
        """Tell the guard what an answer says of the key.

        Raises:
            KeyLocked: 401, though the key works.
        """
        if answer.status == 401:
            seconds = self.guard.locked_seconds()
            if seconds is not None:
                raise KeyLocked(seconds, answer.status)
            return
        is_object = answer.content.lstrip().startswith(b"{")
        code = extract_code(answer.parse_json()) if is_object else None
        is_wrong = code is not None and 3000 <= code < 4000
        if is_wrong:
            self.guard.record_wrong()
        if code not in KEY_CODES and (code is not None or answer.status < 400):
            self.guard.record_worked()

    def request_object(self, path: str, fields: Mapping[str, Any], command: bool = False) -> dict[str, Any]:
        """Send a request and return the JSON object of a good answer.

        Raises:
            MangoError: the fitting subclass, see `errors`.
        """
        answer = self.post(path, fields, command)
        raise_for_error(answer, command)
        content = answer.parse_json()
        return content if isinstance(content, dict) else {}

    def classify_failure(self, path: str, error: requests.RequestException, command: bool = False) -> MangoError:
        """The MangoError for a failed exchange. `error` is not quoted, since it may hold an address with a token."""
        _log.info("mango request failed", path=path, error=type(error).__name__)
        if _is_unsent(error):
            return Unreachable(f"Mango cannot be reached ({_failure_reason(error)}).")
        if command:
            return AnswerLost("Mango did not answer; whether the command was carried out is not known.")
        return TemporaryFailure(f"Mango did not answer ({_failure_reason(error)}).")


def raise_for_error(answer: MangoResponse, command: bool = False) -> None:
    """Return for a good answer; raise the fitting MangoError for any other.

    Mango sends business errors with status 200 (420 in its older manual), as ``result`` or ``code`` in the body.
    """
    status = answer.status
    if status in (401, 403):
        raise AddressRefused(ADDRESS_REFUSED, status)
    if status in (429, 503):
        raise TemporaryFailure("Mango asks to slow down.", status, parse_retry_after(answer.headers))
    if status >= 500:
        raise _server_error(f"Mango answered with status {status}.", status, command)
    content = answer.parse_json()
    code = extract_code(content)
    if code is not None:
        _raise_for_code(code, answer, command)
    if status == 404:
        raise ResourceNotFound("Mango does not know it.", status)
    if status >= 300:
        raise RequestRefused(f"Mango answered with status {status}.", status)
    if status != 204 and content is None:
        raise _server_error("Mango answered something that is not JSON.", status, command)


def extract_code(content: Any) -> int | None:
    """``result`` or ``code`` of an answer, sent as number or as text; None: there is none (HTTP errors have the
    ``code`` 0)."""
    if not isinstance(content, dict):
        return None
    for name in ("result", "code"):
        value = content.get(name)
        if isinstance(value, (int, str)) and not isinstance(value, bool) and str(value).strip().isdecimal():
            code = int(value)
            return code if code >= codes.SUCCESS else None
    return None


def _raise_for_code(code: int, answer: MangoResponse, command: bool) -> None:
    meaning = codes.describe_code(code, "en")
    message = f"Mango answered {code}: {meaning}."
    match codes.reaction_to(code):
        case "ok":
            return
        case "wrong_key":
            raise WrongKey(message, code)
        case "wrong_signature":
            raise WrongSignature(message, code)
        case "not_permitted" | "no_money":
            raise NotPermitted(message, code)
        case "missing":
            raise ResourceNotFound(message, code)
        case "later" if not command or code in _NOT_STARTED_CODES:
            raise TemporaryFailure(message, code, parse_retry_after(answer.headers))
        case "later" if code == _TIMEOUT_CODE:
            raise AnswerLost(message, code)
    raise RequestRefused(message, code)


_NOT_STARTED_CODES: Final = frozenset({4290, 4501, 5001, 5008})
"""Codes that say that a command was not started. Other server errors leave that open, so the command is not sent
again."""
_TIMEOUT_CODE: Final = 5011


def _server_error(message: str, status: int, command: bool) -> MangoError:
    return AnswerLost(message, status) if command else TemporaryFailure(message, status)


def parse_retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds of the header Retry-After; None: there is none, or it is not readable."""
    return read_retry_after(headers.get("Retry-After"), time.time())


def _is_unsent(error: requests.RequestException) -> bool:
    if isinstance(error, (requests.ConnectTimeout, requests.exceptions.ProxyError, requests.exceptions.InvalidURL)):
        return True
    if isinstance(error, requests.exceptions.SSLError):
        return True  # the handshake precedes the request
    inner = error.args[0] if error.args else None
    reason = getattr(inner, "reason", inner)
    return isinstance(reason, (NewConnectionError, ConnectTimeoutError, PoolSSLError))


def _failure_reason(error: requests.RequestException) -> str:
    if isinstance(error, requests.Timeout):
        return "it takes too long"
    if isinstance(error, OverLargeAnswer):
        return str(error)
    if isinstance(error, requests.exceptions.SSLError):
        return "no secure connection; is its certificate accepted?"
    if isinstance(error, requests.ConnectionError):
        return "no connection" if _is_unsent(error) else "the connection broke off"
    return type(error).__name__
