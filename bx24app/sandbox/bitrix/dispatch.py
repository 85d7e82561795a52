"""One REST command: authorisation, scope, limits, execution, and the `time` block of the answer.

`rest.py` uses it for a plain request, `batch.py` for each command of a batch, `uploads.py` for the authorisation
alone.
"""

from __future__ import annotations

import inspect
import time
from dataclasses import dataclass
from typing import Any

from bx24app.sandbox.bitrix import faults, params
from bx24app.sandbox.bitrix.oauth import Token
from bx24app.sandbox.bitrix.portal import Portal
from bx24app.sandbox.bitrix.registry import METHODS, CommandContext, RestError, RestMethod
from bx24app.sandbox.bitrix.switches import REFUSE_KINDS

CORS_HEADERS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Headers": "origin, content-type, accept",
    "Access-Control-Allow-Methods": "GET, POST, OPTIONS",
    "Access-Control-Max-Age": "604800",
}
"""The CORS headers of a portal (S: rest_util.php). They do not allow an Authorization header."""


@dataclass
class RestRequest:
    """A parsed request."""

    method: str
    params: dict[str, Any]
    token: str
    is_token_in_url: bool
    """The token came as a parameter, not in a header."""


def authorise_request(portal: Portal, request: RestRequest, *, secure: bool) -> CommandContext:
    """The context of a request: the user and the application that its token belongs to.

    Raises:
        RestError: an authorisation error (401 or 403), or a fault that is switched on.
    """
    if portal.deleted:
        raise RestError("PORTAL_DELETED", "Portal was deleted", 403)
    names = [request.method]
    token = portal.oauth.access_tokens.get(request.token)
    fault = portal.switches.take_fault(REFUSE_KINDS, names) if portal.switches.faults else None
    if fault:
        if fault.kind == "expired_token" and token:
            token.expires = 0.0
        raise faults.refusal_error(fault, portal.now())
    if token is None or token.portal is not portal or token.client_id not in portal.apps:
        # NO_AUTH_FOUND for no token and for a revoked one, invalid_token for an unknown one.
        is_absent = not request.token or request.token in portal.oauth.removed_tokens
        raise RestError("NO_AUTH_FOUND" if is_absent else "invalid_token", "Wrong authorization data", 401)
    check_expiry(portal, token)
    user = portal.users.get(token.user_id)
    if user is None or not user.active:
        raise RestError("INVALID_CREDENTIALS", "Invalid request credentials", 403)
    app = portal.apps[token.client_id]
    return CommandContext(portal, request.method, request.params, user, app, token, request.is_token_in_url, secure)


def check_expiry(portal: Portal, token: Token) -> None:
    """Checks that a token has not expired.

    Raises:
        RestError: expired_token.
    """
    if token.expires < portal.now():
        raise RestError("expired_token", "The access token provided has expired.", 401)


async def run_command(context: CommandContext) -> Any:
    """Runs one command, from a plain request or from a batch.

    Raises:
        RestError: the error that the portal answers.
    """
    portal = context.portal
    method = METHODS.get(context.method)
    params.check_command(portal, context.method, context.params)
    if method is None:
        raise RestError("ERROR_METHOD_NOT_FOUND", "Method not method!", 404)
    portal.commands[method.name] += 1
    _check_scope(context, method)
    app_id, begun = context.app.id, portal.now()
    portal.limits.check_work_limit(app_id, context.method, begun)
    context.busy_until = portal.latencies.get(context.method, portal.latency)
    result = method.handler(context, context.params)
    if inspect.isawaitable(result):
        result = await result
    await context.spend_time()
    seconds = portal.durations.seconds_of(context.method) or portal.now() - begun
    portal.limits.add_work(app_id, context.method, seconds, portal.now())
    return result


def _check_scope(context: CommandContext, method: RestMethod) -> None:
    if method.scope and not any(scope in context.app.scopes for scope in method.scope.split("|")):
        raise RestError(*faults.REFUSALS["scope_removed"])


def time_block(context: CommandContext, started: float, begun: float, method: str | None = None) -> dict[str, Any]:
    """The `time` block of an answer.

    With a method it has `operating`, the seconds of work of this method within the last ten minutes. A batch has none.
    """
    now, spent = context.portal.now(), time.perf_counter() - begun
    if method and context.portal.durations.scale:
        spent = context.portal.durations.seconds_of(method)
    elif context.clock is not None:
        spent = context.clock.spent
    stamp = context.portal.clock.format_iso(started)
    block: dict[str, Any] = {
        "start": started,
        "finish": now,
        "duration": spent,
        "processing": spent,
        "date_start": stamp,
        "date_finish": stamp if int(now) == int(started) else context.portal.clock.format_iso(now),
    }
    if method:
        used, reset = context.portal.limits.work_seconds(context.app.id, method, now)
        block["operating_reset_at"] = reset
        block["operating"] = used
    return block
