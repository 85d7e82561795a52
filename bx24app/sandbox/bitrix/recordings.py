"""The method telephony.externalCall.attachRecord.

It attaches a recording as base64, by an address from which the portal fetches it, or as the first of the two steps of
an upload; `uploads.py` has the second.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any
from urllib.parse import unquote, urlsplit

import aiohttp

from bx24app.sandbox.bitrix import uploads
from bx24app.sandbox.bitrix.drive import WRONG_EXTENSION, delete_replaced, file_extension, find_statistic, save_content
from bx24app.sandbox.bitrix.registry import CommandContext, RestError, rest_method
from bx24app.sandbox.bitrix.state import DriveFile, Statistic


def is_audio(content: bytes) -> bool:
    """Whether the content looks like mp3, wav or flac. A portal does not check this for uploads."""
    return content[:4] in (b"RIFF", b"fLaC") or content[:3] == b"ID3" or (
        len(content) > 1 and content[0] == 0xFF and content[1] & 0xE0 == 0xE0
    )  # fmt: skip


@rest_method("telephony.externalCall.attachRecord", "telephony")
async def attach_record(context: CommandContext, params: dict[str, Any]) -> dict[str, Any]:
    url, name, content = params.get("RECORD_URL"), params.get("FILENAME"), params.get("FILE_CONTENT")
    if url is None and name is None:
        raise context.make_error("Required parameters are not set. Request should contain or URL or FILENAME parameter")
    try:
        row = find_statistic(context.portal, params.get("CALL_ID"))
        if url is not None:
            return {"FILE_ID": (await attach_url(context, row, str(url), str(name or ""))).id}
        if content is None:
            return uploads.upload_address(context, row.call_id)
        return {"FILE_ID": _save_decoded(context, row, str(name), content).id}
    except RestError as error:
        raise context.make_error(error.text, error.code, error.status) from error


def _save_decoded(context: CommandContext, row: Statistic, name: str, text: Any) -> DriveFile:
    if not name:
        raise RestError("ERROR_CORE", "File name is empty")
    if file_extension(name) not in ("wav", "mp3"):
        raise RestError("ERROR_CORE", WRONG_EXTENSION)
    if not text:
        raise RestError("ERROR_CORE", "File content is empty.")
    try:
        content = base64.b64decode(str(text), validate=True)
    except (binascii.Error, ValueError):
        raise RestError("ERROR_CORE", "File content is not properly encoded. Base64 encoding is expected.") from None
    _check_audio(content)
    return delete_replaced(context.portal, row, save_content(context.portal, row, name, content, via="base64"))


def _check_audio(content: bytes) -> None:
    if not is_audio(content):
        raise RestError("ERROR_CORE", "This file type is not allowed. Only audio files are accepted.")


async def attach_url(context: CommandContext, row: Statistic, url: str, name: str) -> DriveFile:
    """Fetches a recording from an address, within the request, and stores it.

    Raises:
        RestError: the recording could not be fetched, or it is not audio.
    """
    timeout = aiohttp.ClientTimeout(connect=30, total=60)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(url, max_redirects=5, ssl=False) as answer,
        ):
            if answer.status != 200:
                raise RestError("ERROR_CORE", f"Server returns HTTP error code {answer.status}")
            content = await answer.read()
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        raise RestError("SERVER_NOT_AVAILABLE", f"NETWORK: {error}") from error
    _check_audio(content)
    stored = name or unquote(urlsplit(url).path.rpartition("/")[2])
    row.record_url = url
    return delete_replaced(context.portal, row, save_content(context.portal, row, stored, content, via="url"))
