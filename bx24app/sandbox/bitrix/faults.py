"""The answers of a faulty portal or OAuth server: error pages, JSON errors, hanging and broken connections.

`switches.py` decides when a fault strikes; this module turns it into an answer.
"""

from __future__ import annotations

import asyncio

from aiohttp import web

from bx24app.sandbox.bitrix.registry import RestError
from bx24app.sandbox.bitrix.switches import Fault

_ERROR_PAGE = "<html><head><title>{title}</title></head><body><center><h1>{title}</h1></center><hr>nginx</body></html>"
_HTML_FAULTS = {
    "http500": (500, "500 Internal Server Error"),
    "http502": (502, "502 Bad Gateway"),
    "http502_after": (502, "502 Bad Gateway"),
    "http503": (503, "503 Service Temporarily Unavailable"),
    "http504": (504, "504 Gateway Time-out"),
    "too_many": (429, "429 Too Many Requests"),
    "html": (200, "Bitrix24 is being updated"),
}
REFUSALS: dict[str, tuple[str, str, int]] = {
    "expired_token": ("expired_token", "The access token provided has expired.", 401),
    "invalid_token": ("invalid_token", "Unable to get application by token", 401),
    "no_auth": ("NO_AUTH_FOUND", "Wrong authorization data", 401),
    "payment_required": ("PAYMENT_REQUIRED", "Payment required", 401),
    "wrong_license": ("WRONG_LICENSE", "REST is not available on the current plan", 403),
    "no_rest": ("ACCESS_DENIED", "REST is available only on commercial plans.", 403),
    "overload": ("OVERLOAD_LIMIT", "REST API is blocked due to overload.", 503),
    "scope_removed": (
        "insufficient_scope", "The request requires higher privileges than provided by the access token", 403,
    ),
    "access_removed": ("user_access_error", "The user does not have access to the application.", 403),
    "grant_revoked": ("authorization_error", "Unable to authorize user", 401),
    "right_removed": ("ACCESS_DENIED", "Access denied!", 403),
    "disk_full": ("ERROR_CORE", "Not enough free space on the Drive. Free up some space and try again.", 400),
    "internal_error": ("INTERNAL_SERVER_ERROR", "Internal server error", 500),
    "unexpected_answer": ("ERROR_UNEXPECTED_ANSWER", "Server returned an unexpected response.", 500),
    "operation_time": ("OPERATION_TIME_LIMIT", "Method is blocked due to operation time limit.", 429),
    "invalid_grant": ("invalid_grant", "Invalid grant", 400),
    "wrong_client": ("wrong_client", "Wrong client", 200),
    "not_installed": ("NOT_INSTALLED", "Application not installed", 401),
    "cut_off": ("CONNECTION_ERROR", "Error connecting to authorization server", 401),
    "query_limit": ("QUERY_LIMIT_EXCEEDED", "Too many requests", 503),
    "deleted": ("PORTAL_DELETED", "Portal was deleted", 403),
    "closed": ("PORTAL_DELETED", "Portal was deleted", 500),  # the status of the documentation; 403 is the server's
}  # fmt: skip


def refusal_error(fault: Fault, now: float = 0.0) -> RestError:
    """The JSON error of a fault."""
    code, text, status = REFUSALS[fault.kind]
    if fault.kind == "operation_time":
        return RestError(code, text, status, operating_reset_at=int(now + fault.seconds))
    return RestError(code, text, status)


async def spoil_answer(request: web.Request, fault: Fault) -> web.StreamResponse:
    """The answer of a request that a fault strikes. Kinds without an answer abort the connection."""
    kind = fault.kind
    if kind in _HTML_FAULTS:
        status, title = _HTML_FAULTS[kind]
        return web.Response(status=status, text=_ERROR_PAGE.format(title=title), content_type="text/html")
    if kind.startswith("hang"):
        await asyncio.sleep(fault.seconds)
    if kind.startswith("garbage"):
        return web.Response(body=b'{"result": {"CALL_ID": "externalCall.', content_type="application/json")
    if kind in REFUSALS:
        error = refusal_error(fault)
        return web.json_response(error.error_body(), status=error.status)
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)
