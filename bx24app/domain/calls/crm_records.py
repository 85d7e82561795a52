"""Makes a plan's CRM records before finish: look-ups first, then the records.

The decision calls `create_records` at every fold, so each step adds only what is missing.

The portal may refuse a record. It is then tried again with less, in this order: without further fields; also without
stage and source; in the default pipeline; for the portal's default user. After that the record is given up, and the
call goes on without it. Where the portal says that the responsible is inactive, the record goes to another user and
keeps all of its values.

A look-up of open records that the portal refuses does not mean that the client has none. The record is then held back,
and the call goes on without it; it is created after a retry in which the look-up is answered.
"""

from __future__ import annotations

from typing import Any

from bx24app.domain.calls import plan as plans
from bx24app.domain.calls import record_queries
from bx24app.domain.calls.call_view import CallView, Outcome
from bx24app.domain.calls.commands import CreateRecord, Notify, Record, Ref
from bx24app.domain.calls.crm_lookups import (
    ask_questions,
    choice_lookups,
    entity_and_pipeline,
    is_client_settled,
    is_unknown_at_register,
    open_key,
    record_lookups,
)
from bx24app.domain.calls.ledger import LedgerEntry
from bx24app.domain.calls.plan import CallPlan
from bx24app.domain.calls.rule_case import PlannedAction
from bx24app.domain.rules.actions import CommentAction, CreateAction, NotifyAction, TodoAction

CREATE_CONTACT_KEY = "create-contact"
MAX_ATTEMPTS = 8
"""At one record."""


def create_records(view: CallView, end: Outcome, plan: CallPlan) -> bool:
    """Make what can be made now. Returns whether finish may leave: all that must exist before it is on its way."""
    register = view.ledger.register_entry()
    if register is None:
        return False
    if register.state == "dead" or view.ledger.finish_entry() is not None:
        return True
    if not plan.is_decided:
        ask_questions(view, choice_lookups(view))
        return False
    if not is_client_settled(view, plan):
        return False
    _add_notices(view, plan)
    if not _needs_records(view, plan) or getattr(register.command, "create", False):
        return True
    if record_queries.is_client_unknown(view) is None:
        return False
    if not ask_questions(view, record_lookups(view, end, plan)):
        return False
    is_done = True
    for planned in _records_to_create(view, plan):
        is_done = _ensure_record(view, plan, planned) and is_done
    if end.is_complete and not _has_target(view, plan):
        is_done = _ensure_contact(view, plan.case.responsible_id) and is_done
    return is_done


def create_delayed_records(view: CallView, plan: CallPlan) -> None:
    """After finish: records whose look-up was refused before, and has been answered in a retry since."""
    if plan.rule is None or not _needs_records(view, plan):
        return
    for planned in plan.record_actions:
        lookup, key = _open_lookup(view, planned), record_key(view, plan, planned)
        if lookup is not None and lookup.state == "done" and not record_queries.find_attempts(view, key):
            _ensure_record(view, plan, planned)


def _open_lookup(view: CallView, planned: PlannedAction) -> LedgerEntry | None:
    """The look-up of open records that the portal was asked for this record."""
    action = planned.action
    assert isinstance(action, CreateAction)  # noqa: S101 - narrowed by the caller
    if action.duplicate == "allow":
        return None
    return view.ledger.find_by_key(open_key(*entity_and_pipeline(view, action)))


def _needs_records(view: CallView, plan: CallPlan) -> bool:
    """Does the plan make records, or need the client's record for a to-do or a comment?"""
    if view.crm_number is None or not view.context.may_create_records:
        return False
    return any(isinstance(planned.action, CreateAction | TodoAction | CommentAction) for planned in plan.actions)


def _add_notices(view: CallView, plan: CallPlan) -> None:
    """A notice leaves as soon as the values in its text are known."""
    for planned in plan.actions:
        if isinstance(planned.action, NotifyAction) and planned.is_ready and view.context.may_notify:
            key = f"notify-{planned.position}"
            if view.ledger.find_by_key(key) is None:
                tag = f"bx24app-{view.external_id}-{planned.position}"
                view.ledger.add_command(Notify(key=key, user_id=planned.user_id, text=planned.text, tag=tag))


def _records_to_create(view: CallView, plan: CallPlan) -> list[PlannedAction]:
    """The records of a plan. `calls.*` make records for unknown clients only."""
    if plan.rule is None and not _was_client_unknown(view):
        return []
    return list(plan.record_actions)


def _was_client_unknown(view: CallView) -> bool:
    """Neither register nor the look-up before the first record knew the client."""
    answer = plans.get_lookup_answer(view.ledger.find_by_key(record_queries.FIND_CLIENT_KEY)) or {}
    return is_unknown_at_register(view) and not answer.get("records")


def record_key(view: CallView, plan: CallPlan, planned: PlannedAction) -> str:
    """The key of an action's record: `create-deal`; the second record of an entity carries the action's number too."""
    assert isinstance(planned.action, CreateAction)  # noqa: S101 - narrowed by the caller
    entity = entity_and_pipeline(view, planned.action)[0]
    creates = [(other.position, other.action) for other in plan.record_actions]
    first = next(
        position
        for position, action in creates
        if isinstance(action, CreateAction) and entity_and_pipeline(view, action)[0] == entity
    )
    return f"create-{entity}" if first == planned.position else f"create-{entity}-{planned.position}"


def find_existing_record(view: CallView, plan: CallPlan, planned: PlannedAction) -> Record | None:
    """The record that the client has already, which is used instead of a new one."""
    action = planned.action
    assert isinstance(action, CreateAction)  # noqa: S101 - narrowed by the caller
    record = record_queries.find_client_record(view)
    if action.duplicate == "allow" or record is None:
        return None
    if record_queries.find_live_attempt(view, record_key(view, plan, planned)):
        return None
    entity, category = entity_and_pipeline(view, action)
    if entity == record.entity or (entity == "contact" and record.entity == "company"):
        return record if entity in ("lead", "contact") else None
    answer = plans.get_lookup_answer(view.ledger.find_by_key(open_key(entity, category))) or {}
    open_records = answer.get("open") or []
    return Record(entity, open_records[0]["id"]) if open_records else None


def _ensure_record(view: CallView, plan: CallPlan, planned: PlannedAction) -> bool:
    """Make this record. True: it is on its way, exists, is held back, or is given up."""
    action = planned.action
    assert isinstance(action, CreateAction)  # noqa: S101 - narrowed by the caller
    key = record_key(view, plan, planned)
    if record_queries.find_live_attempt(view, key) or find_existing_record(view, plan, planned):
        return True
    if plans.is_lookup_refused(_open_lookup(view, planned)):
        return True  # held back; the call shows the refusal
    if not planned.is_ready:
        return False
    entity, category = entity_and_pipeline(view, action)
    variants = _record_variants(action, planned, category, view.policy.settings.portal.default_user_id)
    level, tried = record_queries.count_refusals(view, key), len(record_queries.find_attempts(view, key))
    if level >= len(variants) or tried >= MAX_ATTEMPTS:
        return True  # given up; the call shows the refusals
    record = record_queries.find_client_record(view)
    contact: int | Ref | None = record.id if record and record.entity == "contact" else None
    if record is None and entity not in ("lead", "contact"):
        if not _ensure_contact(view, planned.user_id):
            return False
        contact = Ref(CREATE_CONTACT_KEY, "id") if record_queries.find_live_attempt(view, CREATE_CONTACT_KEY) else None
    view.ledger.add_command(
        CreateRecord(
            key=key if not tried else f"{key}~{tried + 1}",
            entity=entity,
            title=planned.text or _record_title(view, entity),
            origin=f"{view.external_id}/{key}",
            number=view.crm_number if entity in ("lead", "contact") else None,
            contact=contact,
            company=int(record.id) if record and record.entity == "company" else None,  # type: ignore[arg-type]
            lead=int(record.id) if record and record.entity == "lead" and entity != "lead" else None,  # type: ignore[arg-type]
            **variants[level],
        )
    )
    return True


def _record_variants(
    action: CreateAction, planned: PlannedAction, category: int | None, default_user: int
) -> list[dict[str, Any]]:
    """The record as the rule states it, then with less and less of what the portal may refuse."""
    full = {
        "responsible": planned.user_id,
        "fields": planned.fields,
        "stage_id": action.stage_id,
        "source": action.source_id or "CALL",
        "category_id": category,
    }
    plain = {"fields": (), "stage_id": None, "source": "CALL"}
    default_pipeline = {**full, **plain, "category_id": 0 if category else category}
    for_default_user = {**default_pipeline, "responsible": default_user}
    variants = [full, {**full, "fields": ()}, {**full, **plain}, default_pipeline, for_default_user]
    return [variant for index, variant in enumerate(variants) if variant not in variants[:index]]


def _record_title(view: CallView, entity: str) -> str:
    direction = "in" if view.direction == "in" else "out"
    return view.phone_number if entity == "contact" else view.policy.texts.make_title(direction, view.phone_number)


def _ensure_contact(view: CallView, responsible: int) -> bool:
    """Make the contact for a deal, to-do or comment of an unknown client. True: it is on its way, exists, or is
    given up."""
    is_refused = record_queries.count_refusals(view, CREATE_CONTACT_KEY) > 0
    if record_queries.find_live_attempt(view, CREATE_CONTACT_KEY) is None and not is_refused:
        tried = len(record_queries.find_attempts(view, CREATE_CONTACT_KEY))
        view.ledger.add_command(
            CreateRecord(
                key=CREATE_CONTACT_KEY if not tried else f"{CREATE_CONTACT_KEY}~{tried + 1}",
                entity="contact",
                responsible=responsible,
                title=view.phone_number,
                origin=f"{view.external_id}/{CREATE_CONTACT_KEY}",
                number=view.crm_number,
            )
        )
    return True


def _has_target(view: CallView, plan: CallPlan) -> bool:
    """Has every to-do and comment of the plan a record to be added to?"""
    if not any(isinstance(planned.action, TodoAction | CommentAction) for planned in plan.actions):
        return True
    return bool(record_queries.list_created_records(view)) or record_queries.find_client_record(view) is not None
