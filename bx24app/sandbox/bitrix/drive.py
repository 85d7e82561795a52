"""The Drive of a portal: the files of recordings.

`recordings.py` and `uploads.py` store files here. A file belongs to a finished call and is shown on the call's
activity.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from bx24app.sandbox.bitrix.registry import RestError
from bx24app.sandbox.bitrix.state import DriveFile, Statistic
from bx24app.sandbox.clock import format_iso

if TYPE_CHECKING:
    from bx24app.sandbox.bitrix.portal import Portal

NOT_FINISHED = "Call is not found in the statistic table. Looks like it is not finished yet."
WRONG_EXTENSION = "Wrong file extension. Only wav and mp3 are allowed"
NOT_UNIQUE = "A file or folder with this name already exists."


def file_extension(name: str) -> str:
    """The text after the last dot. Callers compare it case-sensitively, so MP3 is refused."""
    return name.rpartition(".")[2] if "." in name else ""


def find_statistic(portal: Portal, call_id: Any) -> Statistic:
    """The statistics row of a call.

    Raises:
        RestError: there is no such call, or it is not finished.
    """
    row = portal.by_call.get(str(call_id or ""))
    if row is None:
        raise RestError("ERROR_CORE", NOT_FINISHED)
    return row


def save_content(portal: Portal, row: Statistic, name: str, content: bytes, *, via: str) -> DriveFile:
    """Stores a recording whose bytes are all in memory. Errors as in `store_file`."""
    digest = hashlib.sha256(content).hexdigest()
    return store_file(portal, row, name, content, len(content), digest, via)


def store_file(
    portal: Portal, row: Statistic, name: str, content: bytes, size: int, digest: str, via: str
) -> DriveFile:
    """Stores a recording in the folder of the month in which the call began. File names are unique in a folder.

    Raises:
        RestError: the Drive is full, or the name is taken (even by an earlier recording of the same call).
    """
    fault = portal.switches.take_fault(frozenset({"disk_full"}), ["telephony.externalcall.attachrecord"])
    if fault:
        raise RestError("ERROR_CORE", "Not enough free space on the Drive. Free up some space and try again.")
    folder = format_iso(row.start)[:7]
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
    portal.notify_watchers("recording", call_id=row.call_id, file_id=file.id)
    return file


def delete_replaced(portal: Portal, row: Statistic, file: DriveFile) -> DriveFile:
    """Deletes the recordings that this file replaces. Callers do this for base64 and RECORD_URL, not for an upload."""
    for old in [other for other in portal.files.values() if other.call_id == row.call_id and other.id != file.id]:
        del portal.files[old.id]
        portal.file_names.discard((old.folder, old.name))
    return file
