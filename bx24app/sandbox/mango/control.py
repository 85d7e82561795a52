"""The control API under `/sandbox/api/` on the PBX site: JSON in, JSON out, no key; a sandbox keeps no secrets.

| request | does |
|---|---|
| `GET state` | everything, as the pages show it |
| `GET stream` | server-sent events: `changed` whenever it is worth asking for `state` again |
| `POST pbx/{key}/call` | `{"scenario", "client"?, "line"?, "extension"?, "speed"?}` starts a scenario |
| `POST pbx/{key}/play` | `{"name", "speed"?, "client"?, "line"?, "rebase"?}` plays a ready sequence (in the background) |
| `POST pbx/{key}/signal` | `{"entry_id", "kind", "to"?}` makes something happen to a running call |
| `POST pbx/{key}/check` | presses "check connection" |
| `POST pbx/{key}/set` | `{"hook_url"?, "faults"?, "suppressed"?, <switches>?}`; `faults` replaces all faults |
| `POST pbx/{key}/employees` | `[{"extension", "name", "email"?, "mobile"?}]` replaces the employees |
| `POST cloud` | `{"limits"?, "lockout"?, "errors"?, "stats_polls"?, "rest_faults"?: {path: {"kind", "value"?, "times"?}}}` |

A `POST` must be `application/json`, which a page of another origin cannot send without being asked first.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from aiohttp import web

from bx24app.sandbox.mango import scenarios, snapshot
from bx24app.sandbox.mango.board import Board
from bx24app.sandbox.mango.faults import Faults
from bx24app.sandbox.mango.plans import Signal
from bx24app.sandbox.mango.rest import RestFault

if TYPE_CHECKING:
    from bx24app.sandbox.mango.cloud import MangoCloud


class _ControlApi:
    def __init__(self, cloud: MangoCloud) -> None:
        self.cloud = cloud

    def find_board(self, request: web.Request) -> Board:
        try:
            return self.cloud.board(request.match_info["key"])
        except KeyError:
            raise web.HTTPNotFound(text="no such PBX") from None

    async def get_state(self, _request: web.Request) -> web.Response:
        return web.json_response(snapshot.cloud_state(self.cloud))

    async def call(self, request: web.Request) -> web.Response:
        body, board = await _read_json(request), self.find_board(request)
        wish = scenarios.ScenarioRequest(
            client=str(body.get("client", scenarios.ScenarioRequest.client)),
            line=str(body.get("line", "")),
            extension=str(body.get("extension", "")),
            speed=float(body.get("speed", 1)),
        )
        try:
            begun = scenarios.start_scenario(board, str(body.get("scenario")), wish)
        except (KeyError, ValueError) as error:
            raise web.HTTPBadRequest(text=str(error)) from error
        return web.json_response({"entries": [call.entry_id for call in begun]})

    async def play(self, request: web.Request) -> web.Response:
        body, board = await _read_json(request), self.find_board(request)
        how = {name: body[name] for name in ("speed", "client", "line", "rebase") if body.get(name) is not None}
        task = asyncio.create_task(board.play_sequence(str(body.get("name")), **{"speed": 1.0, **how}))
        board.tasks.add(task)
        task.add_done_callback(board.tasks.discard)
        await asyncio.sleep(0)
        if task.done() and task.exception():
            raise web.HTTPBadRequest(text=str(task.exception()))
        return web.json_response({"playing": body["name"]})

    async def signal(self, request: web.Request) -> web.Response:
        body, board = await _read_json(request), self.find_board(request)
        call = board.calls.get(str(body.get("entry_id")))
        if call is None:
            raise web.HTTPNotFound(text="this call is over")
        call.signals.put_nowait(
            Signal(str(body["kind"]), to=str(body.get("to", "")), call_id=str(body.get("call_id", "")))
        )
        return web.json_response({})

    async def check(self, request: web.Request) -> web.Response:
        good, sent = await self.find_board(request).check_connection()
        return web.json_response({"ok": good, "sent": [snapshot.attempt_state(one) for one in sent]})

    async def set(self, request: web.Request) -> web.Response:
        body, board = await _read_json(request), self.find_board(request)
        if "hook_url" in body:
            board.pbx.hook_url = str(body["hook_url"]).strip()
        if "suppressed" in body:
            board.pbx.suppressed_paths = set(body["suppressed"])
        for name in snapshot.SWITCHES:
            if name in body:
                setattr(board.pbx, name, body[name])
        if "faults" in body:
            board.use_faults(_parse_faults(body["faults"]))
        self.cloud.notify_change()
        return web.json_response(snapshot.board_state(board))

    async def employees(self, request: web.Request) -> web.Response:
        body, board = await _read_json(request), self.find_board(request)
        board.pbx.employees.clear()
        for one in body:
            board.pbx.add_employee(
                str(one["extension"]), str(one["name"]), email=one.get("email", ""), mobile=one.get("mobile", "")
            )
        self.cloud.notify_change()
        return web.json_response(snapshot.board_state(board))

    async def configure_cloud(self, request: web.Request) -> web.Response:
        body, cloud = await _read_json(request), self.cloud
        cloud.limits.is_enabled = bool(body.get("limits", cloud.limits.is_enabled))
        cloud.limits.has_lockout = bool(body.get("lockout", cloud.limits.has_lockout))
        cloud.errors = str(body.get("errors", cloud.errors))
        cloud.stats_polls = int(body.get("stats_polls", cloud.stats_polls))
        if "rest_faults" in body:
            cloud.rest_faults = {path: RestFault(**fault) for path, fault in body["rest_faults"].items()}
        cloud.notify_change()
        return web.json_response({})


def _parse_faults(wish: dict[str, Any]) -> Faults:
    known = dict(wish)
    for name in ("drop_paths", "drop_numbers"):
        known[name] = set(known.get(name, ()))
    known["record_delay"] = tuple(known.get("record_delay", (0.0, 0.0)))
    try:
        return Faults(**known)
    except TypeError as error:
        raise web.HTTPBadRequest(text=str(error)) from error


async def _read_json(request: web.Request) -> Any:
    if request.content_type != "application/json":
        raise web.HTTPUnsupportedMediaType(text="application/json expected")
    try:
        return await request.json()
    except ValueError as error:
        raise web.HTTPBadRequest(text=f"not JSON: {error}") from error


def add_control_api(cloud: MangoCloud, app: web.Application) -> None:
    """Adds the control API to the app of the PBX site."""
    its = _ControlApi(cloud)
    app.on_shutdown.append(cloud.change_stream.close_streams)
    app.router.add_get("/sandbox/api/state", its.get_state)
    app.router.add_get("/sandbox/api/stream", cloud.change_stream.stream_changes)
    app.router.add_post("/sandbox/api/cloud", its.configure_cloud)
    for name in ("call", "play", "signal", "check", "set", "employees"):
        app.router.add_post(f"/sandbox/api/pbx/{{key}}/{name}", getattr(its, name))
