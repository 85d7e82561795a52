"""One REST command: who asks, may they, run it, and what it cost."""

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
"""What a portal answers browsers (S: rest_util.php): no Authorization header."""


@dataclass
class RestRequest:
    """A request, read."""

    method: str
    params: dict[str, Any]
    token: str
    is_token_in_url: bool
    """The token came as a parameter, not in a header."""


def authorise_request(portal: Portal, asked: RestRequest, *, secure: bool) -> CommandContext:
    """Whose token this is, and whether the portal lets it in.

    Raises:
        RestError: any of the authorisation errors (401, 403).
    """
    if portal.deleted:
        raise RestError("PORTAL_DELETED", "Portal was deleted", 403)
    names = [asked.method]
    token = portal.oauth.access_tokens.get(asked.token)
    fault = portal.switches.take_fault(REFUSE_KINDS, names) if portal.switches.faults else None
    if fault:
        if fault.kind == "expired_token" and token:
            token.expires = 0.0
        raise faults.refusal_error(fault, portal.now())
    if token is None or token.portal is not portal or token.client_id not in portal.apps:
        # Nothing that looks like a token, or one of a removed application: NO_AUTH_FOUND; else unknown.
        gone = not asked.token or asked.token in portal.oauth.removed_tokens
        raise RestError("NO_AUTH_FOUND" if gone else "invalid_token", "Wrong authorization data", 401)
    check_expiry(portal, token)
    user = portal.users.get(token.user_id)
    if user is None or not user.active:
        raise RestError("INVALID_CREDENTIALS", "Invalid request credentials", 401)
    return CommandContext(portal, asked.method, asked.params, user, portal.apps[token.client_id], token, asked.is_token_in_url, secure)


def check_expiry(portal: Portal, token: Token) -> None:
    """Raises RestError expired_token."""
    if token.expires < portal.now():
        raise RestError("expired_token", "The access token provided has expired.", 401)


async def run_command(hit: CommandContext) -> Any:
    """Runs one command, of a request or of a batch.

    Raises:
        RestError: what the portal would answer.
    """
    portal = hit.portal
    found = METHODS.get(hit.method)
    params.check_command(portal, hit.method, hit.params)
    if found is None:
        raise RestError("ERROR_METHOD_NOT_FOUND", "Method not found!", 404)
    portal.commands[found.name] += 1
    _check_scope(hit, found)
    app_id, begun = hit.app.id, portal.now()
    portal.limits.check_work_limit(app_id, hit.method, begun)
    hit.busy_until = portal.latencies.get(hit.method, portal.latency)
    result = found.handler(hit, hit.params)
    if inspect.isawaitable(result):
        result = await result
    await hit.spend_time()
    portal.limits.add_work(app_id, hit.method, portal.now() - begun, portal.now())
    return result


def _check_scope(hit: CommandContext, found: RestMethod) -> None:
    if found.scope and not any(scope in hit.app.scopes for scope in found.scope.split("|")):
        raise RestError(*faults.REFUSALS["scope_removed"])


def time_block(hit: CommandContext, started: float, begun: float, method: str | None = None) -> dict[str, Any]:
    """The `time` block. `operating` is that of the method within the last ten minutes (a batch itself has none)."""
    now, spent = hit.portal.now(), time.perf_counter() - begun
    stamp = hit.portal.clock.format_iso(started)
    block: dict[str, Any] = {
        "start": started,
        "finish": now,
        "duration": spent,
        "processing": spent,
        "date_start": stamp,
        "date_finish": stamp if int(now) == int(started) else hit.portal.clock.format_iso(now),
    }
    if method:
        used, reset = hit.portal.limits.work_seconds(hit.app.id, method, now)
        block["operating_reset_at"] = reset
        block["operating"] = used
    return block
