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

from bx24app.bitrix24 import batch_encoding
from bx24app.bitrix24 import errors as portal_errors
from bx24app.bitrix24.budget import BUDGET_USED_UP, Priority
from bx24app.bitrix24.client import Bitrix24Client, RestResult
from bx24app.calls.recordings.attempts import Attempt
from bx24app.calls.recordings.download import RetryLater
from bx24app.infra.runtime import runtime
from bx24app.models import Recording, db
from bx24app.models.problem_codes import RecordingProblem
from bx24app.portals import lifecycle

DISK_FULL = "the portal's disk is full"
"""The problem of a recording that waits for space, for people."""
DISK_RETRY_SECONDS = 900.0
"""Until such a one tries again."""
MAX_WAIT_SECONDS = 4.0
"""Seconds."""
ATTACH_METHOD = "telephony.externalCall.attachRecord"



class _WaitSlot(threading.Semaphore):
    """Held by the one thread of a process that waits for the budget."""


def wait_for_turn(client: Bitrix24Client) -> None:
    """Returns when the portal's budget has something for recordings; takes nothing of it.

    One thread of a process waits a little for that; the alarm clock counts in seconds, and would let half of a short budget pass.

    Raises: NotNow
    """
    stop_event, slot = runtime().stop_event, runtime().get(_WaitSlot)
    wait = client.budget.seconds_until_free(Priority.RECORD)
    if 0 < wait <= MAX_WAIT_SECONDS and slot.acquire(blocking=False):
        try:
            until = time.monotonic() + MAX_WAIT_SECONDS
            while wait > 0 and time.monotonic() + wait <= until and not stop_event.wait(wait):
                wait = client.budget.seconds_until_free(Priority.RECORD)
        finally:
            slot.release()
    if wait > 0:
        raise RetryLater(BUDGET_USED_UP, wait, is_counted=False, is_budget_wait=True, code=RecordingProblem.PORTAL_BUDGET)


def attach_batch(client: Bitrix24Client, errands: Sequence[Attempt]) -> list[tuple[Attempt, int | RetryLater]]:
    """Small recordings of one portal in one request: the file's id for each, or why it is not there yet."""
    _mark_attempted(errands, attempted=True)
    try:
        said = _send_batch(client, errands)
    except portal_errors.PortalError as error:
        said = dict.fromkeys([one.id for one in errands], error)
    _mark_attempted([one for one in errands if isinstance(said.get(one.id), portal_errors.NotSent)], attempted=False)
    return [(one, _file_id(one, said.get(one.id))) for one in errands]


def _send_batch(client: Bitrix24Client, errands: Sequence[Attempt]) -> dict[int, RestResult | portal_errors.PortalError]:
    if len(errands) == 1:
        content = base64.b64encode(errands[0].spool_file.read_bytes()).decode()
        return {errands[0].id: client.call(ATTACH_METHOD, {**_file_params(errands[0]), "FILE_CONTENT": content}, Priority.RECORD)}
    commands = [
        (f"r{one.id}", ATTACH_METHOD, {**_file_params(one), "FILE_CONTENT": batch_encoding.quote_base64(one.spool_file.read_bytes())})
        for one in errands
    ]
    said = client.batch(commands, priority=Priority.RECORD)
    return {int(key[1:]): met for key, met in said.items()}


def _file_params(errand: Attempt) -> dict[str, Any]:
    return {"CALL_ID": errand.bitrix_call_id, "FILENAME": errand.file_name}


def _file_id(errand: Attempt, met: RestResult | portal_errors.PortalError | None) -> int | RetryLater:
    if isinstance(met, portal_errors.PortalError):
        return _classify_error(errand, met)
    try:
        return int(met.result["FILE_ID"])  # type: ignore[union-attr]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        return RetryLater(f"the portal's answer to an attachment has an unknown shape: {type(error).__name__}")


def _classify_error(errand: Attempt, error: portal_errors.PortalError) -> RetryLater:
    """What the portal's refusal means for this recording, whichever request met it. Its budget and its own state spend no try."""
    if isinstance(error, portal_errors.NeedsAdmin):
        if error.code == "disk":  # cards and calls need no disk: only recordings wait
            return RetryLater(DISK_FULL, DISK_RETRY_SECONDS, is_counted=False, code=RecordingProblem.PORTAL_DISK)
        lifecycle.mark_needs_admin(errand.portal_id, error)
        return RetryLater(str(error), 60, is_counted=False)
    if isinstance(error, portal_errors.Gone):
        lifecycle.mark_needs_admin(errand.portal_id, error)
        return RetryLater(str(error), 3600, is_counted=False)
    if isinstance(error, portal_errors.Later):
        code = RecordingProblem.PORTAL_BUDGET if error.is_budget_used_up else None
        limited = error.is_rate_limited
        return RetryLater(str(error), error.retry_after, is_counted=not limited, is_budget_wait=limited, code=code)
    return RetryLater(f"the portal refused the recording: {error}")


@contextmanager
def _translate_errors(errand: Attempt) -> Iterator[None]:
    try:
        yield
    except portal_errors.PortalError as error:
        raise _classify_error(errand, error) from None


def upload(client: Bitrix24Client, errand: Attempt) -> int:
    """FILENAME -> uploadUrl -> multipart, streamed from the spool.

    Raises: NotNow
    """
    with _translate_errors(errand):
        where = client.call(ATTACH_METHOD, _file_params(errand), Priority.RECORD).result
        _mark_attempted([errand], attempted=True)
        try:
            said = client.upload_file(
                where["uploadUrl"], errand.spool_file, errand.file_name, field=where.get("fieldName", "file")
            )
            return int(said["FILE_ID"])
        except (KeyError, TypeError, ValueError) as error:
            raise RetryLater(f"the portal's answer to an attachment has an unknown shape: {error}") from None


def find_attached(client: Bitrix24Client, errand: Attempt) -> int | None:
    """After a lost answer: does the portal have the file?

    Raises: NotNow
    """
    with _translate_errors(errand):
        rows = client.call(
            "voximplant.statistic.get", {"FILTER": {"CALL_ID": errand.bitrix_call_id}}, Priority.RECORD
        ).result
    for row in rows or []:
        if str(row.get("CALL_ID")) == errand.bitrix_call_id and row.get("RECORD_FILE_ID"):
            return int(row["RECORD_FILE_ID"])
    return None


def _mark_attempted(errands: Sequence[Attempt], *, attempted: bool) -> None:
    """On disk before anything leaves: from now on the portal may have the file."""
    for one in errands:
        known = {"attempted": attempted, "file_name": one.file_name}
        db.session.execute(update(Recording).where(Recording.id == one.id).values(**known))
    db.session.commit()
    db.session.remove()
