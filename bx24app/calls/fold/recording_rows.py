"""Rows of the table `recording`, written by each fold. A recording that can be fetched and attached gets its first
attempt."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from bx24app.domain.calls.call_recordings import CallRecording
from bx24app.domain.calls.ledger import Ledger
from bx24app.infra.runtime import runtime
from bx24app.models import Call, Recording, utcnow
from bx24app.models.problem_codes import RecordingProblem

CONFIRM_SECONDS = 10.0
"""How long a recording that ended waits for `record/added`: a question before may be wrong, and Mango locks a key after
two wrong ones (`infra.key_guard`)."""
STORED_WITHIN_SECONDS = 60.0
"""Mango stores a file within about this time after the recording's end (D26, 3.5)."""
NOT_STORED_YET = "Mango Office has not stored it yet"


def save_recordings(
    session: Session,
    call: Call,
    recordings: Iterable[CallRecording],
    ledger: Ledger,
    rows: list[Recording],
    noticed: dict[str, datetime],
) -> list[Recording]:
    """Store the recordings of the decision. New rows are added to `rows` and have no id before the caller flushes.

    Args:
        noticed: recording id -> when the notification arrived that says it can be fetched.

    Returns:
        The recordings whose first attempt is due, at their `due_at`.
    """
    by_id = {row.recording_id: row for row in rows}
    due: list[Recording] = []
    for recording in recordings:
        row = by_id.get(recording.recording_id)
        if row is None:
            row = Recording(
                portal_id=call.portal_id,
                call_id=call.id,
                recording_id=recording.recording_id,
                state="waiting",
                tries=0,
            )
            session.add(row)
            rows.append(row)
        if row.state == "attached":
            continue
        row.user_id, row.seconds, row.url = recording.user_id, recording.seconds, recording.url
        row.part = row.part or recording.part
        row.noticed_at = row.noticed_at or noticed.get(recording.recording_id)
        if not recording.should_attach:
            row.state, row.due_at = "none", None
            continue
        if row.state == "none":
            row.state = "waiting"
        if row.problem_code == RecordingProblem.UNCONFIRMED and recording.unconfirmed_since is None:
            _confirm(row, due)
        _schedule_first_attempt(row, recording, ledger, due)
    return due


def _schedule_first_attempt(row: Recording, recording: CallRecording, ledger: Ledger, due: list[Recording]) -> None:
    """Bitrix24 takes a recording only for a finished call, so the attempts begin when both the file and the finish are
    there."""
    if row.part is None or row.bitrix_call_id is not None or not recording.is_fetchable or row.state != "waiting":
        return
    finish, register = ledger.finish_entry(row.part), ledger.register_entry(row.part)
    if finish is None or register is None:
        return
    if finish.state == "dead" or register.state == "dead":
        row.state, row.problem, row.problem_code = "lost", "the portal refused the call that it belongs to", None
        return
    if finish.state != "done":
        return
    row.bitrix_call_id = register.answer.get("call_id")
    now, seconds = utcnow(), float(runtime().config.recording_retry[0])
    since = recording.unconfirmed_since
    # Of a call from the statistics we have heard just now, though it ended long ago.
    if recording.url is None and since is not None and now.timestamp() - since < STORED_WITHIN_SECONDS:
        age = (now - (row.noticed_at or now)).total_seconds()
        seconds = max(seconds, CONFIRM_SECONDS - age)
        row.problem, row.problem_code = NOT_STORED_YET, RecordingProblem.UNCONFIRMED
    row.due_at = now + timedelta(seconds=seconds)
    due.append(row)


def _confirm(row: Recording, due: list[Recording]) -> None:
    """Mango says now that the file is there: the first attempt begins, unless a worker is at it."""
    if row.claimed_at is None and row.tries == 0 and row.due_at is not None:
        row.problem, row.problem_code = None, None
        row.due_at = utcnow() + timedelta(seconds=runtime().config.recording_retry[0])
        due.append(row)
