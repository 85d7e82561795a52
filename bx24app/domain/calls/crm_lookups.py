"""Chooses what the portal is asked before a plan's CRM records are made: the client again, their open records, working
days.

`crm_records` calls these functions at every fold. A look-up is sent once; its answer is read from the ledger.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bx24app.domain.calls import plan as plans
from bx24app.domain.calls import record_queries
from bx24app.domain.calls.call_view import CallView, Outcome
from bx24app.domain.calls.commands import AnyCommand, ReadClient, ReadDay, ReadOpen
from bx24app.domain.calls.plan import CallPlan
from bx24app.domain.calls.rule_case import list_candidates
from bx24app.domain.rules import get_parsed_rules
from bx24app.domain.rules.actions import CreateAction


def ask_questions(view: CallView, questions: Iterator[AnyCommand]) -> bool:
    """Send the look-ups that were not sent yet. True once all of them are answered."""
    keys = []
    for question in list(questions):
        keys.append(question.key)
        if view.ledger.find_by_key(question.key) is None:
            view.ledger.add_command(question)
    return all(plans.get_lookup_answer(view.ledger.find_by_key(key)) is not None for key in keys)


def choice_lookups(view: CallView) -> Iterator[AnyCommand]:
    """The look-ups that conditions need, once the client is known."""
    record = record_queries.find_client_record(view)
    if record is not None and plans.needs_open_records(get_parsed_rules(view.policy.settings)):
        for kind in plans.OPEN_KINDS:
            yield ReadOpen(key=f"open-{kind}", entity=kind, record=record)


def record_lookups(view: CallView, end: Outcome, plan: CallPlan) -> Iterator[AnyCommand]:
    """The look-ups that records need: the client again, the client manager, open records, working days.

    The client is looked up again because a web form may have created the client's record since register.
    """
    if plan.rule is None:
        may_have_changed = view.context.has_parallel_call and is_unknown_at_register(view)
        if view.crm_number is not None and may_have_changed and plan.record_actions and _has_no_records(view):
            yield ReadClient(key=record_queries.FIND_CLIENT_KEY, number=view.crm_number)
        return
    if view.crm_number is not None and _has_no_records(view) and _needs_client_again(view, end, plan):
        yield ReadClient(key=record_queries.FIND_CLIENT_KEY, number=view.crm_number)
    yield from _open_lookups(view, plan)
    yield from _day_lookups(view, plan)


def _needs_client_again(view: CallView, end: Outcome, plan: CallPlan) -> bool:
    """A known client for their manager or name; an unknown one as late as possible, at the answer or the end."""
    if not is_unknown_at_register(view):
        return "owner" in _named_roles(plan) or _mentions_client(plan)
    return end.is_complete or end.is_answered


def _has_no_records(view: CallView) -> bool:
    """Would a look-up of the client find no record of this call? One that was sent already was sent before them."""
    is_looked_up = view.ledger.find_by_key(record_queries.FIND_CLIENT_KEY) is not None
    return is_looked_up or not record_queries.list_created_records(view)


def is_client_settled(view: CallView, plan: CallPlan) -> bool:
    """Where the rule names the client or the client manager: has the portal answered who they are? Notices wait for
    it too."""
    if view.crm_number is None or plan.rule is None or not (_mentions_client(plan) or "owner" in _named_roles(plan)):
        return True
    answer = record_queries.get_done_answer(view.ledger.register_entry())
    if answer is None or not answer.get("record"):
        return answer is not None
    return ask_questions(view, iter((ReadClient(key=record_queries.FIND_CLIENT_KEY, number=view.crm_number),)))


def _named_roles(plan: CallPlan) -> set[Any]:
    """The users and roles that the actions name."""
    return {getattr(planned.action, "responsible", getattr(planned.action, "user", None)) for planned in plan.actions}


def _mentions_client(plan: CallPlan) -> bool:
    return plan.rule is not None and any("client.name" in str(action_values(action)) for action in plan.rule.actions)


def action_values(action: Any) -> dict[str, Any]:
    """The values of an action as they were written."""
    return {name: getattr(action, name) for name in action.__slots__}


def _open_lookups(view: CallView, plan: CallPlan) -> Iterator[AnyCommand]:
    record = record_queries.find_client_record(view)
    if record is None:
        return
    for planned in plan.record_actions:
        action = planned.action
        if isinstance(action, CreateAction) and action.duplicate == "skip" and action.entity != "contact":
            entity, category = entity_and_pipeline(view, action)
            if (entity, record.entity) != ("lead", "lead"):
                final = view.policy.final_stages(entity, category) if entity.isdecimal() else ()
                key = open_key(entity, category)
                yield ReadOpen(key=key, entity=entity, record=record, category_id=category, final_stages=final)


def open_key(entity: str, category: int | None) -> str:
    return f"open-{entity}" if category is None else f"open-{entity}-{category}"


def _day_lookups(view: CallView, plan: CallPlan) -> Iterator[AnyCommand]:
    """The working days of the users who may get something. Without the scope `timeman` only the line's hours count."""
    if not view.policy.has_timeman:
        return
    for planned in plan.actions:
        if getattr(planned.action, "if_absent", "keep") == "next":
            for user in list_candidates(plan.case, view.policy, planned.action.responsible):  # type: ignore[union-attr]
                if user not in plan.case.day_statuses or view.ledger.find_by_key(f"day-{user}") is not None:
                    yield ReadDay(key=f"day-{user}", user_id=user)


def is_unknown_at_register(view: CallView) -> bool:
    return not (record_queries.get_done_answer(view.ledger.register_entry()) or {}).get("record")


def entity_and_pipeline(view: CallView, action: CreateAction) -> tuple[str, int | None]:
    """(entity, pipeline). In simple CRM (mode 2) a lead becomes a deal in the default pipeline, with its contact."""
    if action.entity == "lead" and view.policy.crm_mode == 2:
        return "deal", 0
    entity = str(action.entity)
    return entity, (action.category_id or 0) if entity == "deal" else action.category_id
