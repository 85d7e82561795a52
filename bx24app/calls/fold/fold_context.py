"""What is known of a call besides its notifications: drawn turns, the rule that was chosen, earlier calls of the client, their open to-dos."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from bx24app.calls.fold.client_history import Past
from bx24app.calls.fold.related_calls import Near
from bx24app.domain import phone, rules
from bx24app.domain.calls import decision as fold
from bx24app.domain.calls import plan as plans
from bx24app.domain.calls.call_view import OpenTodo
from bx24app.domain.calls.commands import AddTodo, CloseTodo, ReadDay, ReadTodo, Record, Ref, RetitleTodo
from bx24app.domain.calls.entry import Entry
from bx24app.domain.calls.ledger import Entry as LedgerEntry
from bx24app.domain.calls.ledger import Ledger
from bx24app.domain.calls.policy import Policy
from bx24app.models import Call, Portal, PortalUser, Recording, Todo, utcnow

DAY_SECONDS = 60
"""How long the portal's word holds on whose working day is open."""


def known_of(
    session: Session, portal: Portal, call: Call, entry: Entry, policy: Policy, recordings: Iterable[Recording], near: Near, past: Past
) -> fold.Known:
    """The rest of what decides about a call; queries only what the settings or the client's past make necessary."""
    parsed = plans.rules_of(policy.settings)
    return fold.Known(
        entry_id=call.entry_id,
        pick=call.facts.get("pick"),
        form_callback=bool(call.facts.get("form_callback")),
        line=call.facts.get("line"),
        click_user=call.facts.get("click_user"),
        record=_asked_for(call),
        quiet=bool(call.facts.get("quiet")),
        parts={row.recording_id: row.part for row in recordings if row.part},
        continues=near.continues,
        handed_to=near.handed_to,
        made_later=near.made_later,
        chosen=call.facts.get("chosen"),
        previous=_previous(session, portal, call, entry) if plans.asks_for_previous(parsed) else None,
        days=_days(session, portal, call) if _asks_for_days(parsed) else {},
        todos=_todos(call, entry, past),
        crowded=_crowded(call, entry, past),
        makes=not call.facts.get("no_records"),
        tells=not call.facts.get("no_notices"),
    )


def _asked_for(call: Call) -> Record | None:
    """The CRM record that the portal named with a form callback."""
    record = call.facts.get("record") if call.facts.get("form_callback") else None
    return Record(record["entity"], int(record["id"])) if record else None


def _previous(session: Session, portal: Portal, call: Call, entry: Entry) -> float:
    """When the same client's call before this one began, whichever PBX and direction; minus infinity: there was none."""
    client = phone.normal(entry.client)
    began = datetime.fromtimestamp(entry.started_at, UTC)
    if client is None:
        return float("-inf")
    query = select(func.max(Call.started_at)).where(
        Call.portal_id == portal.id, Call.client_number == client, Call.started_at < began, Call.id != call.id
    )
    found = session.scalar(query)
    return found.timestamp() if found is not None else float("-inf")


def _crowded(call: Call, entry: Entry, past: Past) -> bool:
    """Was another call of this client under way, or just over, while this one went on?"""
    client = phone.normal(entry.client)
    if client is None or entry.direction == "internal" or not (entry.talk_at or entry.ended or entry.all_ended):
        return False  # before that, only what register itself makes is made
    began = datetime.fromtimestamp(entry.started_at, UTC)
    over = datetime.fromtimestamp(entry.ended_at, UTC) if entry.ended_at else utcnow()
    return past.crowded(client, call.id, began, over)


def _asks_for_days(parsed: tuple[rules.ParsedRule, ...]) -> bool:
    return any(getattr(action, "if_absent", "keep") == "next" for rule in parsed for action in rule.actions)


def _days(session: Session, portal: Portal, call: Call) -> dict[int, str]:
    """What was once said of a day holds for this call to its end: nobody gives back in the evening what they were given at noon."""
    kept = {int(user): str(day) for user, day in (call.facts.get("case") or {}).get("days", {}).items()}
    fresh = utcnow() - timedelta(seconds=DAY_SECONDS)
    session.flush()  # another call of this pass may just have learned of a day
    query = select(PortalUser.user_id, PortalUser.day).where(PortalUser.portal_id == portal.id, PortalUser.day_at > fresh)
    return {user: day for user, day in session.execute(query) if day} | kept


def _todos(call: Call, entry: Entry, past: Past) -> tuple[OpenTodo, ...]:
    """Open to-dos of earlier misses of this client. A call that was over before the miss says nothing about it."""
    client = phone.normal(entry.client)
    if client is None or entry.direction == "internal" or not (entry.ended or entry.all_ended):
        return ()  # to-dos matter when a call is over; while it goes on, its folds save the query
    over = datetime.fromtimestamp(entry.ended_at, UTC) if entry.ended_at else utcnow()
    rows = [row for row in past.todos(client) if row.call_id != call.id and row.missed_at <= over]
    return tuple(
        OpenTodo(row.activity_id, Record(row.entity, row.entity_id or 0), row.title, int(row.deadline_at.timestamp()), row.misses)
        for row in rows
    )


def keep(session: Session, portal: Portal, call: Call, decision: fold.Decision, ledger: Ledger) -> None:
    """Write down what later folds, and other calls, will want to know."""
    if decision.plan is not None:
        plan = decision.plan
        facts = dict(call.facts)
        if plan.decided:
            facts["chosen"] = plan.rule.name if plan.rule else ""
            call.rule = facts["chosen"] or None
        facts["seen"] = rules.facts_to_json(plan.case.facts)
        facts["case"] = _case(plan)
        call.facts = facts
    for entry in ledger:
        match entry.command:
            case AddTodo():
                _keep_todo(session, call, entry, ledger)
            case RetitleTodo(activity_id=number, misses=misses) if entry.state != "dead":
                for row in _by_activity(session, portal, number):
                    row.misses = max(row.misses, misses)
            case CloseTodo(activity_id=number) if entry.state != "dead":
                _close(session, portal, number)
            case ReadTodo(activity_id=number) if not (plans.answered(entry) or {"open": entry.state != "dead"}).get("open"):
                _close(session, portal, number)
            case ReadDay(user_id=user) if entry.state == "done" and decision.commands:
                _keep_day(session, portal, user, str(entry.answer.get("day") or ""))
            case _:
                pass


def _case(plan: plans.Plan) -> dict[str, Any]:
    """What the dry run needs and the journal's columns do not hold."""
    case = plan.case
    return {
        "raw_line": case.raw_line,
        "extension": case.extension,
        "transferred_to": case.transferred_to,
        "owner": case.owner,
        "client_name": case.client_name,
        "pick": case.pick,
        "days": {str(user): day for user, day in case.days.items() if day},
        "misses": case.misses,
    }


def _keep_todo(session: Session, call: Call, entry: LedgerEntry, ledger: Ledger) -> None:
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


def _by_activity(session: Session, portal: Portal, number: int) -> Iterable[Todo]:
    session.flush()  # this very fold may just have learned the number
    return session.scalars(select(Todo).where(Todo.portal_id == portal.id, Todo.activity_id == number)).all()


def _close(session: Session, portal: Portal, number: int) -> None:
    for row in _by_activity(session, portal, number):
        row.state = "closed"


def _keep_day(session: Session, portal: Portal, user: int, day: str) -> None:
    row = session.get(PortalUser, (portal.id, user))
    if row is not None:
        row.day, row.day_at = day, utcnow()
