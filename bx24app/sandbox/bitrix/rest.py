"""The REST endpoint `/rest/{method}` of a portal: reads a request, runs it and wraps the result.

Every request is written to `portal.request_log`. Faults that are switched on strike here, before or after the work.
"""

from __future__ import annotations

import json
import time
from functools import partial
from typing import Any

from aiohttp import web

from bx24app.sandbox.bitrix import batch, faults, php, uploads
from bx24app.sandbox.bitrix.dispatch import CORS_HEADERS, RestRequest, authorise_request, run_command, time_block
from bx24app.sandbox.bitrix.portal import Portal
from bx24app.sandbox.bitrix.registry import METHODS, CommandContext, ListPage, RestError, RestMethod, shorten_params
from bx24app.sandbox.bitrix.state import LogEntry
from bx24app.sandbox.bitrix.switches import AFTER_KINDS, BEFORE_KINDS, Fault
from bx24app.sandbox.bitrix.work_seconds import RequestClock, RequestCut

_dumps = partial(json.dumps, ensure_ascii=False, separators=(",", ":"))


def add_routes(portal: Portal, known: dict[str, RestMethod], app: web.Application) -> None:
    """Adds the REST routes to the site of a portal.

    Raises:
        RuntimeError: no methods are registered.
    """
    if not known:
        raise RuntimeError("no REST methods are registered")

    async def handle_request(request: web.Request) -> web.StreamResponse:
        return await serve_request(portal, request)

    app.router.add_route("*", "/rest/{method:[^/]+}", handle_request)
    app.router.add_route("*", "/rest/{method:[^/]+}/", handle_request)


async def serve_request(portal: Portal, request: web.Request) -> web.StreamResponse:
    """Serves one HTTP request: CORS preflight, redirect of a moved portal, upload or REST call."""
    if request.method == "OPTIONS":
        return web.Response(headers=CORS_HEADERS)
    if portal.retired_ports and _local_port(request) in portal.retired_ports:
        return web.Response(status=302, headers={"Location": f"{portal.base_url(request.secure)}{request.rel_url}"})
    name = request.match_info["method"].removesuffix(".json").lower()
    if name == "upload":
        return await uploads.receive_upload(portal, request)
    started = portal.now()
    rest_request = await read_request(request, name)
    entry = LogEntry(started, rest_request.method, shorten_params(rest_request.params), "", 0)
    names = [name, *batch.command_names(rest_request.params)] if name == "batch" else [name]
    fault = portal.switches.take_fault(BEFORE_KINDS, names) if portal.switches.faults else None
    portal.hits += 1
    portal.request_log.append(entry)
    if fault:
        entry.status, entry.error = 0, fault.kind
        return await faults.spoil_answer(request, fault)
    response = await _answer_request(portal, request, rest_request, entry, started)
    entry.seconds = portal.now() - started
    portal.notify_watchers("request", method=rest_request.method, status=entry.status, error=entry.error)
    fault = portal.switches.take_fault(AFTER_KINDS, names) if portal.switches.faults else None
    return await faults.spoil_answer(request, fault) if fault else response


def _local_port(request: web.Request) -> int:
    """The local port that received the request."""
    return int(request.transport.get_extra_info("sockname")[1]) if request.transport else 0


async def read_request(request: web.Request, name: str) -> RestRequest:
    """Reads a request: parameters of query and body together, and the token.

    The token comes from the header, else from `auth`, else from `access_token` (S: rest/lib/oauth/auth.php).
    """
    given = php.parse_query(request.query_string) if request.query_string else {}
    if request.can_read_body:
        raw = await request.read()
        if request.content_type == "application/json":
            given |= _parse_json(raw)
        elif request.content_type == "multipart/form-data":
            given |= php.decode_pairs([(key, value) for key, value in (await request.post()).items()])
        else:
            given |= php.parse_query(raw.decode("utf-8", "replace"))
    header = request.headers.get("Authorization", "")
    in_url = given.pop("auth", None)
    token = given.pop("access_token", None)
    if header[:7].lower() == "bearer ":
        return RestRequest(name, given, header[7:].strip(), False)
    return RestRequest(name, given, str(in_url or token or ""), True)


def _parse_json(raw: bytes) -> dict[str, Any]:
    """Parses a JSON body. A malformed one counts as empty, as in PHP, so the answer is NO_AUTH_FOUND."""
    try:
        body = json.loads(raw)
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


async def _answer_request(
    portal: Portal, request: web.Request, rest_request: RestRequest, entry: LogEntry, started: float
) -> web.StreamResponse:
    try:
        portal.limits.count_request(request.remote or "", started)
        context = authorise_request(portal, rest_request, secure=request.secure)
        entry.app, entry.user_id = context.token.client_id, context.user.id
        context.clock = RequestClock(portal.durations) if portal.durations.scale else None
        body, status = await _run_request(context, entry, started), 200
    except RestError as error:
        body, status = error.error_body(), error.status
        entry.error = error.code
    except RequestCut:
        entry.status, entry.error = 0, "cut"
        return await faults.spoil_answer(request, Fault(portal.durations.cut_answer))
    except Exception as error:
        portal.add_violation(rest_request.method, f"the sandbox itself failed: {error!r}")
        raise
    entry.status = status
    return web.Response(text=_dumps(body), status=status, content_type="application/json", headers=CORS_HEADERS)


async def _run_request(context: CommandContext, entry: LogEntry, started: float) -> dict[str, Any]:
    begun = time.perf_counter()
    if context.method == "batch":
        page: ListPage | Any = await batch.run_batch(context, entry, run_command)
        stamp = time_block(context, started, begun)
    else:
        entry.method = METHODS[context.method].name if context.method in METHODS else context.method
        page = await run_command(context)
        stamp = time_block(context, started, begun, context.method)
    return {**wrap_result(page), "time": stamp}


def wrap_result(page: Any) -> dict[str, Any]:
    """The body of an answer: `result`, and for lists `next` and `total` beside it."""
    if not isinstance(page, ListPage):
        return {"result": page}
    body: dict[str, Any] = {"result": page.result}
    if page.next is not None:
        body["next"] = page.next
    if page.total is not None:
        body["total"] = page.total
    return body
