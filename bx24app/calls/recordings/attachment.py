"""How a fetched recording gets to its call in the portal: a small one inside a request, with others that wait; a large one as an upload.

A small one costs one request less, and ten that wait for the portal's budget cost one request together. What was refused, or whose answer
was lost, goes as an upload the next time: a portal may take less in one request than we think.
"""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import update

from bx24app import portals
from bx24app.bitrix24 import batch_encoding
from bx24app.bitrix24 import errors as portal_errors
from bx24app.bitrix24.budget import USED_UP, Priority
from bx24app.bitrix24.client import Answer, Bitrix24
from bx24app.calls.recordings.attempts import Errand
from bx24app.calls.recordings.download import NotNow
from bx24app.infra.shutdown import stopping
from bx24app.models import Recording, db

DISK_FULL = "the portal's disk is full"
"""The problem of a recording that waits for space; by it they are found."""
DISK_SECONDS = 900.0
"""Until such a one tries again."""
PATIENCE = 4.0
"""Seconds."""
_patient = threading.Semaphore()
ATTACH = "telephony.externalCall.attachRecord"


def wait_for_turn(client: Bitrix24) -> None:
    """Returns when the portal's budget has something for recordings; takes nothing of it.

    One thread of a process waits a little for that; the alarm clock counts in seconds, and would let half of a short budget pass.

    Raises: NotNow
    """
    wait = client.budget.wait(Priority.RECORD)
    if 0 < wait <= PATIENCE and _patient.acquire(blocking=False):
        try:
            until = time.monotonic() + PATIENCE
            while wait > 0 and time.monotonic() + wait <= until and not stopping.wait(wait):
                wait = client.budget.wait(Priority.RECORD)
        finally:
            _patient.release()
    if wait > 0:
        raise NotNow(USED_UP, wait, counts=False, queued=True)


def together(client: Bitrix24, errands: Sequence[Errand]) -> list[tuple[Errand, int | NotNow]]:
    """Small recordings of one portal in one request: the file's id for each, or why it is not there yet."""
    _mark(errands, attempted=True)
    try:
        said = _ask(client, errands)
    except portal_errors.PortalError as error:
        said = dict.fromkeys([one.id for one in errands], error)
    _mark([one for one in errands if isinstance(said.get(one.id), portal_errors.NotSent)], attempted=False)
    return [(one, _file_id(one, said.get(one.id))) for one in errands]


def _ask(client: Bitrix24, errands: Sequence[Errand]) -> dict[int, Answer | portal_errors.PortalError]:
    if len(errands) == 1:
        content = base64.b64encode(errands[0].file.read_bytes()).decode()
        return {errands[0].id: client.call(ATTACH, {**_names(errands[0]), "FILE_CONTENT": content}, Priority.RECORD)}
    commands = [
        (f"r{one.id}", ATTACH, {**_names(one), "FILE_CONTENT": batch_encoding.base64_of(one.file.read_bytes())})
        for one in errands
    ]
    said = client.batch(commands, priority=Priority.RECORD)
    return {int(key[1:]): met for key, met in said.items()}


def _names(errand: Errand) -> dict[str, Any]:
    return {"CALL_ID": errand.bitrix_call_id, "FILENAME": errand.file_name}


def _file_id(errand: Errand, met: Answer | portal_errors.PortalError | None) -> int | NotNow:
    if isinstance(met, portal_errors.PortalError):
        return _meaning(errand, met)
    try:
        return int(met.result["FILE_ID"])  # type: ignore[union-attr]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        return NotNow(f"the portal's answer to an attachment has an unknown shape: {type(error).__name__}")


def _meaning(errand: Errand, error: portal_errors.PortalError) -> NotNow:
    """What the portal's refusal means for this recording, whichever request met it. Its budget and its own state spend no try."""
    if isinstance(error, portal_errors.NeedsAdmin):
        if error.code == "disk":  # cards and calls need no disk: only recordings wait
            return NotNow(DISK_FULL, DISK_SECONDS, counts=False)
        portals.trouble(errand.portal_id, error)
        return NotNow(str(error), 60, counts=False)
    if isinstance(error, portal_errors.Gone):
        portals.trouble(errand.portal_id, error)
        return NotNow(str(error), 3600, counts=False)
    if isinstance(error, portal_errors.Later):
        return NotNow(str(error), error.after, counts=not error.budget, queued=error.budget)
    return NotNow(f"the portal refused the recording: {error}")


@contextmanager
def _waiting(errand: Errand) -> Iterator[None]:
    try:
        yield
    except portal_errors.PortalError as error:
        raise _meaning(errand, error) from None


def upload(client: Bitrix24, errand: Errand) -> int:
    """FILENAME -> uploadUrl -> multipart, streamed from the spool.

    Raises: NotNow
    """
    with _waiting(errand):
        where = client.call(ATTACH, _names(errand), Priority.RECORD).result
        _mark([errand], attempted=True)
        try:
            said = client.upload(
                where["uploadUrl"], errand.file, errand.file_name, field=where.get("fieldName", "file")
            )
            return int(said["FILE_ID"])
        except (KeyError, TypeError, ValueError) as error:
            raise NotNow(f"the portal's answer to an attachment has an unknown shape: {error}") from None


def already_there(client: Bitrix24, errand: Errand) -> int | None:
    """After a lost answer: does the portal have the file?

    Raises: NotNow
    """
    with _waiting(errand):
        rows = client.call(
            "voximplant.statistic.get", {"FILTER": {"CALL_ID": errand.bitrix_call_id}}, Priority.RECORD
        ).result
    for row in rows or []:
        if str(row.get("CALL_ID")) == errand.bitrix_call_id and row.get("RECORD_FILE_ID"):
            return int(row["RECORD_FILE_ID"])
    return None


def _mark(errands: Sequence[Errand], *, attempted: bool) -> None:
    """On disk before anything leaves: from now on the portal may have the file."""
    for one in errands:
        known = {"attempted": attempted, "file_name": one.file_name}
        db.session.execute(update(Recording).where(Recording.id == one.id).values(**known))
    db.session.commit()
    db.session.remove()
