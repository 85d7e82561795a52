"""Fills the actions of a rule for one call: users, texts, fields, deadlines. The worker and the dry run both call
it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from bx24app.domain.calls.policy import Policy
from bx24app.domain.rules import RuleFacts, templates
from bx24app.domain.rules.actions import (
    Action,
    CommentAction,
    CreateAction,
    IfAbsent,
    NotifyAction,
    TodoAction,
    UserOrRole,
)
from bx24app.domain.settings import LineSettings
from bx24app.domain.working_hours import add_working_minutes, load_zone

DAY_CLOSED = "CLOSED"
"""TIMEMAN_STATUS of a user whose working day is over. PAUSED, EXPIRED (not closed in time) and no tracking count as
present."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleCase:
    """The values that fill the actions of a rule. Users are ids of the portal, times epoch seconds."""

    facts: RuleFacts
    entry_id: str
    client_number: str | None
    """The client's, E.164; None: anonymous."""
    client_name: str = ""
    line: LineSettings | None = None
    raw_line: str | None = None
    started_at: int
    answered_at: int | None = None
    ended_at: int | None = None
    reason_text: str = ""
    """Why it was not answered, in words."""
    extension: str = ""
    """The extension that talked, else the one that rang first."""
    talker_id: int
    """`Outcome.user_id`."""
    responsible_id: int
    """`Outcome.responsible_id`: the user who gets the call's records where a rule names no other."""
    transferred_to: int | None = None
    manager_id: int | None = None
    """The client manager."""
    day_statuses: Mapping[int, str] = field(default_factory=dict)
    """User -> TIMEMAN_STATUS, of the users that were looked up."""
    pick: int | None = None
    misses: int = 1
    is_complete: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedAction:
    """One action with its values filled in. `user_id`: who gets the record, the to-do or the notice."""

    position: int
    """Its number in the rule's `do`."""
    action: Action
    user_id: int
    text: str = ""
    """Title, comment or notice. Empty: the rule gives none."""
    fields: tuple[tuple[str, Any], ...] = ()
    deadline_at: int | None = None
    is_ready: bool = True
    """False: its text needs a value that is known only at the call's end."""


def plan_actions(case: RuleCase, actions: tuple[Action, ...], policy: Policy) -> tuple[PlannedAction, ...]:
    """The actions of a rule for this call, filled in."""
    return tuple(_fill_action(position, action, case, policy) for position, action in enumerate(actions))


def _fill_action(position: int, action: Action, case: RuleCase, policy: Policy) -> PlannedAction:
    match action:
        case CreateAction():
            user = resolve_role(case, policy, action.responsible, action.if_absent)
            texts = (action.title or "", *_find_texts(dict(action.fields)))
            names = _template_names(case, policy, user) if any(texts) else {}
            fields = tuple((key, _fill_templates(value, names)) for key, value in action.fields)
            return PlannedAction(
                position=position, action=action, user_id=user, fields=fields,
                text=_render_template(action.title, names),
                is_ready=case.is_complete or not any(templates.uses_end_values(text) for text in texts),
            )  # fmt: skip
        case TodoAction():
            user = resolve_role(case, policy, action.responsible, action.if_absent)
            text = _render_template(action.title, _template_names(case, policy, user)) if action.title else ""
            return PlannedAction(
                position=position, action=action, user_id=user, text=text, is_ready=case.is_complete,
                deadline_at=compute_deadline(case, policy, action),
            )  # fmt: skip
        case CommentAction(text=text):
            user = case.responsible_id
            comment = _render_template(text, _template_names(case, policy, user))
            is_ready = case.is_complete
            return PlannedAction(position=position, action=action, user_id=user, text=comment, is_ready=is_ready)
        case NotifyAction(text=text):
            user = resolve_role(case, policy, action.user, follow=False)
            is_ready = case.is_complete or not templates.uses_end_values(text)
            notice = _render_template(text, _template_names(case, policy, user))
            return PlannedAction(position=position, action=action, user_id=user, text=notice, is_ready=is_ready)
        case _:
            return PlannedAction(position=position, action=action, user_id=case.responsible_id)


def compute_deadline(case: RuleCase, policy: Policy, action: TodoAction) -> int:
    """The action's minutes, or working minutes of the line, after the call's end (epoch seconds)."""
    at = datetime.fromtimestamp(case.ended_at or case.started_at, UTC)
    hours = case.line.working_hours if case.line and action.working else ()
    if not hours:
        return int((at + timedelta(minutes=action.deadline_minutes)).timestamp())
    return int(add_working_minutes(hours, at, action.deadline_minutes, policy.settings.portal.timezone).timestamp())


def resolve_role(
    case: RuleCase, policy: Policy, role: UserOrRole | None, if_absent: IfAbsent = "keep", follow: bool = True
) -> int:
    """The user that a role stands for. Where records follow transfers, the target of a completed transfer comes before
    any role.

    The contract, section 7, says so. `follow` False: for notices, which do not follow transfers.
    """
    if follow and case.transferred_to is not None and policy.calls.transfer_responsible != "never":
        return case.transferred_to
    order = list_candidates(case, policy, role)
    if if_absent == "next":
        return next((user for user in order if case.day_statuses.get(user) != DAY_CLOSED), order[0])
    return order[0]


def list_candidates(case: RuleCase, policy: Policy, role: UserOrRole | None) -> list[int]:
    """The user that a role stands for, then the users who come next: those of the line, by its strategy."""
    line = policy.users_in_turn(case.line, case.pick)
    named = {
        None: case.responsible_id,
        "line": None,
        "answered": case.talker_id if case.answered_at is not None else None,
        "owner": case.manager_id,
    }
    first = named[role] if role is None or isinstance(role, str) else role
    order = [user for user in (first, *line, case.talker_id) if user is not None and user not in policy.dismissed_users]
    return list(dict.fromkeys(order)) or [policy.default_user]


def _template_names(case: RuleCase, policy: Policy, user: int) -> dict[str, dict[str, Any]]:
    """The values of `templates.TEMPLATE_NAMES`. Times are in the portal's zone."""
    zone = load_zone(policy.settings.portal.timezone)

    def local_time(at: int | None) -> datetime | None:
        return datetime.fromtimestamp(at, zone) if at is not None else None

    facts = case.facts
    return {
        "client": {"number": case.client_number or "", "name": case.client_name, "known": facts.client == "known"},
        "line": {
            "name": (case.line.name if case.line else "") or case.raw_line or "",
            "number": case.line.number if case.line else case.raw_line or "",
        },
        "pbx": {"name": policy.pbx.name or policy.pbx.key, "key": policy.pbx.key},
        "call": {
            "direction": facts.direction or "",
            "outcome": facts.outcome or "",
            "started_at": local_time(case.started_at),
            "answered_at": local_time(case.answered_at),
            "ended_at": local_time(case.ended_at),
            "talk_seconds": facts.talk_seconds or 0,
            "reason": case.reason_text,
            "entry_id": case.entry_id,
            "extension": case.extension,
            "count": case.misses,
        },
        "user": {"id": user, "name": policy.user_name(user)},
    }


def _render_template(source: str | None, names: dict[str, dict[str, Any]]) -> str:
    return templates.render(source, names) if source else ""


def _fill_templates(value: Any, names: dict[str, dict[str, Any]]) -> Any:
    if isinstance(value, str):
        return templates.render(value, names)
    if isinstance(value, dict):
        return {key: _fill_templates(item, names) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_fill_templates(item, names) for item in value]
    return value


def _find_texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _find_texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _find_texts(item)


def default_actions(facts: RuleFacts, policy: Policy) -> tuple[Action, ...] | None:
    """The actions of `calls.*`, for where no rule holds. None: they depend on an outcome that is not known yet.

    The records are for unknown clients only, the to-do is for all.
    """
    calls = policy.calls
    if facts.number == "":
        return ()
    if facts.direction == "out":
        return _create_actions(calls.outgoing)
    missed = "contact" if calls.missed == "activity" else calls.missed
    if facts.outcome == "answered":
        return _create_actions(calls.answered)
    if facts.outcome is not None:
        todo = (TodoAction(deadline_minutes=policy.todo_minutes),) if calls.missed == "activity" else ()
        return (*_create_actions(missed), *todo)
    return _create_actions(missed) if missed == calls.answered else None


def _create_actions(what: str) -> tuple[Action, ...]:
    return () if what == "nothing" else (CreateAction(entity=what),)
