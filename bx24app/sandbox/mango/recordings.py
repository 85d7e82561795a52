"""Recordings: the request by `recording_id`, the 302, and the file host whose links die at their first use."""

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
    """A link on the file host; `once` links die at their first use."""

    recording: Recording
    expires: float
    is_one_time: bool = True


def file_link(cloud: MangoCloud, board: Board, recording_id: str, *, once: bool = True) -> str:
    """A fresh link to a recording's file.

    Raises:
        Refused: 3320 while the recording is not stored, or was deleted.
    """
    recording = board.call_log.recordings.get(recording_id)
    if recording is None or not recording.is_stored or recording.is_deleted:
        raise RequestRefused(3320, "recording not found")
    token = secrets.token_urlsafe(24)
    cloud.tickets[token] = LinkTicket(recording, time.time() + (cloud.link_seconds if once else SHARED_LINK_SECONDS), once)
    return f"{cloud.files_url}/{'vpbx' if once else 'shared'}/{token}/{recording_id.rstrip('=')}.mp3"


async def post_recording(cloud: MangoCloud, board: Board, body: dict[str, Any]) -> web.StreamResponse | dict[str, Any]:
    """`queries/recording/post`."""
    recording_id, action = require_fields(body, "recording_id", "action")
    if action not in ("download", "play"):
        raise RequestRefused(3104, "action is download or play", field="action")
    try:
        link = file_link(cloud, board, str(recording_id))
    except RequestRefused:
        if cloud.missing_recording_status != 200:
            return web.json_response({"result": 3320}, status=cloud.missing_recording_status)
        raise
    return web.Response(status=302, headers={"Location": link})


def add_link_routes(cloud: MangoCloud, app: web.Application) -> None:
    """The signed GET links; they need the product's switch for direct links."""

    async def serve_link(request: web.Request) -> web.StreamResponse:
        part = {name: unquote(value) for name, value in request.match_info.items()}
        board = cloud.by_key(part["key"])
        if board is None or not board.pbx.links_allowed:
            return web.json_response({"result": 3105 if board is None else 5201}, status=403)
        expected = signing.sign_link(part["key"], part["stamp"], part["id"], board.pbx.api_salt)
        if not hmac.compare_digest(expected, part["sign"]):
            return web.json_response({"result": 3102}, status=403)
        if not part["stamp"].isdigit() or _parse_stamp(part["stamp"]) < time.time():
            return web.json_response({"result": 3104, "message": "link expired"}, status=403)
        try:
            return web.Response(status=302, headers={"Location": file_link(cloud, board, part["id"])})
        except RequestRefused as refused:
            return web.json_response({"result": refused.code}, status=404)

    app.router.add_get("/vpbx/queries/recording/link/{id}/{action}/{key}/{stamp}/{sign}", serve_link)


def _parse_stamp(stamp: str) -> float:
    """Seconds; some clients send milliseconds, and Mango takes them."""
    return float(stamp) / 1000 if len(stamp) > 11 else float(stamp)


def make_files_app(cloud: MangoCloud) -> web.Application:
    """The file host. Any access, HEAD too, uses a one-shot link up."""

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
    asked = request.http_range
    start = asked.start or 0
    if start < 0:
        start = max(0, size + start)
    stop = size if asked.stop is None else min(asked.stop, size)
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
