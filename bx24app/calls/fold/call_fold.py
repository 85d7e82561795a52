"""One call, folded: what its notifications, the ledger and the tables say becomes deliveries, journal columns and recordings. No HTTP."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import update
from sqlalchemy.orm import Session

from bx24app.calls import click_to_call, clock_jumps
from bx24app.calls.fold import fold_context, related_calls
from bx24app.calls.fold.call_facts import update_facts
from bx24app.calls.fold.client_history import ClientHistory
from bx24app.calls.fold.grouping import parse_notification
from bx24app.calls.fold.recording_rows import save_recordings
from bx24app.calls.outbox.ledger import FoldedCalls, build_ledger
from bx24app.domain import phone
from bx24app.domain.calls import decision as fold
from bx24app.domain.calls import linked_calls
from bx24app.domain.calls.commands import to_json
from bx24app.domain.calls.entry import CallEntry
from bx24app.domain.calls.events import CallEnded, RecordingEvent
from bx24app.domain.calls.ledger import Ledger
from bx24app.domain.calls.policy import Policy
from bx24app.infra.logs import get_logger
from bx24app.models import Call, Delivery, LineCounter, Notification, Portal, Recording, utcnow

_log = get_logger(__name__)


@dataclass(slots=True)
class FoldResult:
    """What is to be rung for after the commit."""

    wake_times: list[datetime] = field(default_factory=list)
    recordings: list[Recording] = field(default_factory=list)
    """Recordings whose first try is due, at their `due_at`."""
    has_more: bool = False
    folded_calls: FoldedCalls = field(default_factory=dict)
    """What was folded, as it stands in the session: claiming need not read it again."""
    affected_calls: set[int] = field(default_factory=set)
    """Calls of the same client to be folded again, since what they are decided by has changed."""


@dataclass(frozen=True, slots=True)
class CallRows:
    """What the tables hold of one call, in order."""

    notifications: list[Notification]
    deliveries: list[Delivery]
    recordings: list[Recording]


def _drop_blocked_deliveries(session: Session, deliveries: list[Delivery]) -> list[Delivery]:
    """Without what never left behind a record or to-do that was refused: the fold tries that again, before what follows it."""
    refused = max((row.id for row in deliveries if row.kind in ("CreateRecord", "AddTodo") and row.state == "dead"), default=None)
    done_at = next((row.done_at for row in deliveries if row.id == refused), None)
    if refused is None or done_at is None:
        return deliveries
    behind = [
        row
        for row in deliveries
        if row.id > refused and row.state == "waiting" and not row.attempts and not row.uncertain and row.created_at < done_at
    ]
    for row in behind:
        session.delete(row)
    session.flush()
    return [row for row in deliveries if row not in behind]


def fold_call(
    session: Session, portal: Portal, call: Call, entry: CallEntry | None, held: CallRows, policy: Policy, past: ClientHistory, wakes: FoldResult
) -> None:
    """Decide what is to be told of one call now: new deliveries, journal columns, recordings. The caller flushes.

    Args:
        entry: what its notifications say, None where they tell of no leg yet.
    """
    standing = _drop_blocked_deliveries(session, held.deliveries)
    ledger = build_ledger(standing)
    wakes.folded_calls.pop(call.id, None)
    if entry is None:
        click_to_call.update_progress(session, portal, call, held.notifications, ledger, policy)
        return
    client = phone.normalise(entry.raw_client)
    past.flush_unwritten(client, call.client_number)
    with session.no_autoflush:
        at = _fold_clock(call, held.notifications)
        before = related_calls.as_linked_call(call)
        near = related_calls.load(session, portal, call, entry, policy)
        while True:
            known = fold_context.load_context(session, portal, call, entry, policy, held.recordings, near, past)
            decision = fold.decide_call(entry, policy, ledger, at, known)
            if not decision.needs_pick:
                break
            call.facts = {**call.facts, "pick": _draw_pick(session, portal, call, policy.line_number(entry.line) or "")}
        made = [
            Delivery(
                portal_id=portal.id, call_id=call.id, key=command.key, kind=type(command).__name__, command=to_json(command)
            )
            for command in decision.commands
        ]
        session.add_all(made)
        wakes.folded_calls[call.id] = (call, [*standing, *made])
        if decision.commands:
            kinds = [type(command).__name__ for command in decision.commands]
            _log.info("call decided", portal=portal.id, call=call.id, entry=call.entry_id, commands=kinds)
        _write_journal(call, decision, ledger, held.deliveries)
        call.facts = update_facts(call, entry, policy, ledger)
        fold_context.save_context(session, portal, call, decision, ledger)
        related_calls.save_links(call, near, ledger)
        wakes.affected_calls |= linked_calls.find_affected_calls(before, related_calls.as_linked_call(call), near.calls)
        call.due_at = datetime.fromtimestamp(decision.due_at, UTC) if decision.due_at else None
        noticed = _notice_times(held.notifications)
        wakes.recordings += save_recordings(session, call, decision.recordings, ledger, held.recordings, noticed)
    past.mark_unwritten(client, call.client_number)


def _fold_clock(call: Call, told: list[Notification]) -> fold.CallClock:
    heard_end = next((row for row in told if any(isinstance(event, CallEnded) for event in parse_notification(row))), None)
    return fold.CallClock(
        now=utcnow().timestamp() - clock_jumps.recent_jump_seconds(),
        last_received_at=call.heard_at.timestamp(),
        summary_received_at=heard_end.received_at.timestamp() if heard_end else None,
    )


def _notice_times(told: list[Notification]) -> dict[str, datetime]:
    """recording_id -> when the notice came that made it fetchable."""
    noticed: dict[str, datetime] = {}
    for row in told:
        for event in parse_notification(row):
            if isinstance(event, RecordingEvent) and (event.state == "added" or event.code == 1000):
                noticed.setdefault(event.recording_id, row.received_at)
    return noticed


def _draw_pick(session: Session, portal: Portal, call: Call, line: str) -> int:
    """One place in the round robin, drawn by one atomic increment."""
    name = f"{call.pbx_key}:{line}"
    where = (LineCounter.portal_id == portal.id, LineCounter.line == name)
    drawn = session.execute(
        update(LineCounter).where(*where).values(picks=LineCounter.picks + 1).returning(LineCounter.picks)
    )
    picks = drawn.scalar()
    if picks is None:
        session.add(LineCounter(portal_id=portal.id, line=name, picks=1))
        session.flush()
        return 0
    return picks - 1


def _write_journal(call: Call, decision: fold.Decision, ledger: Ledger, deliveries: list[Delivery]) -> None:
    """The journal's columns."""
    journal: dict[str, Any] = dict(decision.journal)
    complete = journal.pop("complete")
    for name, value in journal.items():
        if getattr(call, name) != value:
            setattr(call, name, value)
    register, finish = ledger.register_entry(), ledger.finish_entry()
    if register is not None and register.state == "done":
        call.bitrix_call_id = register.answer.get("call_id")
    if finish is not None and finish.state == "done":
        call.activity_id = finish.answer.get("activity_id")
    dead = next((row for row in deliveries if row.state == "dead" and row.kind in ("Register", "Finish")), None)
    lost = [entry for entry in (register, finish) if entry is not None and entry.state == "dead"]
    if lost:
        call.state = "dead"
        call.problem = dead.reason if dead else None
    elif (finish is not None and finish.state == "done") or (complete and register is None and not decision.commands):
        call.state = "finished"
    else:
        call.state = "open"
