"""`/rest/{method}`: reading a request, who asks, dispatch, the answer's envelope."""

from __future__ import annotations

import json
import time
from functools import partial
from typing import Any

from aiohttp import web

from bx24app.sandbox.bitrix import batch, faults, php, uploads
from bx24app.sandbox.bitrix.dispatch import CORS, Asked, authorise, command, times
from bx24app.sandbox.bitrix.portal import Portal
from bx24app.sandbox.bitrix.registry import METHODS, Hit, Method, Page, RestError, brief
from bx24app.sandbox.bitrix.state import LogEntry
from bx24app.sandbox.bitrix.switches import AFTER, BEFORE

_dumps = partial(json.dumps, ensure_ascii=False, separators=(",", ":"))


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
