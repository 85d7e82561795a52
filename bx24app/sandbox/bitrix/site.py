"""The web site of a portal: REST, the authorisation page, the files of the Drive and the control API.

The server of the sandbox runs one site per portal.
"""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

from aiohttp import web

from bx24app.sandbox.bitrix import control, methods, rest
from bx24app.sandbox.bitrix.portal import Portal

BODY_LIMIT = 2 << 30
"""The largest request body that the cloud accepts, in bytes."""


def make_site(portal: Portal) -> web.Application:
    """The site of one portal. Callers may add routes before it starts."""
    app = web.Application(client_max_size=BODY_LIMIT)
    rest.add_routes(portal, methods.METHODS, app)
    control.add_routes(portal, app)

    async def serve_authorise(request: web.Request) -> web.StreamResponse:
        return _authorise_page(portal, request)

    async def serve_file(request: web.Request) -> web.StreamResponse:
        return _file_response(portal, request)

    app.router.add_get("/oauth/authorize/", serve_authorise)
    app.router.add_get("/oauth/authorize", serve_authorise)
    app.router.add_get("/sandbox/files/{id:\\d+}/{name}", serve_file)
    return app


def _authorise_page(portal: Portal, request: web.Request) -> web.StreamResponse:
    """The page of the authorisation-code flow. The user is `?sandbox_user=N`, else the first administrator.

    As in a real portal, failures are shown to the user; the application receives no error.
    """
    client_id = request.query.get("client_id", "")
    installation = portal.apps.get(client_id)
    if installation is None:
        return web.Response(status=400, text="Application is not installed in this portal.")
    first = next(user.id for user in portal.users.values() if user.admin and user.active)
    user_id = int(request.query.get("sandbox_user", first))
    secure = request.secure
    answer = {
        "code": portal.oauth.issue_code(portal, client_id, user_id),
        "state": request.query.get("state", ""),
        "domain": portal.host_name(secure),
        "member_id": portal.member_id,
        "scope": ",".join(installation.scopes),
        "server_domain": portal.oauth.base_url(secure).partition("://")[2],
    }
    target = installation.app.handler_url
    return web.Response(status=302, headers={"Location": f"{target}{'&' if '?' in target else '?'}{urlencode(answer)}"})


def _file_response(portal: Portal, request: web.Request) -> web.StreamResponse:
    """A recording for a player. Ranges are supported."""
    file = portal.files.get(int(request.match_info["id"]))
    if file is None:
        raise web.HTTPNotFound
    kind = "audio/wav" if file.name.endswith("wav") else "audio/mpeg"
    headers = {"Accept-Ranges": "bytes"}
    part = request.http_range
    if part.start is None and part.stop is None:
        return web.Response(body=file.content, content_type=kind, headers=headers)
    start, stop, _ = part.indices(len(file.content))
    if start >= stop:
        raise web.HTTPRequestRangeNotSatisfiable
    headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(file.content)}"
    return web.Response(status=206, body=file.content[start:stop], content_type=kind, headers=headers)


def dump_json(value: Any) -> str:
    """JSON in which Cyrillic is not escaped."""
    return json.dumps(value, ensure_ascii=False, default=str)
