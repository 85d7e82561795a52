"""One signed POST to Mango and the judgement of its answer. Sizes and times are bounded; nothing secret is ever logged.

Mango names TLS 1.2 as the only version that it supports; Python's default context offers 1.2 and 1.3, and both sides agree on 1.2.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.cookiejar import DefaultCookiePolicy
from typing import Any, Final, cast

import requests
import structlog
from requests.adapters import HTTPAdapter
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError
from urllib3.exceptions import SSLError as PoolSSLError

from bx24app.mango import codes
from bx24app.mango.errors import (
    ADDRESS_REFUSED,
    AddressRefused,
    AnswerLost,
    Later,
    MangoError,
    Missing,
    NotPermitted,
    Refused,
    Unreachable,
    WrongKey,
    WrongSignature,
)
from bx24app.mango.vpbx import sign

log = structlog.get_logger(__name__)

Timeout = tuple[float, float]
"""(seconds to connect, seconds between two bytes)."""

NO_KEY: Final = 3105
MAX_ANSWER: Final = 32 * 1024 * 1024
"""No answer but a file is larger: 5000 entries of statistics have about 10 MB."""
_OVERALL: Final = 120.0
"""Seconds for a whole answer, so that a drip of bytes does not hold a thread."""
_PIECE: Final = 256 * 1024
"""Bytes of a file that are asked of the system at once: with a quarter of it a recording of 200 MB took half as long again."""


def new_session(pool: int = 16) -> requests.Session:
    """A pooled session as this module wants it: keep-alive, no retries, no cookies, no proxies or ``.netrc`` of the machine."""
    session = requests.Session()
    session.trust_env = False
    adapter = HTTPAdapter(pool_connections=4, pool_maxsize=pool, max_retries=0)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    return session


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    content: bytes

    def json(self) -> Any:
        """The parsed body; None where it is no JSON."""
        try:
            return json.loads(self.content)
        except (ValueError, RecursionError):
            return None


class Wire:
    """Signs and posts with one PBX's key and salt. Threads may share it."""

    def __init__(
        self,
        api_url: str,
        api_key: str,
        api_salt: str,
        session: requests.Session | None = None,
        timeout: Timeout = (5.0, 20.0),
        ca_bundle: str | None = None,
    ) -> None:
        self.api_url = api_url.rstrip("/") + "/"
        self._key, self._salt = api_key, api_salt
        self.session = session or new_session()
        self.timeout = timeout
        # Given with each request, since requests prefers what a request says to what its session says.
        self.verify: str | bool = ca_bundle or cast(str | bool, self.session.verify)

    def __repr__(self) -> str:
        return f"<Wire {self.api_url}>"

    def post(self, path: str, fields: Mapping[str, Any], command: bool = False) -> Answer:
        """Send, read the answer whole. A command goes over a connection of its own, so that no stale one can swallow it.

        Raises:
            Unreachable: it did not leave.
            AnswerLost: a command left, no answer came.
            Later: a question left, no answer came.
        """
        started = time.monotonic()
        session = new_session(1) if command else self.session
        try:
            with self.send(session, path, fields) as response:
                answer = Answer(response.status_code, response.headers, bounded(response, MAX_ANSWER))
        except requests.RequestException as error:
            raise self.lost(path, error, command) from None
        finally:
            if command:
                session.close()
        log.debug("mango.asked", path=path, status=answer.status, ms=round((time.monotonic() - started) * 1000))
        return answer

    def send(self, session: requests.Session, path: str, fields: Mapping[str, Any]) -> requests.Response:
        """The bare request; the answer's body is not read yet, redirects are not followed.

        Raises:
            WrongKey: this PBX has none. Nothing was sent: two wrong requests would lock our address out.
        """
        if not self._key or not self._salt:
            raise WrongKey("This PBX has no key and salt.", NO_KEY)
        text = json.dumps(fields, ensure_ascii=False, separators=(",", ":"))
        form = {"vpbx_api_key": self._key, "sign": sign(self._key, self._salt, text), "json": text}
        return session.post(
            self.api_url + path,
            data=form,
            timeout=self.timeout,
            verify=self.verify,
            allow_redirects=False,
            stream=True,
        )

    def ask(self, path: str, fields: Mapping[str, Any], command: bool = False) -> dict[str, Any]:
        """Post and return the object of a good answer.

        Raises:
            MangoError: the child that fits; see `errors`.
        """
        answer = self.post(path, fields, command)
        judge(answer, command)
        content = answer.json()
        return content if isinstance(content, dict) else {}

    def lost(self, path: str, error: requests.RequestException, command: bool = False) -> MangoError:
        """Which of the family a failed exchange is. `error` is not quoted: it may hold an address with a token."""
        log.info("mango.no_answer", path=path, error=type(error).__name__)
        if _never_left(error):
            return Unreachable(f"Mango cannot be reached ({_why(error)}).")
        if command:
            return AnswerLost("Mango did not answer; whether the command was carried out is not known.")
        return Later(f"Mango did not answer ({_why(error)}).")


def judge(answer: Answer, command: bool = False) -> None:
    """Return for a good answer, raise the fitting error for any other.

    Business errors come with status 200 (or 420 in the older document) as ``result`` or ``code``.
    """
    status = answer.status
    if status in (401, 403):
        raise AddressRefused(ADDRESS_REFUSED, status)
    if status in (429, 503):
        raise Later("Mango asks to slow down.", status, retry_after(answer.headers))
    if status >= 500:
        raise _unclear(f"Mango answered with status {status}.", status, command)
    content = answer.json()
    code = code_of(content)
    if code is not None:
        _judge_code(code, answer, command)
    if status == 404:
        raise Missing("Mango does not know it.", status)
    if status >= 300:
        raise Refused(f"Mango answered with status {status}.", status)
    if status != 204 and content is None:
        raise _unclear("Mango answered something that is not JSON.", status, command)


def code_of(content: Any) -> int | None:
    """``result`` or ``code`` of an answer, as number or text; None: it has none (HTTP errors carry a ``code`` of 0)."""
    if not isinstance(content, dict):
        return None
    for name in ("result", "code"):
        value = content.get(name)
        if isinstance(value, (int, str)) and not isinstance(value, bool) and str(value).strip().isdecimal():
            code = int(value)
            return code if code >= codes.SUCCESS else None
    return None


def _judge_code(code: int, answer: Answer, command: bool) -> None:
    meaning = codes.words(code, "en")
    message = f"Mango answered {code}: {meaning}."
    match codes.reaction(code):
        case "ok":
            return
        case "wrong_key":
            raise WrongKey(message, code)
        case "wrong_signature":
            raise WrongSignature(message, code)
        case "not_permitted" | "no_money":
            raise NotPermitted(message, code)
        case "missing":
            raise Missing(message, code)
        case "later" if not command or code in _NOT_DONE:
            raise Later(message, code, retry_after(answer.headers))
        case "later" if code == _TIMED_OUT:
            raise AnswerLost(message, code)
    raise Refused(message, code)


_NOT_DONE: Final = frozenset({4290, 4501, 5001, 5008})
"""Codes that say that a command was not begun; other troubles of the server leave it open and are not tried again."""
_TIMED_OUT: Final = 5011


def _unclear(message: str, status: int, command: bool) -> MangoError:
    return AnswerLost(message, status) if command else Later(message, status)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds from a Retry-After header (a number or a date), at most an hour; None: not said or not readable."""
    raw = headers.get("Retry-After", "").strip()
    if not raw:
        return None
    if raw.isdecimal():
        return min(float(raw), 3600.0)
    try:
        at = parsedate_to_datetime(raw)
    except ValueError:
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return min(max(0.0, (at - datetime.now(UTC)).total_seconds()), 3600.0)


def bounded(response: requests.Response, limit: int) -> bytes:
    """The body, at most `limit` bytes and `_OVERALL` seconds.

    Raises:
        requests.ConnectionError: more, or longer.
    """
    parts, size = [], 0
    for part in arriving(response, _OVERALL):
        size += len(part)
        if size > limit:
            raise requests.ConnectionError("the answer is too large")
        parts.append(part)
    return b"".join(parts)


def arriving(response: requests.Response, seconds: float) -> Iterator[bytes]:
    """The body piece by piece as it comes: whoever sends a byte now and then cannot hold us up longer than `seconds`.

    Raises:
        requests.ConnectionError: it broke off, or takes longer.
    """
    until = time.monotonic() + seconds
    try:
        while part := response.raw.read1(_PIECE, decode_content=True):
            if time.monotonic() > until:
                raise requests.ConnectionError("the answer takes too long")
            yield part
    except (HTTPError, OSError) as error:
        if isinstance(error, requests.RequestException):
            raise
        raise requests.ConnectionError(error) from None


def _never_left(error: requests.RequestException) -> bool:
    if isinstance(error, (requests.ConnectTimeout, requests.exceptions.ProxyError, requests.exceptions.InvalidURL)):
        return True
    if isinstance(error, requests.exceptions.SSLError):
        return True  # the handshake precedes the request
    inner = error.args[0] if error.args else None
    reason = getattr(inner, "reason", inner)
    return isinstance(reason, (NewConnectionError, ConnectTimeoutError, PoolSSLError))


def _why(error: requests.RequestException) -> str:
    if isinstance(error, requests.Timeout):
        return "it takes too long"
    if isinstance(error, requests.exceptions.SSLError):
        return "no secure connection; is its certificate accepted?"
    if isinstance(error, requests.ConnectionError):
        return "no connection" if _never_left(error) else "the connection broke off"
    return type(error).__name__
