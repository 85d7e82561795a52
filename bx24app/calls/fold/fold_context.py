"""The fold context of one call, from the tables: what decides about the call besides its events and its ledger.

`load_context` runs before each decision; its queries run only where the settings or the client's history need them.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from bx24app.calls.fold.client_history import ClientHistory
from bx24app.calls.fold.related_calls import RelatedCalls
from bx24app.domain import rules
from bx24app.domain.calls import plan as plans
from bx24app.domain.calls.call_view import FoldContext, OpenTodo
from bx24app.domain.calls.commands import ReadDay, Record, Register
from bx24app.domain.calls.entry import CallEntry
from bx24app.domain.calls.ledger import Ledger
from bx24app.domain.calls.policy import Policy
from bx24app.models import Call, Portal, PortalUser, Recording, utcnow
from bx24app.models.call_facts import CallFacts

DAY_STATE_SECONDS = 60
"""How long the portal's answer about a user's working day is used for further calls."""


def load_context(
    session: Session,
    portal: Portal,
    call: Call,
    facts: CallFacts,
    entry: CallEntry,
    policy: Policy,
    recordings: Iterable[Recording],
    related: RelatedCalls,
    history: ClientHistory,
    ledger: Ledger,
) -> FoldContext:
    """The context of one call. `facts` may hold a pick that is not stored yet."""
    parsed = rules.get_parsed_rules(policy.settings)
    asks_for_previous = plans.needs_previous_call(parsed)
    previous_call_at = _previous_call_time(session, portal, call, entry) if asks_for_previous else None
    return FoldContext(
        entry_id=call.entry_id,
        pick=facts.pick,
        is_form_callback=facts.is_form_callback,
        requested_line=facts.requested_line,
        click_user_id=facts.click_user_id,
        callback_record=_requested_record(facts),
        is_quiet=facts.is_quiet,
        recording_parts={row.recording_id: row.part for row in recordings if row.part},
        continued_call=related.continues,
        handed_to=related.handed_to,
        has_linked_record=related.is_made_later,
        chosen_rule=facts.chosen_rule,
        previous_call_at=previous_call_at,
        day_statuses=_load_day_states(session, portal, facts) if _asks_for_days(parsed) else {},
        open_todos=_open_client_todos(call, entry, history),
        has_parallel_call=_may_look_up_client(ledger) and _has_overlapping_call(call, entry, history),
        may_create_records=not facts.is_without_records,
        may_notify=not facts.is_without_notices,
    )


def _requested_record(facts: CallFacts) -> Record | None:
    """The CRM record that the portal named with a form callback."""
    record = facts.record if facts.is_form_callback else None
    return Record(record["entity"], int(record["id"])) if record else None


def _previous_call_time(session: Session, portal: Portal, call: Call, entry: CallEntry) -> float:
    """When the client's previous call began, at any PBX and in any direction; minus infinity if there was none."""
    client = entry.client_number
    began = datetime.fromtimestamp(entry.started_at, UTC)
    if client is None:
        return float("-inf")
    query = select(func.max(Call.started_at)).where(
        Call.portal_id == portal.id, Call.client_number == client, Call.started_at < began, Call.id != call.id
    )
    previous = session.scalar(query)
    return previous.timestamp() if previous is not None else float("-inf")


def _may_look_up_client(ledger: Ledger) -> bool:
    """May the app still create records, after a register that left this to it? Only then an overlapping call matters.
    """
    register = ledger.register_entry()
    if register is None or register.state != "done" or ledger.finish_entry() is not None:
        return False
    return isinstance(register.command, Register) and not register.command.create


def _has_overlapping_call(call: Call, entry: CallEntry, history: ClientHistory) -> bool:
    """Was another call of this client under way, or just over, during this call?"""
    client = entry.client_number
    if client is None or entry.direction == "internal":
        return False
    if not (entry.talk_at or entry.end_event or entry.all_legs_ended):
        return False  # until then the call creates no record but the one that Register itself creates
    began = datetime.fromtimestamp(entry.started_at, UTC)
    return history.has_overlapping_call(client, call.id, began, _end_time(entry))


def _end_time(entry: CallEntry) -> datetime:
    return datetime.fromtimestamp(entry.ended_at, UTC) if entry.ended_at else utcnow()


def _asks_for_days(parsed: tuple[rules.ParsedRule, ...]) -> bool:
    return any(getattr(action, "if_absent", "keep") == "next" for rule in parsed for action in rule.actions)


def _load_day_states(session: Session, portal: Portal, facts: CallFacts) -> dict[int, str]:
    """User id -> state of the working day. A state that this call has used holds to its end: a record does not change
    hands again because its responsible ends the day."""
    case = facts.rule_case or {}
    used = {int(user): str(day) for user, day in case.get("days", {}).items()}
    fresh = utcnow() - timedelta(seconds=DAY_STATE_SECONDS)
    session.flush()  # another call of this pass may just have stored a state
    query = select(PortalUser.user_id, PortalUser.day)
    query = query.where(PortalUser.portal_id == portal.id, PortalUser.day_at > fresh)
    return {user: day for user, day in session.execute(query) if day} | used


def save_day_states(session: Session, portal: Portal, ledger: Ledger) -> None:
    """Store the answers to ReadDay, so that other calls of the next minute need not ask."""
    for entry in ledger:
        if isinstance(entry.command, ReadDay) and entry.state == "done":
            row = session.get(PortalUser, (portal.id, entry.command.user_id))
            if row is not None:
                row.day, row.day_at = str(entry.answer.get("day") or ""), utcnow()


def _open_client_todos(call: Call, entry: CallEntry, history: ClientHistory) -> tuple[OpenTodo, ...]:
    """Open to-dos of misses that came before the end of this call: a call that was over before the miss does not close
    its to-do."""
    client = entry.client_number
    if client is None or entry.direction == "internal" or not (entry.end_event or entry.all_legs_ended):
        return ()  # to-dos matter once a call is over; before that the query is saved
    end = _end_time(entry)
    rows = [row for row in history.open_todos(client) if row.call_id != call.id and row.missed_at <= end]
    return tuple(
        OpenTodo(
            activity_id=row.activity_id,
            record=Record(row.entity, row.entity_id or 0),
            title=row.title,
            deadline_at=int(row.deadline_at.timestamp()),
            misses=row.misses,
        )
        for row in rows
    )
