"""The fold of one call: reads what the tables hold, asks `domain.calls.decision` and stores the decision. No HTTP.

`portal_fold` calls `fold_call` for each call of a portal that has news. A fold writes new deliveries, the journal
columns and the facts of the call, its to-dos and its recordings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from sqlalchemy import update
from sqlalchemy.orm import Session

from bx24app.calls import click_to_call, clock_jumps
from bx24app.calls.fold import fold_context, joining, related_calls
from bx24app.calls.fold.call_facts import update_facts
from bx24app.calls.fold.client_history import ClientHistory
from bx24app.calls.fold.grouping import parse_notification
from bx24app.calls.fold.journal_columns import write_journal_columns
from bx24app.calls.fold.recording_rows import save_recordings
from bx24app.calls.fold.related_calls import RelatedCalls
from bx24app.calls.fold.todo_rows import save_todos
from bx24app.calls.outbox.ledger import FoldedCalls, build_ledger
from bx24app.domain.calls import linked_calls
from bx24app.domain.calls.call_view import CallClock, FoldContext
from bx24app.domain.calls.command_json import to_json
from bx24app.domain.calls.decision import Decision, decide_call
from bx24app.domain.calls.entry import CallEntry
from bx24app.domain.calls.events import CallEnded, RecordingEvent
from bx24app.domain.calls.ledger import Ledger
from bx24app.domain.calls.policy import Policy
from bx24app.infra.logs import get_logger
from bx24app.models import Call, Delivery, LineCounter, Notification, Portal, Recording, utcnow
from bx24app.models.call_facts import CallFacts

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class DecidedCall:
    """What the decision about a call was made by. `ledger` holds its commands already."""

    call: Call
    notifications: list[Notification]
    ledger: Ledger
    policy: Policy
    context: FoldContext


@dataclass(slots=True)
class FoldResult:
    """What the caller of a fold has to do after the commit."""

    wake_times: list[datetime] = field(default_factory=list)
    """When the portal must be woken, whatever comes before."""
    recordings: list[Recording] = field(default_factory=list)
    """Recordings whose first attempt is due, at their `due_at`."""
    has_more: bool = False
    """More notifications wait than one pass takes."""
    folded_calls: FoldedCalls = field(default_factory=dict)
    """The calls of this pass with their deliveries, as the session holds them: claiming batches need not read them
    again."""
    other_open: list[Delivery] | None = None
    """The open deliveries of all other calls of the portal; None: they were not read, or are not all."""
    affected_calls: set[int] = field(default_factory=set)
    """Other calls of the same client that must be folded again, because a call that they depend on has changed."""

    decided_calls: dict[int, DecidedCall] = field(default_factory=dict)
    """Row id -> what the last fold of a call decided by."""

    def open_deliveries(self) -> list[Delivery] | None:
        """All open deliveries of the portal, call by call, once the session is flushed; None: a claim must read them.
        """
        if self.other_open is None:
            return None
        mine = (row for _, rows in self.folded_calls.values() for row in rows)
        rows = {row.id: row for row in (*self.other_open, *mine) if row.state in ("waiting", "sent")}
        return sorted(rows.values(), key=lambda row: (row.call_id, row.id))

    def add(self, other: FoldResult) -> None:
        """Take over what another fold of the same transaction leaves to do."""
        self.wake_times += other.wake_times
        self.recordings += other.recordings
        self.folded_calls |= other.folded_calls
        self.affected_calls |= other.affected_calls


@dataclass(frozen=True, slots=True)
class CallRows:
    """The rows of one call in the order of their ids."""

    notifications: list[Notification]
    deliveries: list[Delivery]
    recordings: list[Recording]


def _drop_blocked_deliveries(session: Session, deliveries: list[Delivery]) -> list[Delivery]:
    """Delete deliveries that were never sent because they stand behind a refused record or to-do.

    The fold then decides them again behind its second try of what was refused, which must leave first.
    """
    dead = (row.id for row in deliveries if row.kind in ("CreateRecord", "AddTodo") and row.state == "dead")
    refused = max(dead, default=None)
    refused_at = next((row.done_at for row in deliveries if row.id == refused), None)
    if refused is None or refused_at is None:
        return deliveries
    blocked = [
        row
        for row in deliveries
        if row.id > refused
        and row.state == "waiting"
        and not row.attempts
        and not row.uncertain
        and row.created_at < refused_at
    ]
    for row in blocked:
        session.delete(row)
    session.flush()
    return [row for row in deliveries if row not in blocked]


def fold_call(
    session: Session,
    portal: Portal,
    call: Call,
    entry: CallEntry | None,
    rows: CallRows,
    policy: Policy,
    history: ClientHistory,
    result: FoldResult,
) -> None:
    """Decide what the portal must be sent about one call, and store the decision. The caller flushes.

    Args:
        entry: the call's events, assembled; None if no notification names a leg yet.
        result: gets what has to happen after the commit.
    """
    deliveries = _drop_blocked_deliveries(session, rows.deliveries)
    ledger = build_ledger(deliveries)
    result.folded_calls.pop(call.id, None)
    result.decided_calls.pop(call.id, None)
    if entry is None:
        result.other_open = None  # what is added here is not in `folded_calls`
        joined_call_id = call.read_facts().joined_call_id
        if joined_call_id is not None:
            joining.close_joined(session, call, joined_call_id, ledger)
            return
        click_to_call.update_progress(session, portal, call, rows.notifications, ledger, policy)
        return
    client = entry.client_number
    history.flush_unwritten(client, call.client_number)
    with session.no_autoflush:
        facts = call.read_facts()
        related = related_calls.load(session, portal, call, facts, entry, policy)
        before = related_calls.as_linked_call(call) if related.calls else None
        decision, context = _decide(session, portal, call, facts, entry, rows, policy, ledger, related, history)
        result.folded_calls[call.id] = call, [*deliveries, *_add_deliveries(session, portal, call, decision)]
        update_facts(facts, entry, policy, ledger, decision.plan, related)
        call.write_facts(facts)
        result.decided_calls[call.id] = DecidedCall(call, rows.notifications, ledger, policy, context)
        write_journal_columns(call, decision, facts, ledger, rows.deliveries, related)
        save_todos(session, call, ledger)  # reads the outcome in the journal columns
        if decision.commands:
            fold_context.save_day_states(session, portal, ledger)
        if before is not None:
            after = related_calls.as_linked_call(call)
            result.affected_calls |= linked_calls.find_affected_calls(before, after, related.calls)
        call.due_at = datetime.fromtimestamp(decision.due_at, UTC) if decision.due_at else None
        noticed = _notice_times(rows.notifications)
        result.recordings += save_recordings(session, call, decision.recordings, ledger, rows.recordings, noticed)
    history.mark_unwritten(client, call.client_number)


def _decide(
    session: Session,
    portal: Portal,
    call: Call,
    facts: CallFacts,
    entry: CallEntry,
    rows: CallRows,
    policy: Policy,
    ledger: Ledger,
    related: RelatedCalls,
    history: ClientHistory,
) -> tuple[Decision, FoldContext]:
    """The decision and its context; draws the call's turn in the round robin if it needs one, then decides again."""
    clock = read_clock(call.heard_at, rows.notifications)
    while True:
        context = fold_context.load_context(
            session, portal, call, facts, entry, policy, rows.recordings, related, history, ledger
        )
        decision = decide_call(entry, policy, ledger, clock, context)
        if not decision.needs_pick:
            return decision, context
        facts.pick = _draw_pick(session, portal, call, policy.line_number(entry.line) or "")


def _add_deliveries(session: Session, portal: Portal, call: Call, decision: Decision) -> list[Delivery]:
    """The new commands as rows of the outbox."""
    added = [
        Delivery(
            portal_id=portal.id, call_id=call.id, key=command.key, kind=type(command).__name__, command=to_json(command)
        )
        for command in decision.commands
    ]
    session.add_all(added)
    if added:
        kinds = [row.kind for row in added]
        _log.info("call decided", portal=portal.id, call=call.id, entry=call.entry_id, commands=kinds)
    return added


def read_clock(heard_at: datetime, notifications: Sequence[Notification]) -> CallClock:
    """The clock of a call with these notifications. `heard_at`: when the last one came."""
    ends = (row for row in notifications if any(isinstance(event, CallEnded) for event in parse_notification(row)))
    end = next(ends, None)
    return CallClock(
        now=utcnow().timestamp() - clock_jumps.recent_jump_seconds(),
        last_received_at=heard_at.timestamp(),
        summary_received_at=end.received_at.timestamp() if end else None,
    )


def _notice_times(notifications: list[Notification]) -> dict[str, datetime]:
    """Recording id -> when the notification arrived that says it can be fetched."""
    noticed: dict[str, datetime] = {}
    for row in notifications:
        for event in parse_notification(row):
            if isinstance(event, RecordingEvent) and (event.state == "added" or event.code == 1000):
                noticed.setdefault(event.recording_id, row.received_at)
    return noticed


def _draw_pick(session: Session, portal: Portal, call: Call, line: str) -> int:
    """The next turn in the round robin of a line, from one atomic increment."""
    name = f"{call.pbx_key}:{line}"
    where = (LineCounter.portal_id == portal.id, LineCounter.line == name)
    increment = update(LineCounter).where(*where).values(picks=LineCounter.picks + 1).returning(LineCounter.picks)
    picks = session.execute(increment).scalar()
    if picks is None:
        session.add(LineCounter(portal_id=portal.id, line=name, picks=1))
        session.flush()
        return 0
    return picks - 1
