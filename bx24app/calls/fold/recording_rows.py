"""USE CASE: what is known of recordings becomes rows, and rows that can be fetched get their first try."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from bx24app.domain.calls.call_recordings import CallRecording
from bx24app.domain.calls.ledger import Ledger
from bx24app.infra.runtime import runtime
from bx24app.models import Call, Recording, utcnow


def save_recordings(
    session: Session,
    call: Call,
    tapes: Iterable[CallRecording],
    ledger: Ledger,
    rows: list[Recording],
    noticed: dict[str, datetime],
) -> list[Recording]:
    """Write the fold's recordings down. Returns those whose first try is due, at their `due_at`; new ones have no id before the caller's flush."""
    known = {row.recording_id: row for row in rows}
    due: list[Recording] = []
    for tape in tapes:
        row = known.get(tape.recording_id)
        if row is None:
            row = Recording(
                portal_id=call.portal_id, call_id=call.id, recording_id=tape.recording_id, state="waiting", tries=0
            )
            session.add(row)
            rows.append(row)
        if row.state == "attached":
            continue
        row.user_id, row.seconds, row.url = tape.user_id, tape.seconds, tape.url
        row.part = row.part or tape.part
        row.noticed_at = row.noticed_at or noticed.get(tape.recording_id)
        if not tape.should_attach:
            row.state, row.due_at = "none", None
            continue
        if row.state == "none":
            row.state = "waiting"
        _schedule_first_attempt(row, tape, ledger, due)
    return due


def _schedule_first_attempt(row: Recording, tape: CallRecording, ledger: Ledger, due: list[Recording]) -> None:
    """Bitrix24 takes a recording only after finish, so the plan begins when both the file and the finished call are there."""
    if row.part is None or row.bitrix_call_id is not None or not tape.is_fetchable or row.state != "waiting":
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
    row.due_at = utcnow() + timedelta(seconds=runtime().config.recording_retry[0])
    due.append(row)
