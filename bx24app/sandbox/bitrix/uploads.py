"""The endpoint `/rest/upload.json`: the second step of the upload of a recording.

attachRecord returns the signed address of the upload, and the application then posts the file to it. S: the signature
covers the access token of the first request. If that token came in a header, the address has no `auth` and the second
request has to repeat the header.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from aiohttp import BodyPartReader, web

from bx24app.sandbox.bitrix import drive, faults, php
from bx24app.sandbox.bitrix.dispatch import CORS_HEADERS, RestRequest, authorise_request
from bx24app.sandbox.bitrix.registry import CommandContext, RestError
from bx24app.sandbox.bitrix.state import DriveFile, LogEntry
from bx24app.sandbox.bitrix.switches import AFTER_KINDS, BEFORE_KINDS

if TYPE_CHECKING:
    from bx24app.sandbox.bitrix.portal import Portal

FILE_FIELD = "file"


def _sign_text(portal: Portal, text: str, access: str) -> str:
    return hmac.new(portal.secret.encode(), f"{text}|{access}".encode(), hashlib.sha256).hexdigest()


def upload_address(context: CommandContext, call_id: str) -> dict[str, str]:
    """The answer of attachRecord when it has a file name but no content."""
    text = base64.b64encode(f"_={secrets.token_hex(8)}&callId={call_id}".encode()).decode()
    token = quote(f"telephony|{text}|{_sign_text(context.portal, text, context.token.access)}", safe="")
    auth = f"auth={context.token.access}&" if context.auth_in_url else ""
    return {"uploadUrl": f"{context.base_url}/rest/upload.json?{auth}token={token}", "fieldName": FILE_FIELD}


async def receive_upload(portal: Portal, request: web.Request) -> web.StreamResponse:
    """Receives the file of an upload. Unlike other answers, this one has no `time`."""
    given = php.parse_query(request.query_string)
    header = request.headers.get("Authorization", "")
    access = header[7:].strip() if header[:7].lower() == "bearer " else str(given.get("auth") or "")
    entry = LogEntry(portal.now(), "upload", {}, "", 0)
    portal.hits += 1
    portal.request_log.append(entry)
    fault = portal.switches.take_fault(BEFORE_KINDS, ["upload"])
    if fault:
        entry.error = fault.kind
        return await faults.spoil_answer(request, fault)
    try:
        portal.limits.count_request(request.remote or "", portal.now())
        rest_request = RestRequest("upload", {}, access, True)
        context = authorise_request(portal, rest_request, secure=request.secure)
        entry.app, entry.user_id = context.token.client_id, context.user.id
        call_id = _verified_call_id(portal, str(given.get("token") or ""), access)
        context.busy_until = portal.latencies.get("upload", portal.latency)
        await context.spend_time()
        body: dict[str, Any] = {"result": {"FILE_ID": (await _save_upload(portal, request, call_id)).id}}
        entry.status, entry.params = 200, {"callId": call_id}
    except RestError as error:
        body, entry.status, entry.error = error.error_body(), error.status, error.code
    portal.notify_watchers("request", method="upload", status=entry.status, error=entry.error)
    fault = portal.switches.take_fault(AFTER_KINDS, ["upload"])
    if fault:
        return await faults.spoil_answer(request, fault)
    text = json.dumps(body)
    return web.Response(text=text, status=entry.status, content_type="application/json", headers=CORS_HEADERS)


def _verified_call_id(portal: Portal, token: str, access: str) -> str:
    """The CALL_ID in the signed token of an upload address.

    Raises:
        RestError: ACCESS_DENIED, the signature is wrong.
    """
    scope, _, rest = token.partition("|")
    text, _, signature = rest.partition("|")
    if scope != "telephony" or not hmac.compare_digest(signature, _sign_text(portal, text, access)):
        raise RestError("ACCESS_DENIED", "Link check failed", 403)
    return str(php.parse_query(base64.b64decode(text).decode())["callId"])


async def _save_upload(portal: Portal, request: web.Request, call_id: str) -> DriveFile:
    if not request.content_type.startswith("multipart/"):
        raise RestError("ERROR_CORE", f"Error: required parameter {FILE_FIELD} is not found")
    async for part in await request.multipart():
        if isinstance(part, BodyPartReader) and part.name == FILE_FIELD and part.filename:
            if drive.file_extension(part.filename) not in ("wav", "mp3"):
                raise RestError("ERROR_CORE", drive.WRONG_EXTENSION)
            row = drive.find_statistic(portal, call_id)
            content, size, digest = await _read_content(part, portal.keep_bytes)
            return drive.store_file(portal, row, part.filename, content, size, digest, "upload")
    raise RestError("ERROR_CORE", f"Error: required parameter {FILE_FIELD} is not found")


async def _read_content(part: BodyPartReader, limit: int) -> tuple[bytes, int, str]:
    """Reads a file in pieces. Returns its bytes (none if larger than `limit`), size and SHA-256."""
    hashed, content, size = hashlib.sha256(), bytearray(), 0
    while chunk := await part.read_chunk(1 << 18):
        hashed.update(chunk)
        size += len(chunk)
        if size <= limit:
            content += chunk
    return bytes(content) if size <= limit else b"", size, hashed.hexdigest()
