"""The entrance of the REST API, `/vpbx/…`: checks form, key, signature, address and limits, then calls the path's
handler.

It answers errors in the forms of the real service, counts wrong requests for the lock-out, and applies the faults
that a test has set for a path.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from fnmatch import fnmatch
from typing import TYPE_CHECKING, Any

from aiohttp import web

from bx24app.sandbox.mango import signing
from bx24app.sandbox.mango.board import Board

if TYPE_CHECKING:
    from bx24app.sandbox.mango.cloud import MangoCloud

Handler = Callable[["MangoCloud", Board, dict[str, Any]], Awaitable[web.StreamResponse | dict[str, Any]]]
_RATE_LIMIT_BODY = {"name": "Service Unavailable", "message": "Rate limit exceeded.", "code": 0, "status": 429}


class RequestRefused(Exception):
    """A request that is answered with a result code of Mango's table. `Limits` says which lock a key out."""

    def __init__(self, code: int, message: str = "", **fields: Any) -> None:
        super().__init__(message or str(code))
        self.code = code
        self.message = message
        self.fields = fields


@dataclass
class RestFault:
    """What a path answers instead. `times`: how often; -1: until it is removed.

    Kinds: `http` (status `value`), `code` (result `value`), `hang` (answers after `value` seconds), `close-before`
    (closes the connection without effect), `close-after` (takes effect, then closes), `html`, `answer` (the JSON
    `body`).
    """

    kind: str
    value: float = 0
    times: int = -1
    body: Any = None


def require_fields(body: dict[str, Any], *names: str) -> list[Any]:
    """The values of required fields.

    Raises:
        RequestRefused: 3103 with the name of the first missing field.
    """
    for name in names:
        if body.get(name) in (None, ""):
            raise RequestRefused(3103, f"missing parameter {name}", field=name)
    return [body[name] for name in names]


def add_rest_api(cloud: MangoCloud, handlers: dict[str, Handler], app: web.Application) -> None:
    """Adds the REST API to an app."""

    async def answer_request(request: web.Request) -> web.StreamResponse:
        path = request.match_info["path"].strip("/")
        cloud.requests.append(f"{request.method} {path}")
        response = await _handle_request(cloud, handlers, request, path)
        response.headers["X-Uuid"] = str(uuid.uuid4())
        return response

    app.router.add_route("*", "/vpbx/{path:.*}", answer_request)


async def _handle_request(
    cloud: MangoCloud, handlers: dict[str, Handler], request: web.Request, path: str
) -> web.StreamResponse:
    fault = _take_fault(cloud, path)
    if fault and fault.kind != "close-after":
        return await _fault_response(fault, request)
    caller = request.remote or ""
    try:
        if path not in handlers:
            return web.json_response({"name": "Not Found", "code": 0, "status": 404}, status=404)
        if request.method != "POST":
            raise RequestRefused(3101, "POST expected")
        form = await request.post()
        board = _find_board(cloud, form)
        caller = board.pbx.api_key
        if early := _reject_early(cloud, board, request, path):
            return early
        answer = await handlers[path](cloud, board, _verified_body(board, form))
    except RequestRefused as refusal:
        answer = _refusal_response(cloud, caller, refusal)
    if fault:
        return await _fault_response(fault, request)
    return answer if isinstance(answer, web.StreamResponse) else web.json_response(answer, dumps=signing.compact_json)


def _find_board(cloud: MangoCloud, form: Any) -> Board:
    key, _, _ = require_fields(dict(form), "vpbx_api_key", "sign", "json")
    board = cloud.by_key(str(key))
    if board is None:
        raise RequestRefused(3105, "unknown vpbx_api_key")
    return board


def _verified_body(board: Board, form: Any) -> dict[str, Any]:
    text = str(form["json"])
    if not hmac.compare_digest(signing.sign_text(board.pbx.api_key, text, board.pbx.api_salt), str(form["sign"])):
        raise RequestRefused(3102, "signature mismatch")
    try:
        body = json.loads(text)
    except ValueError as error:
        raise RequestRefused(3400, "invalid JSON") from error
    if isinstance(body, list) and not body:
        return {}
    if not isinstance(body, dict):
        raise RequestRefused(3104, "an object is expected")
    return body


def _reject_early(cloud: MangoCloud, board: Board, request: web.Request, path: str) -> web.Response | None:
    allowed = board.pbx.allowed_addresses
    if allowed and not any(fnmatch(request.remote or "", pattern) for pattern in allowed):
        return web.json_response({"name": "Forbidden", "code": 0, "status": 403}, status=403)
    if cloud.limits.is_locked_out(board.pbx.api_key):
        return web.json_response({"name": "Unauthorized", "code": 0, "status": 401}, status=401)
    if seconds := cloud.limits.seconds_to_wait(board.pbx.api_key, path):
        return web.json_response(_RATE_LIMIT_BODY, status=429, headers={"Retry-After": str(int(seconds) + 1)})
    return None


def _refusal_response(cloud: MangoCloud, caller: str, refusal: RequestRefused) -> web.Response:
    if cloud.limits.count_refusal(caller, refusal.code) and cloud.limits.is_locked_out(caller):
        return web.json_response({"name": "Unauthorized", "code": 0, "status": 401}, status=401)
    if cloud.errors == "code420":
        return web.json_response({"code": refusal.code}, status=420)
    body: dict[str, Any] = {"result": refusal.code}
    if refusal.message:
        body["message"] = refusal.message
    if refusal.fields:
        body["fields"] = refusal.fields
    return web.json_response(body)


def _take_fault(cloud: MangoCloud, path: str) -> RestFault | None:
    fault = cloud.rest_faults.get(path) or cloud.rest_faults.get("*")
    if fault is None or fault.times == 0:
        return None
    if fault.times > 0:
        fault.times -= 1
    return fault


async def _fault_response(fault: RestFault, request: web.Request) -> web.StreamResponse:
    if fault.kind == "hang":
        await asyncio.sleep(fault.value)
        return web.Response(status=504)
    if fault.kind == "http":
        return web.json_response({"name": "Service Unavailable", "code": 0}, status=int(fault.value))
    if fault.kind == "answer":
        return web.json_response(fault.body)
    if fault.kind == "code":
        return web.json_response({"result": int(fault.value)})
    if fault.kind == "html":
        return web.Response(text="<html><body>Bad gateway</body></html>", content_type="text/html")
    if request.transport:
        request.transport.close()
    return web.Response(status=500)
