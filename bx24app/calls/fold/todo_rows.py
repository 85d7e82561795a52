"""Rows of the table `todo`: open to-dos of missed calls, by client. Each fold writes what its ledger says of them.

A later miss of the same client reads them (`ClientHistory.open_todos`) and prolongs the to-do instead of adding another
one.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from bx24app.domain.calls.commands import AddTodo, CloseTodo, ReadTodo, Ref, RetitleTodo
from bx24app.domain.calls.ledger import Ledger, LedgerEntry
from bx24app.domain.calls.record_queries import base_key
from bx24app.models import Call, Todo


def save_todos(session: Session, call: Call, ledger: Ledger) -> None:
    """Bring the client's to-dos in line with the commands of this call. The journal columns of the call are up to date.
    """
    for entry in ledger:
        match entry.command:
            case AddTodo() as command:
                _save_added(session, call, command, entry, ledger)
            case RetitleTodo(activity_id=activity_id, misses=misses) if entry.state != "dead":
                for row in _load_by_activity(session, call.portal_id, activity_id):
                    row.misses = max(row.misses, misses)
            case CloseTodo(activity_id=activity_id) if entry.state != "dead":
                _close(session, call.portal_id, activity_id)
            case ReadTodo(activity_id=activity_id) if not _is_open(entry):
                _close(session, call.portal_id, activity_id)
            case _:
                pass


def _is_open(entry: LedgerEntry) -> bool:
    """Without an answer a to-do counts as open, also where the portal refused the question."""
    return entry.state != "done" or bool(entry.answer.get("open"))


def _save_added(session: Session, call: Call, command: AddTodo, entry: LedgerEntry, ledger: Ledger) -> None:
    """Only to-dos of missed calls are stored: later misses do not prolong the to-dos that a rule adds to other calls.
    """
    if call.outcome != "missed" or not call.client_number:
        return
    row = session.scalars(select(Todo).where(Todo.call_id == call.id, Todo.key == command.key)).first()
    if entry.state == "dead":
        if row is not None:
            session.delete(row)
        return
    if row is None:
        row = Todo(
            portal_id=call.portal_id,
            client_number=call.client_number,
            call_id=call.id,
            key=command.key,
            title=command.title,
            entity=command.record.entity,
            missed_at=call.started_at,
            deadline_at=datetime.fromtimestamp(command.deadline_at, UTC),
        )
        session.add(row)
    row.entity_id = _record_id(command, ledger)
    activity_id = entry.answer.get("id")
    row.activity_id = int(activity_id) if activity_id else None


def _record_id(command: AddTodo, ledger: Ledger) -> int | None:
    """The record that the to-do hangs on; None as long as the portal has not created it."""
    target = command.record.id
    if not isinstance(target, Ref):
        return int(target)
    attempts = (entry for entry in ledger if base_key(entry.command.key) == target.key)
    created = next((entry for entry in attempts if entry.answer.get("id")), None)
    return int(created.answer["id"]) if created else None


def _load_by_activity(session: Session, portal_id: int, activity_id: int) -> Iterable[Todo]:
    session.flush()  # this fold may just have set the activity's id
    return session.scalars(select(Todo).where(Todo.portal_id == portal_id, Todo.activity_id == activity_id)).all()


def _close(session: Session, portal_id: int, activity_id: int) -> None:
    for row in _load_by_activity(session, portal_id, activity_id):
        row.state = "closed"
