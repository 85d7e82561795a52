"""`/rest/{method}`: reading a request, who asks, dispatch, the answer's envelope."""

from __future__ import annotations

import inspect
import json
import time
from dataclasses import dataclass
from functools import partial
from typing import Any

from aiohttp import web

from bx24app.sandbox.bitrix import batch, faults, params, php, uploads
from bx24app.sandbox.bitrix.oauth import Token
from bx24app.sandbox.bitrix.portal import Portal
from bx24app.sandbox.bitrix.registry import METHODS, Hit, Method, Page, RestError, brief
from bx24app.sandbox.bitrix.state import LogEntry
from bx24app.sandbox.bitrix.switches import AFTER, BEFORE, REFUSE

CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Headers": "origin, content-type, accept",
    "Access-Control-Allow-Methods": "GET, POST, OPTIONS",
    "Access-Control-Max-Age": "604800",
}
"""What a portal answers browsers (S: rest_util.php): no Authorization header."""
_dumps = partial(json.dumps, ensure_ascii=False, separators=(",", ":"))


@dataclass
class Asked:
    """A request, read."""

    method: str
    params: dict[str, Any]
    value: str
    in_url: bool
    """The token came as a parameter, not in a header."""


def routes(portal: Portal, known: dict[str, Method], app: web.Application) -> None:
    """Adds the REST addresses to a portal's site.

    Raises:
        RuntimeError: no methods are registered.
    """
    if not known:
        raise RuntimeError("no REST methods are registered")

    async def handle(request: web.Request) -> web.StreamResponse:
        return await serve(portal, request)

    app.router.add_route("*", "/rest/{method:[^/]+}", handle)
    app.router.add_route("*", "/rest/{method:[^/]+}/", handle)


async def serve(portal: Portal, request: web.Request) -> web.StreamResponse:
    """One HTTP request, whatever becomes of it."""
    if request.method == "OPTIONS":
        return web.Response(headers=CORS)
    if portal.retired and _port(request) in portal.retired:
        return web.Response(status=302, headers={"Location": f"{portal.base(request.secure)}{request.rel_url}"})
    name = request.match_info["method"].removesuffix(".json").lower()
    if name == "upload":
        return await uploads.receive(portal, request)
    started = portal.now()
    asked = await read(request, name)
    entry = LogEntry(started, asked.method, brief(asked.params), "", 0)
    names = [name, *batch.names(asked.params)] if name == "batch" else [name]
    fault = portal.switches.take(BEFORE, names) if portal.switches.faults else None
    portal.hits += 1
    portal.request_log.append(entry)
    if fault:
        entry.status, entry.error = 0, fault.kind
        return await faults.spoil(request, fault)
    response = await _answer(portal, request, asked, entry, started)
    entry.seconds = portal.now() - started
    portal.tell("request", method=asked.method, status=entry.status, error=entry.error)
    fault = portal.switches.take(AFTER, names) if portal.switches.faults else None
    return await faults.spoil(request, fault) if fault else response


def _port(request: web.Request) -> int:
    """The port at which a request arrived."""
    return int(request.transport.get_extra_info("sockname")[1]) if request.transport else 0


async def read(request: web.Request, name: str) -> Asked:
    """Query and body together, and the token: header first, then `auth`, then `access_token` (S: rest/lib/oauth/auth.php)."""
    given = php.parse(request.query_string) if request.query_string else {}
    if request.can_read_body:
        raw = await request.read()
        if request.content_type == "application/json":
            given |= _json(raw)
        elif request.content_type == "multipart/form-data":
            given |= php.decode([(key, value) for key, value in (await request.post()).items()])
        else:
            given |= php.parse(raw.decode("utf-8", "replace"))
    header = request.headers.get("Authorization", "")
    in_url = given.pop("auth", None)
    token = given.pop("access_token", None)
    if header[:7].lower() == "bearer ":
        return Asked(name, given, header[7:].strip(), False)
    return Asked(name, given, str(in_url or token or ""), True)


def _json(raw: bytes) -> dict[str, Any]:
    """A malformed body is swallowed, as PHP does: it shows as NO_AUTH_FOUND."""
    try:
        body = json.loads(raw)
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


async def _answer(
    portal: Portal, request: web.Request, asked: Asked, entry: LogEntry, started: float
) -> web.StreamResponse:
    try:
        portal.limits.take(request.remote or "", started)
        hit = authorise(portal, asked, secure=request.secure)
        entry.app, entry.user_id = hit.token.client_id, hit.user.id
        body, status = await _run(hit, entry, started), 200
    except RestError as error:
        body, status = error.body(), error.status
        entry.error = error.code
    except Exception as error:
        portal.violation(asked.method, f"the sandbox itself failed: {error!r}")
        raise
    entry.status = status
    return web.Response(text=_dumps(body), status=status, content_type="application/json", headers=CORS)


def authorise(portal: Portal, asked: Asked, *, secure: bool) -> Hit:
    """Whose token this is, and whether the portal lets it in.

    Raises:
        RestError: any of the authorisation errors (401, 403).
    """
    if portal.deleted:
        raise RestError("PORTAL_DELETED", "Portal was deleted", 403)
    names = [asked.method]
    token = portal.oauth.access.get(asked.value)
    fault = portal.switches.take(REFUSE, names) if portal.switches.faults else None
    if fault:
        if fault.kind == "expired_token" and token:
            token.expires = 0.0
        raise faults.refusal(fault, portal.now())
    if token is None or token.portal is not portal or token.client_id not in portal.apps:
        # Nothing that looks like a token, or one of a removed application: NO_AUTH_FOUND; else unknown.
        gone = not asked.value or asked.value in portal.oauth.removed
        raise RestError("NO_AUTH_FOUND" if gone else "invalid_token", "Wrong authorization data", 401)
    check_expiry(portal, token)
    user = portal.users.get(token.user_id)
    if user is None or not user.active:
        raise RestError("INVALID_CREDENTIALS", "Invalid request credentials", 401)
    return Hit(portal, asked.method, asked.params, user, portal.apps[token.client_id], token, asked.in_url, secure)


def check_expiry(portal: Portal, token: Token) -> None:
    """Raises RestError expired_token."""
    if token.expires < portal.now():
        raise RestError("expired_token", "The access token provided has expired.", 401)


async def _run(hit: Hit, entry: LogEntry, started: float) -> dict[str, Any]:
    begun = time.perf_counter()
    if hit.method == "batch":
        page: Page | Any = await batch.run(hit, entry, command)
        stamp = times(hit, started, begun)
    else:
        entry.method = METHODS[hit.method].name if hit.method in METHODS else hit.method
        page = await command(hit)
        stamp = times(hit, started, begun, hit.method)
    return {**envelope(page), "time": stamp}


def envelope(page: Any) -> dict[str, Any]:
    """`result`, with `next` and `total` beside it for lists."""
    if not isinstance(page, Page):
        return {"result": page}
    body: dict[str, Any] = {"result": page.result}
    if page.next is not None:
        body["next"] = page.next
    if page.total is not None:
        body["total"] = page.total
    return body


async def command(hit: Hit) -> Any:
    """Runs one command, of a request or of a batch.

    Raises:
        RestError: what the portal would answer.
    """
    portal = hit.portal
    found = METHODS.get(hit.method)
    params.check(portal, hit.method, hit.params)
    if found is None:
        raise RestError("ERROR_METHOD_NOT_FOUND", "Method not found!", 404)
    portal.commands[found.name] += 1
    _scope(hit, found)
    app_id, begun = hit.app.id, portal.now()
    portal.limits.check(app_id, hit.method, begun)
    hit.busy_until = portal.latencies.get(hit.method, portal.latency)
    result = found.handler(hit, hit.params)
    if inspect.isawaitable(result):
        result = await result
    await hit.work()
    portal.limits.spent(app_id, hit.method, portal.now() - begun, portal.now())
    return result


def _scope(hit: Hit, found: Method) -> None:
    if found.scope and not any(scope in hit.app.scopes for scope in found.scope.split("|")):
        raise RestError(*faults.REFUSALS["scope_removed"])


def times(hit: Hit, started: float, begun: float, method: str | None = None) -> dict[str, Any]:
    """The `time` block. `operating` is that of the method within the last ten minutes (a batch itself has none)."""
    now, spent = hit.portal.now(), time.perf_counter() - begun
    stamp = hit.portal.clock.iso(started)
    block: dict[str, Any] = {
        "start": started,
        "finish": now,
        "duration": spent,
        "processing": spent,
        "date_start": stamp,
        "date_finish": stamp if int(now) == int(started) else hit.portal.clock.iso(now),
    }
    if method:
        used, reset = hit.portal.limits.work(hit.app.id, method, now)
        block["operating_reset_at"] = reset
        block["operating"] = used
    return block
