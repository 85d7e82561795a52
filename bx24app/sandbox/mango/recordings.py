"""Recordings: the request by `recording_id`, the redirect to the file, the signed GET links, and the file host.

It stands for `queries/recording/post` and `queries/recording/link` of the VPBX API. A link to the file host works once,
as at Mango.
"""

from __future__ import annotations

import hmac
import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from aiohttp import web

from bx24app.sandbox.mango import mp3, signing
from bx24app.sandbox.mango.board import Board
from bx24app.sandbox.mango.call_log import Recording
from bx24app.sandbox.mango.rest import RequestRefused, require_fields

if TYPE_CHECKING:
    from bx24app.sandbox.mango.cloud import MangoCloud

SHARED_LINK_SECONDS = 24 * 3600


@dataclass
class LinkTicket:
    """A valid link on the file host. With `is_one_time` its first use ends it."""

    recording: Recording
    expires: float
    is_one_time: bool = True


def file_link(cloud: MangoCloud, board: Board, recording_id: str, *, once: bool = True) -> str:
    """A new link to the file of a recording.

    Raises:
        RequestRefused: 3320 while the recording is not stored, or not long enough, or after it was deleted.
    """
    recording = board.call_log.recordings.get(recording_id)
    if recording is None or not recording.is_there(cloud.recording_delay) or recording.is_deleted:
        raise RequestRefused(3320, "recording not found")
    token = secrets.token_urlsafe(24)
    lifetime = cloud.link_seconds if once else SHARED_LINK_SECONDS
    cloud.tickets[token] = LinkTicket(recording, time.time() + lifetime, once)
    return f"{cloud.files_url}/{'vpbx' if once else 'shared'}/{token}/{recording_id.rstrip('=')}.mp3"


async def post_recording(cloud: MangoCloud, board: Board, body: dict[str, Any]) -> web.StreamResponse | dict[str, Any]:
    """`queries/recording/post`: redirects to the file."""
    recording_id, action = require_fields(body, "recording_id", "action")
    if action not in ("download", "play"):
        raise RequestRefused(3104, "action is download or play", field="action")
    try:
        link = file_link(cloud, board, str(recording_id))
    except RequestRefused:
        if cloud.missing_recording_status != 200:
            cloud.limits.count_refusal(board.pbx.api_key, 3320)
            return web.json_response({"result": 3320}, status=cloud.missing_recording_status)
        raise
    return web.Response(status=302, headers={"Location": link})


def add_link_routes(cloud: MangoCloud, app: web.Application) -> None:
    """Adds the signed GET links. They work only for products with `links_allowed`."""

    async def serve_link(request: web.Request) -> web.StreamResponse:
        parts = {name: unquote(value) for name, value in request.match_info.items()}
        board = cloud.by_key(parts["key"])
        if board is None or not board.pbx.links_allowed:
            return web.json_response({"result": 3105 if board is None else 5201}, status=403)
        expected = signing.sign_link(parts["key"], parts["stamp"], parts["id"], board.pbx.api_salt)
        if not hmac.compare_digest(expected, parts["sign"]):
            return web.json_response({"result": 3102}, status=403)
        if not parts["stamp"].isdigit() or _parse_stamp(parts["stamp"]) < time.time():
            return web.json_response({"result": 3104, "message": "link expired"}, status=403)
        try:
            return web.Response(status=302, headers={"Location": file_link(cloud, board, parts["id"])})
        except RequestRefused as refusal:
            return web.json_response({"result": refusal.code}, status=404)

    app.router.add_get("/vpbx/queries/recording/link/{id}/{action}/{key}/{stamp}/{sign}", serve_link)


def _parse_stamp(stamp: str) -> float:
    """Epoch seconds. Some clients send milliseconds, and Mango accepts them."""
    return float(stamp) / 1000 if len(stamp) > 11 else float(stamp)


def make_files_app(cloud: MangoCloud) -> web.Application:
    """The file host. Any request, HEAD too, uses up a one-time link."""

    async def serve_file(request: web.Request) -> web.StreamResponse:
        ticket = cloud.tickets.get(request.match_info["token"])
        if ticket is None or ticket.expires < time.time() or ticket.recording.is_deleted:
            return web.Response(status=404, text="Not found")
        if ticket.is_one_time:
            del cloud.tickets[request.match_info["token"]]
        return await _stream_file(cloud, request, ticket.recording)

    app = web.Application()
    app.router.add_get("/{kind}/{token}/{name}", serve_file)
    return app


async def _stream_file(cloud: MangoCloud, request: web.Request, recording: Recording) -> web.StreamResponse:
    size = recording.file_size
    wanted = request.http_range
    start = wanted.start or 0
    if start < 0:
        start = max(0, size + start)
    stop = size if wanted.stop is None else min(wanted.stop, size)
    if start >= size:
        return web.Response(status=416, headers={"Content-Range": f"bytes */{size}"})
    partial = "Range" in request.headers
    response = web.StreamResponse(status=206 if partial else 200)
    response.content_type = cloud.audio_type
    response.content_length = stop - start
    response.headers["Accept-Ranges"] = "bytes"
    if partial:
        response.headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
    await response.prepare(request)
    if request.method == "HEAD":
        return response
    sent = 0
    for piece in mp3.stream_bytes(size, start=start, stop=stop, voice=sum(recording.recording_id.encode())):
        await response.write(piece)
        sent += len(piece)
        if cloud.cut_files_after and sent >= cloud.cut_files_after and request.transport:
            request.transport.close()
            break
    return response
