"""telephony.externalCall.attachRecord: base64, by address, or as the first step of an upload."""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import aiohttp

from bx24app.sandbox.bitrix import uploads
from bx24app.sandbox.bitrix.registry import Hit, RestError, method
from bx24app.sandbox.bitrix.state import DriveFile, Statistic
from bx24app.sandbox.clock import iso

if TYPE_CHECKING:
    from bx24app.sandbox.bitrix.portal import Portal

NOT_FINISHED = "Call is not found in the statistic table. Looks like it is not finished yet."
EXTENSION = "Wrong file extension. Only wav and mp3 are allowed"
NOT_UNIQUE = "A file or folder with this name already exists."


def extension(name: str) -> str:
    """What stands behind the last point; compared as it is, so MP3 is refused."""
    return name.rpartition(".")[2] if "." in name else ""


def audio(content: bytes) -> bool:
    """Whether it looks like mp3, wav or flac (checked for base64 and address, not for uploads)."""
    return content[:4] in (b"RIFF", b"fLaC") or content[:3] == b"ID3" or (
        len(content) > 1 and content[0] == 0xFF and content[1] & 0xE0 == 0xE0
    )  # fmt: skip


def finished(portal: Portal, call_id: Any) -> Statistic:
    """The statistics row of a call.

    Raises:
        RestError: the call is not finished.
    """
    row = portal.by_call.get(str(call_id or ""))
    if row is None:
        raise RestError("ERROR_CORE", NOT_FINISHED)
    return row


@method("telephony.externalCall.attachRecord", "telephony")
async def attach(hit: Hit, params: dict[str, Any]) -> dict[str, Any]:
    url, name, content = params.get("RECORD_URL"), params.get("FILENAME"), params.get("FILE_CONTENT")
    if url is None and name is None:
        raise hit.error("Required parameters are not set. Request should contain or URL or FILENAME parameter")
    try:
        row = finished(hit.portal, params.get("CALL_ID"))
        if url is not None:
            return {"FILE_ID": (await attach_url(hit, row, str(url), str(name or ""))).id}
        if content is None:
            return uploads.address(hit, row.call_id)
        return {"FILE_ID": _decoded(hit, row, str(name), content).id}
    except RestError as error:
        raise hit.error(error.text, error.code, error.status) from error


def _decoded(hit: Hit, row: Statistic, name: str, text: Any) -> DriveFile:
    if not name:
        raise RestError("ERROR_CORE", "File name is empty")
    if extension(name) not in ("wav", "mp3"):
        raise RestError("ERROR_CORE", EXTENSION)
    if not text:
        raise RestError("ERROR_CORE", "File content is empty.")
    try:
        content = base64.b64decode(str(text), validate=True)
    except (binascii.Error, ValueError):
        raise RestError("ERROR_CORE", "File content is not properly encoded. Base64 encoding is expected.") from None
    _check(content)
    return replace(hit.portal, row, save(hit.portal, row, name, content, via="base64"))


def _check(content: bytes) -> None:
    if not audio(content):
        raise RestError("ERROR_CORE", "This file type is not allowed. Only audio files are accepted.")


async def attach_url(hit: Hit, row: Statistic, url: str, name: str) -> DriveFile:
    """The portal fetches the file itself, inside this hit.

    Raises:
        RestError: it could not be fetched, or is no audio.
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
    _check(content)
    stored = name or unquote(urlsplit(url).path.rpartition("/")[2])
    row.record_url = url
    return replace(hit.portal, row, save(hit.portal, row, stored, content, via="url"))


def save(portal: Portal, row: Statistic, name: str, content: bytes, *, via: str) -> DriveFile:
    """Puts bytes on the Drive, whole; see `keep`."""
    digest = hashlib.sha256(content).hexdigest()
    return keep(portal, row, name, content, len(content), digest, via)


def keep(portal: Portal, row: Statistic, name: str, content: bytes, size: int, digest: str, via: str) -> DriveFile:
    """Puts a file into the folder of the month in which the call began. Names are unique there.

    Raises:
        RestError: no room, or the name is taken (even by this call's own earlier recording).
    """
    fault = portal.switches.take(frozenset({"disk_full"}), ["telephony.externalcall.attachrecord"])
    if fault:
        raise RestError("ERROR_CORE", "Not enough free space on the Drive. Free up some space and try again.")
    folder = iso(row.start)[:7]
    if (folder, name) in portal.file_names:
        raise RestError("DISK_OBJ_22000", NOT_UNIQUE)
    portal.file_names.add((folder, name))
    file = DriveFile(
        portal.next_id("file", 9001), folder, name, content if size <= portal.keep_bytes else b"", portal.now(),
        row.call_id, via, size, digest,
    )  # fmt: skip
    portal.files[file.id] = file
    row.file_id = file.id
    activity = portal.activities.get(row.activity_id or 0) or portal.by_origin.get(f"VI_{row.call_id}")
    if activity:
        activity.files = [file.id]
    portal.tell("recording", call_id=row.call_id, file_id=file.id)
    return file


def replace(portal: Portal, row: Statistic, file: DriveFile) -> DriveFile:
    """Deletes the recording that this one takes the place of (base64 and address only; an upload leaves it on the Drive)."""
    for old in [one for one in portal.files.values() if one.call_id == row.call_id and one.id != file.id]:
        del portal.files[old.id]
        portal.file_names.discard((old.folder, old.name))
    return file
