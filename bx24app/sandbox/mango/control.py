"""The control API under `/sandbox/api/` on the PBX site: JSON in, JSON out.

It serves the PBX page and browser tests, and needs no key because a sandbox has no secrets.

| request | effect |
|---|---|
| `GET state` | returns everything, as the pages show it |
| `GET stream` | server-sent events: `changed` whenever `state` may have changed |
| `POST pbx/{key}/call` | `{"scenario", "client"?, "line"?, "extension"?, "speed"?}` starts a scenario |
| `POST pbx/{key}/play` | `{"name", "speed"?, "client"?, "line"?, "rebase"?}` plays a sequence in the background |
| `POST pbx/{key}/signal` | `{"entry_id", "kind", "to"?, "call_id"?}` sends a signal to a call in progress |
| `POST pbx/{key}/check` | presses "check connection" |
| `POST pbx/{key}/set` | `{"hook_url"?, "faults"?, "suppressed"?, <switches>?}`; `faults` replaces all faults |
| `POST pbx/{key}/employees` | `[{"extension", "name", "email"?, "mobile"?}]` replaces the employees |
| `POST cloud` | `{"limits"?, "lockout"?, "every_3xxx_counts"?, "lockout_seconds"?, "recording_delay"?, "errors"?, |
| | "stats_polls"?, "rest_faults"?}` |

`rest_faults` is `{path: {"kind", "value"?, "times"?}}` and replaces all faults of the REST API.

A `POST` must be `application/json`: a page of another origin cannot send that without a preflight request.
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
        scenario = scenarios.ScenarioRequest(
            client=str(body.get("client", scenarios.ScenarioRequest.client)),
            line=str(body.get("line", "")),
            extension=str(body.get("extension", "")),
            speed=float(body.get("speed", 1)),
        )
        try:
            calls = scenarios.start_scenario(board, str(body.get("scenario")), scenario)
        except (KeyError, ValueError) as error:
            raise web.HTTPBadRequest(text=str(error)) from error
        return web.json_response({"entries": [call.entry_id for call in calls]})

    async def play(self, request: web.Request) -> web.Response:
        body, board = await _read_json(request), self.find_board(request)
        options = {name: body[name] for name in ("speed", "client", "line", "rebase") if body.get(name) is not None}
        task = asyncio.create_task(board.play_sequence(str(body.get("name")), **{"speed": 1.0, **options}))
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
        is_good, attempts = await self.find_board(request).check_connection()
        sent = [snapshot.attempt_state(attempt) for attempt in attempts]
        return web.json_response({"ok": is_good, "sent": sent})

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
        for row in body:
            board.pbx.add_employee(
                str(row["extension"]), str(row["name"]), email=row.get("email", ""), mobile=row.get("mobile", "")
            )
        self.cloud.notify_change()
        return web.json_response(snapshot.board_state(board))

    async def configure_cloud(self, request: web.Request) -> web.Response:
        body, cloud = await _read_json(request), self.cloud
        cloud.limits.is_enabled = bool(body.get("limits", cloud.limits.is_enabled))
        cloud.limits.has_lockout = bool(body.get("lockout", cloud.limits.has_lockout))
        cloud.limits.every_3xxx_counts = bool(body.get("every_3xxx_counts", cloud.limits.every_3xxx_counts))
        cloud.limits.lockout_seconds = float(body.get("lockout_seconds", cloud.limits.lockout_seconds))
        cloud.recording_delay = float(body.get("recording_delay", cloud.recording_delay))
        cloud.errors = str(body.get("errors", cloud.errors))
        cloud.stats_polls = int(body.get("stats_polls", cloud.stats_polls))
        if "rest_faults" in body:
            cloud.rest_faults = {path: RestFault(**fault) for path, fault in body["rest_faults"].items()}
        cloud.notify_change()
        return web.json_response({})


def _parse_faults(body: dict[str, Any]) -> Faults:
    fields = dict(body)
    for name in ("drop_paths", "drop_numbers"):
        fields[name] = set(fields.get(name, ()))
    fields["record_delay"] = tuple(fields.get("record_delay", (0.0, 0.0)))
    try:
        return Faults(**fields)
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
    api = _ControlApi(cloud)
    app.on_shutdown.append(cloud.change_stream.close_streams)
    app.router.add_get("/sandbox/api/state", api.get_state)
    app.router.add_get("/sandbox/api/stream", cloud.change_stream.stream_changes)
    app.router.add_post("/sandbox/api/cloud", api.configure_cloud)
    for name in ("call", "play", "signal", "check", "set", "employees"):
        app.router.add_post(f"/sandbox/api/pbx/{{key}}/{name}", getattr(api, name))
