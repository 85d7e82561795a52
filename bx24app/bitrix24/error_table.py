"""The table that turns an answer of a portal or an authorisation server into an error of `errors`, and so into a
reaction.

`client` and `oauth` classify every answer here. The code decides first (`error` of the answer, in any letter case),
then the description, then the HTTP status, since the portal uses 401, 403 and 200 for the same error (official
error-codes page; server's source). docs/reactions.md is made from this table.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from bx24app.bitrix24.answer_numbers import read_number
from bx24app.bitrix24.errors import (
    CALL_NOT_FINISHED,
    CALL_UNKNOWN,
    CUT_OFF,
    AccessDenied,
    AnswerLost,
    Gone,
    Later,
    NeedsAdmin,
    NotSent,
    PortalError,
    PortalMoved,
    Refused,
    TokenExpired,
)
from bx24app.domain.bounds import clean_text
from bx24app.domain.calls.ledger import USER_INACTIVE

if TYPE_CHECKING:
    from bx24app.bitrix24.transport import PortalResponse


@dataclass(frozen=True, slots=True)
class ErrorRule:
    """What a code means: `kind` is the reaction, `message_key` (of needs_admin) names what to fix, `retry_after` (of
    not_sent) is in seconds.
    """

    kind: Literal["expired", "not_sent", "unsure", "needs_admin", "denied", "gone", "refused"]
    message_key: str = ""
    retry_after: float | None = None


PORTAL_ERRORS: Final[dict[str, ErrorRule]] = {
    # the token
    "expired_token": ErrorRule("expired"),
    "invalid_token": ErrorRule("expired"),
    "no_auth_found": ErrorRule("expired"),
    # limits: refused before execution
    "query_limit_exceeded": ErrorRule("not_sent", retry_after=1.0),
    "operation_time_limit": ErrorRule("not_sent", retry_after=60.0),
    "connection_error": ErrorRule("not_sent"),
    # the portal failed while it worked: the effect is unknown
    "internal_server_error": ErrorRule("unsure"),
    "error_unexpected_answer": ErrorRule("unsure"),
    # an administrator must act
    "authorization_error": ErrorRule("needs_admin", "authorise"),
    "invalid_grant": ErrorRule("needs_admin", "authorise"),
    "invalid_client": ErrorRule("needs_admin", "registration"),
    "wrong_client": ErrorRule("needs_admin", "registration"),
    "wrong_auth_type": ErrorRule("needs_admin", "registration"),
    "payment_required": ErrorRule("needs_admin", "payment"),
    "wrong_license": ErrorRule("needs_admin", "tariff"),
    "overload_limit": ErrorRule("needs_admin", "overload"),
    "insufficient_scope": ErrorRule("needs_admin", "scope"),
    "invalid_scope": ErrorRule("needs_admin", "scope"),
    "user_access_error": ErrorRule("needs_admin", "access"),
    "method_confirm_waiting": ErrorRule("needs_admin", "confirm"),
    "method_confirm_denied": ErrorRule("needs_admin", "confirm"),
    # rights or tariff: `profile` decides
    "access_denied": ErrorRule("denied"),
    "invalid_credentials": ErrorRule("denied"),
    "allowed_only_intranet_user": ErrorRule("denied"),
    "error_method_not_found": ErrorRule("denied"),
    # also the answer of a portal whose public part is closed for a while (official error-codes page)
    "portal_deleted": ErrorRule("needs_admin", "closed"),
    # no longer there
    "application_not_found": ErrorRule("gone"),
    "not_installed": ErrorRule("gone"),
    # this command will never be accepted
    "invalid_request": ErrorRule("refused"),
    "error_batch_length_exceeded": ErrorRule("refused"),
    "error_batch_method_not_allowed": ErrorRule("refused"),
    "error_argument": ErrorRule("refused"),
    "invalid_argument": ErrorRule("refused"),
    "wrong_encoding": ErrorRule("refused"),
    "error_core": ErrorRule("refused"),
    "not_found": ErrorRule("refused"),
    "100": ErrorRule("refused"),
    "0": ErrorRule("refused"),
    "": ErrorRule("refused"),
}
"""Code in lower case -> what it means. Any other code is the method's own: refused below HTTP 500, unsure from 500
on."""

OAUTH_ERRORS: Final[dict[str, ErrorRule]] = {
    "invalid_request": ErrorRule("needs_admin", "authorise"),
    "no_auth_found": ErrorRule("needs_admin", "authorise"),
    "expired_token": ErrorRule("needs_admin", "authorise"),
    "invalid_token": ErrorRule("needs_admin", "authorise"),
    "error_oauth": ErrorRule("not_sent"),
    "authorization_error": ErrorRule("not_sent"),
    "internal_server_error": ErrorRule("not_sent"),
}
"""Codes that mean something else at the authorisation server. It changes only tokens, and a lost refresh is repeated
with the old token."""

DESCRIPTION_CODES: Final[tuple[tuple[str, str], ...]] = (
    ("user is not found or is not active", USER_INACTIVE),
    ("user_id or user_phone_inner should be set", USER_INACTIVE),
    ("not finished yet", CALL_NOT_FINISHED),
    ("call is not found", CALL_UNKNOWN),
)
"""(part of a description, code of the refusal) for errors whose own code says nothing (`_UNINFORMATIVE_CODES`)."""

DISK_FULL_PHRASES: Final = ("disk space", "free space", "quota", "no space left", "not enough space", "disk is full")
TARIFF_PHRASES: Final = ("commercial plan", "by subscription", "subscription")
_UNINFORMATIVE_CODES: Final = frozenset({"", "error_core", "100", "0", "error", "bad_request"})
_CALL_METHODS: Final = ("register", "show", "hide", "finish", "attachrecord")
_REQUIRED_METHODS: Final = frozenset(
    {"profile", "batch", "", *(f"telephony.externalcall.{name}" for name in _CALL_METHODS)}
)
"""The methods that no call can do without, and "" (the whole request): an administrator must grant the rights for them.
Missing rights for any other method, a look-up too, end one command."""
PER_METHOD: Final = frozenset({"scope", "confirm"})
"""Of needs_admin: the portal says so of each method by itself (server source: `insufficient_scope` is thrown for a
command of a batch, the others go through)."""


def classify_reply(reply: PortalResponse, method: str) -> PortalError | None:
    """`classify_answer` of a portal's reply. A longer pause that its header Retry-After names holds."""
    problem = classify_answer(reply.status, reply.body, method, reply.location)
    if isinstance(problem, Later) and reply.retry_after is not None:
        problem.retry_after = max(problem.retry_after or 0.0, reply.retry_after)
    return problem


def classify_answer(
    status: int, body: Any, method: str = "", location: str | None = None, *, oauth: bool = False
) -> PortalError | None:
    """The error of an HTTP answer; None if it is a success. `body` is the parsed JSON, or None if it was not JSON."""
    if isinstance(body, dict) and "error" in body:
        return classify_error(body, status, method, oauth=oauth)
    if location and status in (301, 302, 303, 307, 308):
        return PortalMoved(location)
    if status < 300 and isinstance(body, dict) and (oauth or "result" in body):
        return None
    return _classify_status(status)


def classify_error(body: dict[str, Any], status: int = 400, method: str = "", *, oauth: bool = False) -> PortalError:
    """The error of one `{"error", "error_description"}` object: of an answer, or of a command in a batch."""
    raw_code = body.get("error")
    code = "" if raw_code is None else clean_text(str(raw_code), 100)
    text = clean_text(str(body.get("error_description") or body.get("error_message") or ""), 500)
    plain = code.strip().lower()
    row = (OAUTH_ERRORS.get(plain) if oauth else None) or PORTAL_ERRORS.get(plain)
    if row is None:
        row = ErrorRule("unsure" if status >= 500 else "refused")
    if plain in _UNINFORMATIVE_CODES:
        described = _classify_description(code, text)
        if described is not None:
            return described
        if status >= 500:
            row = ErrorRule("unsure")
    return _make_error(row, code, text, body, method)


def _make_error(row: ErrorRule, code: str, text: str, body: dict[str, Any], method: str) -> PortalError:
    match row.kind:
        case "expired":
            return TokenExpired(code)
        case "not_sent":
            limited = code.lower() == "query_limit_exceeded"
            cause = CUT_OFF if code.lower() == "connection_error" else ""
            pause = _seconds_until_reset(body, row.retry_after)
            return NotSent(f"{code}: {text}", pause, is_rate_limited=limited, cause=cause)
        case "unsure":
            return AnswerLost(f"{code}: {text}")
        case "needs_admin":
            if row.message_key in PER_METHOD and not is_required_method(method):
                return Refused(code, text)
            return NeedsAdmin(row.message_key, f"{code}: {text}")
        case "denied":
            return _make_denial(code, text, method)
        case "gone":
            return Gone(code, text)
        case "refused":
            return Refused(code or "ERROR_CORE", text)


def _make_denial(code: str, text: str, method: str) -> PortalError:
    if any(words in text.lower() for words in TARIFF_PHRASES):
        return NeedsAdmin("tariff", f"{code}: {text}")
    if code.lower() == "error_method_not_found":  # also the answer if the scope or the module is missing
        return NeedsAdmin("scope", f"{code}: {text}") if is_required_method(method) else Refused(code, text)
    return AccessDenied(code, text)


def is_required_method(method: str) -> bool:
    """Can no call do without this method?"""
    return method.lower() in _REQUIRED_METHODS


def missing_rights_error(method: str, denied: AccessDenied) -> PortalError:
    """The grant works, but not for this method. If no call can do without the method, an administrator must act."""
    if is_required_method(method):
        return NeedsAdmin("rights", f"{method}: {denied}")
    return Refused(denied.code, denied.description)


def profile_error(error: AccessDenied | Refused) -> NeedsAdmin:
    """`profile` is denied: the tariff has no REST, or the grant's user was removed from the portal."""
    return NeedsAdmin("tariff" if error.code.lower() == "access_denied" else "rights", str(error))


def _classify_description(code: str, text: str) -> PortalError | None:
    lower = text.lower()
    for words, refusal in DESCRIPTION_CODES:
        if words in lower:
            return Refused(refusal, text)
    if any(words in lower for words in DISK_FULL_PHRASES):
        return NeedsAdmin("disk", f"{code or 'ERROR_CORE'}: {text}")
    return None


def _seconds_until_reset(body: dict[str, Any], otherwise: float | None) -> float | None:
    """Seconds until the portal accepts the method again: by its own `operating_reset_at`, else `otherwise`; at most an
    hour.
    """
    times = body.get("time")
    reset = body.get("operating_reset_at") or (times.get("operating_reset_at") if isinstance(times, dict) else None)
    reset_at = read_number(reset) if reset else None
    return otherwise if reset_at is None else min(max(1.0, reset_at - time.time()), 3600.0)


def _classify_status(status: int) -> PortalError:
    """The error of an answer that is no JSON (a proxy, a firewall, a maintenance page). Below 500 the request did not
    reach the method.
    """
    if status == 413:
        return Refused("HTTP_413", "the portal's server does not take a request of this size")
    if status == 429:
        return NotSent("the portal asks to wait (HTTP 429)", 5.0)
    if 300 <= status < 500:
        return NotSent(f"the portal's server turned the request away (HTTP {status}, no JSON)")
    return AnswerLost(f"the portal's answer cannot be read (HTTP {status}, no JSON)")
