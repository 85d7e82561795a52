"""What a plan makes before finish: look-ups first, then the records. Each step is asked again at every fold, so it only adds what is missing.

A record that the portal refuses is tried again with less, in this order: without further fields; also without stage and source; in the
default pipeline; for the portal's default user. Then it is given up: the call itself is never lost for it. Where the portal says that the
responsible is the trouble, somebody else gets it, and nothing is left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bx24app.domain.calls import plan as plans
from bx24app.domain.calls import record_queries
from bx24app.domain.calls.call_view import CallView, Outcome
from bx24app.domain.calls.commands import AnyCommand, CreateRecord, Notify, ReadClient, ReadDay, ReadOpen, Record, Ref
from bx24app.domain.calls.plan import CallPlan
from bx24app.domain.calls.rule_case import PlannedAction, list_candidates
from bx24app.domain.rules import get_parsed_rules
from bx24app.domain.rules.actions import CommentAction, CreateAction, NotifyAction, TodoAction

CREATE_CONTACT_KEY = "create-contact"
MAX_ATTEMPTS = 8
"""At one record: no portal is asked for ever."""


def create_records(view: CallView, end: Outcome, plan: CallPlan) -> bool:
    """Make what can be made now. Returns whether finish may leave: everything that must exist before it is on its way."""
    register = view.ledger.register_entry()
    if register is None:
        return False
    if register.state == "dead" or view.ledger.finish_entry() is not None:
        return True
    if not plan.is_decided:
        _ask_questions(view, _choice_lookups(view))
        return False
    if not _is_client_settled(view, plan):
        return False
    _add_notices(view, plan)
    wanted = [one for one in plan.actions if isinstance(one.action, CreateAction | TodoAction | CommentAction)]
    if not wanted or view.client_number is None or not view.context.may_create_records or getattr(register.command, "create", False):
        return True
    if record_queries.is_client_unknown(view) is None:
        return False
    if not _ask_questions(view, _record_lookups(view, end, plan)):
        return False
    steady = True
    for one in _records_to_create(view, plan):
        steady = _ensure_record(view, plan, one) and steady
    if end.is_complete and not _has_target(view, plan):
        steady = _ensure_contact(view, plan.case.responsible_id) and steady
    return steady


def _add_notices(view: CallView, plan: CallPlan) -> None:
    """Notices leave as soon as what they speak of is known."""
    for one in plan.actions:
        if isinstance(one.action, NotifyAction) and one.is_ready and view.context.may_notify:
            key = f"notify-{one.position}"
            if view.ledger.find_by_key(key) is None:
                tag = f"bx24app-{view.external_id}-{one.position}"
                view.ledger.add_command(Notify(key=key, user_id=one.user_id, text=one.text, tag=tag))


# --- look-ups --------------------------------------------------------------------------------------------------------


def _ask_questions(view: CallView, questions: Iterator[AnyCommand]) -> bool:
    """Put the questions that were not put yet; True where all of them are answered."""
    keys = []
    for question in list(questions):
        keys.append(question.key)
        if view.ledger.find_by_key(question.key) is None:
            view.ledger.add_command(question)
    return all(plans.get_lookup_answer(view.ledger.find_by_key(key)) is not None for key in keys)


def _choice_lookups(view: CallView) -> Iterator[AnyCommand]:
    """What a condition asks about, once it is known who the client is."""
    record = record_queries.find_client_record(view)
    if record is not None and plans.needs_open_records(get_parsed_rules(view.policy.settings)):
        for kind in plans.OPEN_KINDS:
            yield ReadOpen(key=f"open-{kind}", entity=kind, record=record)


def _record_lookups(view: CallView, end: Outcome, plan: CallPlan) -> Iterator[AnyCommand]:
    """What decides about the records: the client again (a web form may have made one since), their manager, what is open, who is there."""
    if plan.rule is None:
        if view.context.has_parallel_call and view.client_number is not None and plan.record_actions and _has_no_records(view) and _is_unknown_at_register(view):
            yield ReadClient(key=record_queries.FIND_CLIENT_KEY, number=view.client_number)
        return
    roles = _named_roles(plan)
    late = end.is_complete or end.is_answered
    fresh = record_queries.get_done_answer(view.ledger.register_entry()) or {}
    known = bool(fresh.get("record"))
    if view.client_number is not None and _has_no_records(view) and ((late and not known) or (known and ("owner" in roles or _mentions_client(plan)))):
        yield ReadClient(key=record_queries.FIND_CLIENT_KEY, number=view.client_number)
    yield from _open_lookups(view, plan)
    yield from _day_lookups(view, plan)


def _has_no_records(view: CallView) -> bool:
    """Has it made nothing of its own that a look-up would find?"""
    return not record_queries.list_created_records(view) or view.ledger.find_by_key(record_queries.FIND_CLIENT_KEY) is not None


def _is_client_settled(view: CallView, plan: CallPlan) -> bool:
    """Where the rule speaks of a known client, or means their manager: has the portal told who they are? Notices wait for it too."""
    if view.client_number is None or plan.rule is None or not (_mentions_client(plan) or "owner" in _named_roles(plan)):
        return True
    said = record_queries.get_done_answer(view.ledger.register_entry())
    if said is None or not said.get("record"):
        return said is not None
    return _ask_questions(view, iter((ReadClient(key=record_queries.FIND_CLIENT_KEY, number=view.client_number),)))


def _named_roles(plan: CallPlan) -> set[Any]:
    """Whom the actions name."""
    return {getattr(one.action, "responsible", getattr(one.action, "user", None)) for one in plan.actions}


def _mentions_client(plan: CallPlan) -> bool:
    return plan.rule is not None and any("client.name" in str(action_values(action)) for action in plan.rule.actions)


def action_values(action: Any) -> dict[str, Any]:
    """The values of an action as they were written."""
    return {name: getattr(action, name) for name in action.__slots__}


def _open_lookups(view: CallView, plan: CallPlan) -> Iterator[AnyCommand]:
    record = record_queries.find_client_record(view)
    if record is None:
        return
    for one in plan.record_actions:
        action = one.action
        if isinstance(action, CreateAction) and action.duplicate == "skip" and action.entity != "contact":
            entity, category = _entity_and_pipeline(view, action)
            if (entity, record.entity) != ("lead", "lead"):
                yield ReadOpen(key=_open_key(entity, category), entity=entity, record=record, category_id=category)


def _open_key(entity: str, category: int | None) -> str:
    return f"open-{entity}" if category is None else f"open-{entity}-{category}"


def _day_lookups(view: CallView, plan: CallPlan) -> Iterator[AnyCommand]:
    """Whose working day is open, of those who may get it. Without the scope nobody is asked, the line's hours alone count."""
    if not view.policy.has_timeman:
        return
    for one in plan.actions:
        if getattr(one.action, "if_absent", "keep") == "next":
            for user in list_candidates(plan.case, view.policy, one.action.responsible):  # type: ignore[union-attr]
                if user not in plan.case.day_statuses or view.ledger.find_by_key(f"day-{user}") is not None:
                    yield ReadDay(key=f"day-{user}", user_id=user)


# --- records ---------------------------------------------------------------------------------------------------------


def _records_to_create(view: CallView, plan: CallPlan) -> list[PlannedAction]:
    """The records of a plan; what `calls.*` makes is for unknown clients alone."""
    if plan.rule is None and not _was_client_unknown(view):
        return []
    return list(plan.record_actions)


def _is_unknown_at_register(view: CallView) -> bool:
    return not (record_queries.get_done_answer(view.ledger.register_entry()) or {}).get("record")


def _was_client_unknown(view: CallView) -> bool:
    """Did neither register nor the look-up before anything was made know the client?"""
    return _is_unknown_at_register(view) and not (plans.get_lookup_answer(view.ledger.find_by_key(record_queries.FIND_CLIENT_KEY)) or {}).get("records")


def _entity_and_pipeline(view: CallView, action: CreateAction) -> tuple[str, int | None]:
    """(entity, pipeline). Without leads (mode 2), a lead is a deal in the default pipeline, with its contact."""
    if action.entity == "lead" and view.policy.crm_mode == 2:
        return "deal", 0
    entity = str(action.entity)
    return entity, (action.category_id or 0) if entity == "deal" else action.category_id


def record_key(view: CallView, plan: CallPlan, one: PlannedAction) -> str:
    """The key of an action's record: `create-deal`; a second one of a kind carries its place too."""
    assert isinstance(one.action, CreateAction)  # noqa: S101 - narrowed by the caller
    entity = _entity_and_pipeline(view, one.action)[0]
    first = next(p for p in plan.record_actions if isinstance(p.action, CreateAction) and _entity_and_pipeline(view, p.action)[0] == entity)
    return f"create-{entity}" if first.position == one.position else f"create-{entity}-{one.position}"


def find_existing_record(view: CallView, plan: CallPlan, one: PlannedAction) -> Record | None:
    """The record that the client has already, which stands in for a second one."""
    action = one.action
    assert isinstance(action, CreateAction)  # noqa: S101 - narrowed by the caller
    record = record_queries.find_client_record(view)
    if action.duplicate == "allow" or record is None or record_queries.find_live_attempt(view, record_key(view, plan, one)):
        return None
    entity, category = _entity_and_pipeline(view, action)
    if entity == record.entity or (entity == "contact" and record.entity == "company"):
        return record if entity in ("lead", "contact") else None
    held = (plans.get_lookup_answer(view.ledger.find_by_key(_open_key(entity, category))) or {}).get("open") or []
    return Record(entity, held[0]["id"]) if held else None


def _ensure_record(view: CallView, plan: CallPlan, one: PlannedAction) -> bool:
    """Is this record made, or not to be made?"""
    action = one.action
    assert isinstance(action, CreateAction)  # noqa: S101 - narrowed by the caller
    key = record_key(view, plan, one)
    if record_queries.find_live_attempt(view, key) or find_existing_record(view, plan, one):
        return True
    if not one.is_ready:
        return False
    entity, category = _entity_and_pipeline(view, action)
    variants = _record_variants(action, one, category, view.policy.settings.portal.default_user_id)
    level, tried = record_queries.count_refusals(view, key), len(record_queries.find_attempts(view, key))
    if level >= len(variants) or tried >= MAX_ATTEMPTS:
        return True  # given up; its refusals are on the call
    record = record_queries.find_client_record(view)
    contact: int | Ref | None = record.id if record and record.entity == "contact" else None
    if record is None and entity not in ("lead", "contact"):
        if not _ensure_contact(view, one.user_id):
            return False
        contact = Ref(CREATE_CONTACT_KEY, "id") if record_queries.find_live_attempt(view, CREATE_CONTACT_KEY) else None
    view.ledger.add_command(
        CreateRecord(
            key=key if not tried else f"{key}~{tried + 1}",
            entity=entity,
            title=one.text or _record_title(view, entity),
            origin=f"{view.external_id}/{key}",
            number=view.client_number if entity in ("lead", "contact") else None,
            contact=contact,
            company=int(record.id) if record and record.entity == "company" else None,  # type: ignore[arg-type]
            lead=int(record.id) if record and record.entity == "lead" and entity != "lead" else None,  # type: ignore[arg-type]
            **variants[level],
        )
    )
    return True


def _record_variants(action: CreateAction, one: PlannedAction, category: int | None, default_user: int) -> list[dict[str, Any]]:
    """The record as stated, then with less and less of what the portal may refuse."""
    full = {"responsible": one.user_id, "fields": one.fields, "stage_id": action.stage_id, "source": action.source_id or "CALL", "category_id": category}
    plain = {"fields": (), "stage_id": None, "source": "CALL"}
    steps = [full, {**full, "fields": ()}, {**full, **plain}, {**full, **plain, "category_id": 0 if category else category}]
    steps.append({**steps[-1], "responsible": default_user})
    return [step for place, step in enumerate(steps) if step not in steps[:place]]


def _record_title(view: CallView, entity: str) -> str:
    way = "in" if view.direction == "in" else "out"
    return view.phone_number if entity == "contact" else view.policy.texts.make_title(way, view.phone_number)


def _ensure_contact(view: CallView, responsible: int) -> bool:
    """The contact that a deal, to-do or comment of an unknown client hangs on; True once it is made or given up."""
    if record_queries.find_live_attempt(view, CREATE_CONTACT_KEY) is None and not record_queries.count_refusals(view, CREATE_CONTACT_KEY):
        tried = len(record_queries.find_attempts(view, CREATE_CONTACT_KEY))
        view.ledger.add_command(
            CreateRecord(
                key=CREATE_CONTACT_KEY if not tried else f"{CREATE_CONTACT_KEY}~{tried + 1}",
                entity="contact",
                responsible=responsible,
                title=view.phone_number,
                origin=f"{view.external_id}/{CREATE_CONTACT_KEY}",
                number=view.client_number,
            )
        )
    return True


def _has_target(view: CallView, plan: CallPlan) -> bool:
    """Is there a record that a to-do or comment can hang on, or need there be none?"""
    hanging = any(isinstance(one.action, TodoAction | CommentAction) for one in plan.actions)
    return not hanging or bool(record_queries.list_created_records(view)) or record_queries.find_client_record(view) is not None


__all__ = ["create_records", "find_existing_record", "record_key"]
