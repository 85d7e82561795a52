"""Sends a fetched recording to its call in the portal: a small one inside a request, a large one as an upload.

A small one costs one request less, and several that wait for the portal's budget share one request. A recording that
was refused, or whose answer was lost, is uploaded the next time: a portal may accept less in one request than we think.
`transfer` calls these functions and stores the outcomes that they return.
"""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Sequence
from typing import Any

from bx24app.bitrix24 import batch_encoding
from bx24app.bitrix24 import errors as portal_errors
from bx24app.bitrix24.budget import Priority
from bx24app.bitrix24.client import Bitrix24Client, RestResult
from bx24app.calls.recordings import attempts, outcomes
from bx24app.calls.recordings.attempts import Attempt
from bx24app.calls.recordings.outcomes import Attached, BudgetWait, FailedTry, Outcome
from bx24app.domain.bounds import is_whole
from bx24app.infra.runtime import runtime

MAX_WAIT_SECONDS = 4.0
"""How long a thread waits for the portal's budget instead of putting the recording off."""
ATTACH_METHOD = "telephony.externalCall.attachRecord"


class _WaitSlot(threading.Semaphore):
    """Held by the one thread of a process that waits for the budget."""


def wait_for_budget(client: Bitrix24Client) -> BudgetWait | None:
    """None: the portal's budget has something for recordings. Nothing is taken from the budget.

    One thread of a process waits a little here: scheduled jobs count in whole seconds and would let half of a short
    budget pass.
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
    return outcomes.budget_used_up(wait) if wait > 0 else None


def attach_batch(client: Bitrix24Client, batch: Sequence[Attempt]) -> list[tuple[Attempt, Outcome]]:
    """Attach small recordings of one portal in one request."""
    attempts.mark_attempted(batch, attempted=True)
    answers: dict[int, RestResult | portal_errors.PortalError]
    try:
        answers = _send_batch(client, batch)
    except portal_errors.PortalError as error:
        answers = dict.fromkeys([attempt.id for attempt in batch], error)
    not_sent = [attempt for attempt in batch if isinstance(answers.get(attempt.id), portal_errors.NotSent)]
    attempts.mark_attempted(not_sent, attempted=False)
    return [(attempt, _read_answer(answers.get(attempt.id))) for attempt in batch]


def _send_batch(client: Bitrix24Client, batch: Sequence[Attempt]) -> dict[int, RestResult | portal_errors.PortalError]:
    if len(batch) == 1:
        (attempt,) = batch
        content = base64.b64encode(attempt.spool_file.read_bytes()).decode()
        params = {**_file_params(attempt), "FILE_CONTENT": content}
        return {attempt.id: client.call(ATTACH_METHOD, params, Priority.RECORD)}
    commands = []
    for attempt in batch:
        content = batch_encoding.quote_base64(attempt.spool_file.read_bytes())
        commands.append((f"r{attempt.id}", ATTACH_METHOD, {**_file_params(attempt), "FILE_CONTENT": content}))
    answers = client.batch(commands, priority=Priority.RECORD)
    return {int(key[1:]): answer for key, answer in answers.items()}


def _file_params(attempt: Attempt) -> dict[str, Any]:
    return {"CALL_ID": attempt.bitrix_call_id, "FILENAME": attempt.portal_file_name()}


def _read_answer(answer: RestResult | portal_errors.PortalError | None) -> Outcome:
    if isinstance(answer, portal_errors.PortalError):
        return outcomes.from_portal_error(answer)
    try:
        return Attached(_file_id(answer.result["FILE_ID"]))  # type: ignore[union-attr]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        return FailedTry(f"the portal's answer to an attachment has an unknown shape: {type(error).__name__}")


def upload(client: Bitrix24Client, attempt: Attempt) -> Outcome:
    """Attach a large recording: the portal gives an address for the file name, the file is streamed there from the
    spool.
    """
    try:
        target = client.call(ATTACH_METHOD, _file_params(attempt), Priority.RECORD).result
        attempts.mark_attempted([attempt], attempted=True)
        try:
            name, field = attempt.portal_file_name(), target.get("fieldName", "file")
            body = client.upload_file(target["uploadUrl"], attempt.spool_file, name, field=field)
            return Attached(_file_id(body["FILE_ID"]))
        except (KeyError, TypeError, ValueError) as error:
            return FailedTry(f"the portal's answer to an attachment has an unknown shape: {error}")
    except portal_errors.PortalError as error:
        return outcomes.from_portal_error(error)


def find_attached(client: Bitrix24Client, attempt: Attempt) -> Outcome | None:
    """After a lost answer: does the portal have the file?

    None: it does not; a failure: the portal cannot be asked now.
    """
    try:
        filters = {"FILTER": {"CALL_ID": attempt.bitrix_call_id}}
        rows = client.call("voximplant.statistic.get", filters, Priority.RECORD).result
    except portal_errors.PortalError as error:
        return outcomes.from_portal_error(error)
    try:
        for row in rows or []:
            if str(row.get("CALL_ID")) == attempt.bitrix_call_id and row.get("RECORD_FILE_ID"):
                return Attached(_file_id(row["RECORD_FILE_ID"]))
    except (AttributeError, TypeError, ValueError) as error:
        return FailedTry(f"the portal's answer about a recording has an unknown shape: {type(error).__name__}")
    return None


def _file_id(value: Any) -> int:
    """Raises ValueError where no column holds it."""
    number = int(value)
    if not is_whole(number):
        raise ValueError("FILE_ID is too large")
    return number
