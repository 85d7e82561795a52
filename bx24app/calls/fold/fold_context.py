"""What is known of a call besides its notifications: drawn turns, the rule that was chosen, earlier calls of the client, their open to-dos."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from bx24app.calls.fold.client_history import ClientHistory
from bx24app.calls.fold.related_calls import RelatedCalls
from bx24app.domain import phone, rules
from bx24app.domain.calls import decision as fold
from bx24app.domain.calls import plan as plans
from bx24app.domain.calls.call_view import OpenTodo
from bx24app.domain.calls.commands import AddTodo, CloseTodo, ReadDay, ReadTodo, Record, Ref, RetitleTodo
from bx24app.domain.calls.entry import CallEntry
from bx24app.domain.calls.ledger import Ledger
from bx24app.domain.calls.ledger import LedgerEntry as LedgerEntry
from bx24app.domain.calls.policy import Policy
from bx24app.models import Call, Portal, PortalUser, Recording, Todo, utcnow

DAY_STATE_SECONDS = 60
"""How long the portal's word holds on whose working day is open."""


def load_context(
    session: Session, portal: Portal, call: Call, entry: CallEntry, policy: Policy, recordings: Iterable[Recording], near: RelatedCalls, past: ClientHistory
) -> fold.FoldContext:
    """The rest of what decides about a call; queries only what the settings or the client's past make necessary."""
    parsed = plans.get_parsed_rules(policy.settings)
    return fold.FoldContext(
        entry_id=call.entry_id,
        pick=call.facts.get("pick"),
        is_form_callback=bool(call.facts.get("form_callback")),
        requested_line=call.facts.get("line"),
        click_user_id=call.facts.get("click_user"),
        callback_record=_requested_record(call),
        is_quiet=bool(call.facts.get("quiet")),
        recording_parts={row.recording_id: row.part for row in recordings if row.part},
        continued_call=near.continues,
        handed_to=near.handed_to,
        has_linked_record=near.is_made_later,
        chosen_rule=call.facts.get("chosen"),
        previous_call_at=_previous_call_time(session, portal, call, entry) if plans.needs_previous_call(parsed) else None,
        day_statuses=_load_day_states(session, portal, call) if _asks_for_days(parsed) else {},
        open_todos=_open_client_todos(call, entry, past),
        has_parallel_call=_has_overlapping_call(call, entry, past),
        may_create_records=not call.facts.get("no_records"),
        may_notify=not call.facts.get("no_notices"),
    )


def _requested_record(call: Call) -> Record | None:
    """The CRM record that the portal named with a form callback."""
    record = call.facts.get("record") if call.facts.get("form_callback") else None
    return Record(record["entity"], int(record["id"])) if record else None


def _previous_call_time(session: Session, portal: Portal, call: Call, entry: CallEntry) -> float:
    """When the same client's call before this one began, whichever PBX and direction; minus infinity: there was none."""
    client = phone.normalise(entry.raw_client)
    began = datetime.fromtimestamp(entry.started_at, UTC)
    if client is None:
        return float("-inf")
    query = select(func.max(Call.started_at)).where(
        Call.portal_id == portal.id, Call.client_number == client, Call.started_at < began, Call.id != call.id
    )
    found = session.scalar(query)
    return found.timestamp() if found is not None else float("-inf")


def _has_overlapping_call(call: Call, entry: CallEntry, past: ClientHistory) -> bool:
    """Was another call of this client under way, or just over, while this one went on?"""
    client = phone.normalise(entry.raw_client)
    if client is None or entry.direction == "internal" or not (entry.talk_at or entry.end_event or entry.all_legs_ended):
        return False  # before that, only what register itself makes is made
    began = datetime.fromtimestamp(entry.started_at, UTC)
    over = datetime.fromtimestamp(entry.ended_at, UTC) if entry.ended_at else utcnow()
    return past.has_overlapping_call(client, call.id, began, over)


def _asks_for_days(parsed: tuple[rules.ParsedRule, ...]) -> bool:
    return any(getattr(action, "if_absent", "keep") == "next" for rule in parsed for action in rule.actions)


def _load_day_states(session: Session, portal: Portal, call: Call) -> dict[int, str]:
    """What was once said of a day holds for this call to its end: nobody gives back in the evening what they were given at noon."""
    kept = {int(user): str(day) for user, day in (call.facts.get("case") or {}).get("days", {}).items()}
    fresh = utcnow() - timedelta(seconds=DAY_STATE_SECONDS)
    session.flush()  # another call of this pass may just have learned of a day
    query = select(PortalUser.user_id, PortalUser.day).where(PortalUser.portal_id == portal.id, PortalUser.day_at > fresh)
    return {user: day for user, day in session.execute(query) if day} | kept


def _open_client_todos(call: Call, entry: CallEntry, past: ClientHistory) -> tuple[OpenTodo, ...]:
    """Open to-dos of earlier misses of this client. A call that was over before the miss says nothing about it."""
    client = phone.normalise(entry.raw_client)
    if client is None or entry.direction == "internal" or not (entry.end_event or entry.all_legs_ended):
        return ()  # to-dos matter when a call is over; while it goes on, its folds save the query
    over = datetime.fromtimestamp(entry.ended_at, UTC) if entry.ended_at else utcnow()
    rows = [row for row in past.open_todos(client) if row.call_id != call.id and row.missed_at <= over]
    return tuple(
        OpenTodo(row.activity_id, Record(row.entity, row.entity_id or 0), row.title, int(row.deadline_at.timestamp()), row.misses)
        for row in rows
    )


def save_context(session: Session, portal: Portal, call: Call, decision: fold.Decision, ledger: Ledger) -> None:
    """Write down what later folds, and other calls, will want to know."""
    if decision.plan is not None:
        plan = decision.plan
        facts = dict(call.facts)
        if plan.is_decided:
            facts["chosen"] = plan.rule.name if plan.rule else ""
            call.rule = facts["chosen"] or None
        facts["seen"] = rules.facts_to_json(plan.case.facts)
        facts["case"] = _case_to_json(plan)
        call.facts = facts
    for entry in ledger:
        match entry.command:
            case AddTodo():
                _save_todo(session, call, entry, ledger)
            case RetitleTodo(activity_id=number, misses=misses) if entry.state != "dead":
                for row in _todos_by_activity(session, portal, number):
                    row.misses = max(row.misses, misses)
            case CloseTodo(activity_id=number) if entry.state != "dead":
                _close_todo(session, portal, number)
            case ReadTodo(activity_id=number) if not (plans.get_lookup_answer(entry) or {"open": entry.state != "dead"}).get("open"):
                _close_todo(session, portal, number)
            case ReadDay(user_id=user) if entry.state == "done" and decision.commands:
                _save_day_state(session, portal, user, str(entry.answer.get("day") or ""))
            case _:
                pass


def _case_to_json(plan: plans.CallPlan) -> dict[str, Any]:
    """What the dry run needs and the journal's columns do not hold."""
    case = plan.case
    return {
        "raw_line": case.raw_line,
        "extension": case.extension,
        "transferred_to": case.transferred_to,
        "owner": case.manager_id,
        "client_name": case.client_name,
        "pick": case.pick,
        "days": {str(user): day for user, day in case.day_statuses.items() if day},
        "misses": case.misses,
    }


def _save_todo(session: Session, call: Call, entry: LedgerEntry, ledger: Ledger) -> None:
    """To-dos of misses are remembered by the client; others (a rule's own errands) fold into nothing."""
    command = entry.command
    if not isinstance(command, AddTodo) or call.outcome != "missed" or not call.client_number:
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
    target = command.record.id
    if isinstance(target, Ref):
        made = next((e for e in ledger if e.command.key.partition("~")[0] == target.key and e.answer.get("id")), None)
        row.entity_id = int(made.answer["id"]) if made else None
    else:
        row.entity_id = int(target)
    number = entry.answer.get("id")
    row.activity_id = int(number) if number else None


def _todos_by_activity(session: Session, portal: Portal, number: int) -> Iterable[Todo]:
    session.flush()  # this very fold may just have learned the number
    return session.scalars(select(Todo).where(Todo.portal_id == portal.id, Todo.activity_id == number)).all()


def _close_todo(session: Session, portal: Portal, number: int) -> None:
    for row in _todos_by_activity(session, portal, number):
        row.state = "closed"


def _save_day_state(session: Session, portal: Portal, user: int, day: str) -> None:
    row = session.get(PortalUser, (portal.id, user))
    if row is not None:
        row.day, row.day_at = day, utcnow()
