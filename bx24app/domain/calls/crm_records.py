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
from bx24app.domain.calls.call_view import End, View
from bx24app.domain.calls.commands import AnyCommand, CreateRecord, Notify, ReadClient, ReadDay, ReadOpen, Record, Ref
from bx24app.domain.calls.plan import Plan
from bx24app.domain.calls.rule_case import Planned, candidates
from bx24app.domain.rules.actions import Comment, Create, Todo

CONTACT = "create-contact"
MOST_ATTEMPTS = 8
"""At one record: no portal is asked for ever."""


def make(view: View, end: End, plan: Plan) -> bool:
    """Make what can be made now. Returns whether finish may leave: everything that must exist before it is on its way."""
    register = view.ledger.register()
    if register is None:
        return False
    if register.state == "dead" or view.ledger.finish() is not None:
        return True
    if not plan.decided:
        _ask(view, _before_choosing(view))
        return False
    if not _knows_client(view, plan):
        return False
    _tell(view, plan)
    wanted = [one for one in plan.actions if isinstance(one.action, Create | Todo | Comment)]
    if not wanted or view.client is None or not view.known.makes or getattr(register.command, "create", False):
        return True
    if record_queries.unknown(view) is None:
        return False
    if not _ask(view, _before_making(view, end, plan)):
        return False
    steady = True
    for one in _creates(view, plan):
        steady = _made(view, plan, one) and steady
    if end.complete and not _has_place(view, plan):
        steady = _contact(view, plan.case.responsible) and steady
    return steady


def _tell(view: View, plan: Plan) -> None:
    """Notices leave as soon as what they speak of is known."""
    for one in plan.actions:
        if type(one.action).__name__ == "Tell" and one.ready and view.known.tells:
            key = f"notify-{one.place}"
            if view.ledger.by_key(key) is None:
                tag = f"bx24app-{view.external_id}-{one.place}"
                view.ledger.add(Notify(key=key, user_id=one.user, text=one.text, tag=tag))


# --- look-ups --------------------------------------------------------------------------------------------------------


def _ask(view: View, questions: Iterator[AnyCommand]) -> bool:
    """Put the questions that were not put yet; True where all of them are answered."""
    keys = []
    for question in list(questions):
        keys.append(question.key)
        if view.ledger.by_key(question.key) is None:
            view.ledger.add(question)
    return all(plans.answered(view.ledger.by_key(key)) is not None for key in keys)


def _before_choosing(view: View) -> Iterator[AnyCommand]:
    """What a condition asks about, once it is known who the client is."""
    record = record_queries.client_record(view)
    if record is not None and plans.asks_for_open(plans.rules_of(view.policy.settings)):
        for kind in plans.OPEN_KINDS:
            yield ReadOpen(key=f"open-{kind}", entity=kind, record=record)


def _before_making(view: View, end: End, plan: Plan) -> Iterator[AnyCommand]:
    """What decides about the records: the client again (a web form may have made one since), their manager, what is open, who is there."""
    if plan.rule is None:
        if view.known.crowded and view.client is not None and plan.records and _untouched(view) and _registered_unknown(view):
            yield ReadClient(key=record_queries.FOUND, number=view.client)
        return
    roles = _roles(plan)
    late = end.complete or end.answered
    fresh = record_queries.facts(view.ledger.register()) or {}
    known = bool(fresh.get("record"))
    if view.client is not None and _untouched(view) and ((late and not known) or (known and ("owner" in roles or _names_client(plan)))):
        yield ReadClient(key=record_queries.FOUND, number=view.client)
    yield from _open(view, plan)
    yield from _days(view, plan)


def _untouched(view: View) -> bool:
    """Has it made nothing of its own that a look-up would find?"""
    return not record_queries.made(view) or view.ledger.by_key(record_queries.FOUND) is not None


def _knows_client(view: View, plan: Plan) -> bool:
    """Where the rule speaks of a known client, or means their manager: has the portal told who they are? Notices wait for it too."""
    if view.client is None or plan.rule is None or not (_names_client(plan) or "owner" in _roles(plan)):
        return True
    said = record_queries.facts(view.ledger.register())
    if said is None or not said.get("record"):
        return said is not None
    return _ask(view, iter((ReadClient(key=record_queries.FOUND, number=view.client),)))


def _roles(plan: Plan) -> set[Any]:
    """Whom the actions name."""
    return {getattr(one.action, "responsible", getattr(one.action, "user", None)) for one in plan.actions}


def _names_client(plan: Plan) -> bool:
    return plan.rule is not None and any("client.name" in str(vars_of(action)) for action in plan.rule.actions)


def vars_of(action: Any) -> dict[str, Any]:
    """The values of an action as they were written."""
    return {name: getattr(action, name) for name in action.__slots__}


def _open(view: View, plan: Plan) -> Iterator[AnyCommand]:
    record = record_queries.client_record(view)
    if record is None:
        return
    for one in plan.records:
        action = one.action
        if isinstance(action, Create) and action.duplicate == "skip" and action.entity != "contact":
            entity, category = _kind(view, action)
            if (entity, record.entity) != ("lead", "lead"):
                yield ReadOpen(key=_open_key(entity, category), entity=entity, record=record, category_id=category)


def _open_key(entity: str, category: int | None) -> str:
    return f"open-{entity}" if category is None else f"open-{entity}-{category}"


def _days(view: View, plan: Plan) -> Iterator[AnyCommand]:
    """Whose working day is open, of those who may get it. Without the scope nobody is asked, the line's hours alone count."""
    if not view.policy.timeman:
        return
    for one in plan.actions:
        if getattr(one.action, "if_absent", "keep") == "next":
            for user in candidates(plan.case, view.policy, one.action.responsible):  # type: ignore[union-attr]
                if user not in plan.case.days or view.ledger.by_key(f"day-{user}") is not None:
                    yield ReadDay(key=f"day-{user}", user_id=user)


# --- records ---------------------------------------------------------------------------------------------------------


def _creates(view: View, plan: Plan) -> list[Planned]:
    """The records of a plan; what `calls.*` makes is for unknown clients alone."""
    if plan.rule is None and not _was_unknown(view):
        return []
    return list(plan.records)


def _registered_unknown(view: View) -> bool:
    return not (record_queries.facts(view.ledger.register()) or {}).get("record")


def _was_unknown(view: View) -> bool:
    """Did neither register nor the look-up before anything was made know the client?"""
    return _registered_unknown(view) and not (plans.answered(view.ledger.by_key(record_queries.FOUND)) or {}).get("records")


def _kind(view: View, action: Create) -> tuple[str, int | None]:
    """(entity, pipeline). Without leads (mode 2), a lead is a deal in the default pipeline, with its contact."""
    if action.entity == "lead" and view.policy.crm_mode == 2:
        return "deal", 0
    entity = str(action.entity)
    return entity, (action.category_id or 0) if entity == "deal" else action.category_id


def key_of(view: View, plan: Plan, one: Planned) -> str:
    """The key of an action's record: `create-deal`; a second one of a kind carries its place too."""
    assert isinstance(one.action, Create)  # noqa: S101 - narrowed by the caller
    entity = _kind(view, one.action)[0]
    first = next(p for p in plan.records if isinstance(p.action, Create) and _kind(view, p.action)[0] == entity)
    return f"create-{entity}" if first.place == one.place else f"create-{entity}-{one.place}"


def in_use(view: View, plan: Plan, one: Planned) -> Record | None:
    """The record that the client has already, which stands in for a second one."""
    action = one.action
    assert isinstance(action, Create)  # noqa: S101 - narrowed by the caller
    record = record_queries.client_record(view)
    if action.duplicate == "allow" or record is None or record_queries.alive(view, key_of(view, plan, one)):
        return None
    entity, category = _kind(view, action)
    if entity == record.entity or (entity == "contact" and record.entity == "company"):
        return record if entity in ("lead", "contact") else None
    held = (plans.answered(view.ledger.by_key(_open_key(entity, category))) or {}).get("open") or []
    return Record(entity, held[0]["id"]) if held else None


def _made(view: View, plan: Plan, one: Planned) -> bool:
    """Is this record made, or not to be made?"""
    action = one.action
    assert isinstance(action, Create)  # noqa: S101 - narrowed by the caller
    key = key_of(view, plan, one)
    if record_queries.alive(view, key) or in_use(view, plan, one):
        return True
    if not one.ready:
        return False
    entity, category = _kind(view, action)
    variants = _variants(action, one, category, view.policy.settings.portal.default_user_id)
    level, tried = record_queries.refusals(view, key), len(record_queries.attempts(view, key))
    if level >= len(variants) or tried >= MOST_ATTEMPTS:
        return True  # given up; its refusals are on the call
    record = record_queries.client_record(view)
    contact: int | Ref | None = record.id if record and record.entity == "contact" else None
    if record is None and entity not in ("lead", "contact"):
        if not _contact(view, one.user):
            return False
        contact = Ref(CONTACT, "id") if record_queries.alive(view, CONTACT) else None
    view.ledger.add(
        CreateRecord(
            key=key if not tried else f"{key}~{tried + 1}",
            entity=entity,
            title=one.text or _title(view, entity),
            origin=f"{view.external_id}/{key}",
            number=view.client if entity in ("lead", "contact") else None,
            contact=contact,
            company=int(record.id) if record and record.entity == "company" else None,  # type: ignore[arg-type]
            lead=int(record.id) if record and record.entity == "lead" and entity != "lead" else None,  # type: ignore[arg-type]
            **variants[level],
        )
    )
    return True


def _variants(action: Create, one: Planned, category: int | None, default_user: int) -> list[dict[str, Any]]:
    """The record as stated, then with less and less of what the portal may refuse."""
    full = {"responsible": one.user, "fields": one.fields, "stage_id": action.stage_id, "source": action.source_id or "CALL", "category_id": category}
    plain = {"fields": (), "stage_id": None, "source": "CALL"}
    steps = [full, {**full, "fields": ()}, {**full, **plain}, {**full, **plain, "category_id": 0 if category else category}]
    steps.append({**steps[-1], "responsible": default_user})
    return [step for place, step in enumerate(steps) if step not in steps[:place]]


def _title(view: View, entity: str) -> str:
    way = "in" if view.direction == "in" else "out"
    return view.number if entity == "contact" else view.policy.words.title(way, view.number)


def _contact(view: View, responsible: int) -> bool:
    """The contact that a deal, to-do or comment of an unknown client hangs on; True once it is made or given up."""
    if record_queries.alive(view, CONTACT) is None and not record_queries.refusals(view, CONTACT):
        tried = len(record_queries.attempts(view, CONTACT))
        view.ledger.add(
            CreateRecord(
                key=CONTACT if not tried else f"{CONTACT}~{tried + 1}",
                entity="contact",
                responsible=responsible,
                title=view.number,
                origin=f"{view.external_id}/{CONTACT}",
                number=view.client,
            )
        )
    return True


def _has_place(view: View, plan: Plan) -> bool:
    """Is there a record that a to-do or comment can hang on, or need there be none?"""
    hanging = any(isinstance(one.action, Todo | Comment) for one in plan.actions)
    return not hanging or bool(record_queries.made(view)) or record_queries.client_record(view) is not None


__all__ = ["in_use", "key_of", "make"]
