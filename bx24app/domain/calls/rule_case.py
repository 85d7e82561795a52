"""One call as rules see it, and what a rule's actions become for it: the same for the worker and for the dry run."""

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
"""TIMEMAN_STATUS of somebody whose working day is over. Paused, forgotten (EXPIRED) or not tracked count as present."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleCase:
    """What the actions of a rule are filled from. Users are ids of the portal, times epoch seconds."""

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
    """Who talked, else who rang first."""
    talker_id: int
    """`End.user`."""
    responsible_id: int
    """`End.responsible`: who gets the call's records where a rule says nothing else."""
    transferred_to: int | None = None
    manager_id: int | None = None
    """The client's responsible in the CRM."""
    day_statuses: Mapping[int, str] = field(default_factory=dict)
    """User -> TIMEMAN_STATUS, as far as it was asked."""
    pick: int | None = None
    misses: int = 1
    is_complete: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedAction:
    """One action with its values filled. `user` gets or does it (of a notice: is told)."""

    position: int
    """Its number in the rule's `do`."""
    action: Action
    user_id: int
    text: str = ""
    """Title, comment or notice; empty where the rule gives none."""
    fields: tuple[tuple[str, Any], ...] = ()
    deadline_at: int | None = None
    is_ready: bool = True
    """False: it speaks of something that only the call's end will tell."""


def plan_actions(case: RuleCase, actions: tuple[Action, ...], policy: Policy) -> tuple[PlannedAction, ...]:
    """The actions of a rule for this call, filled."""
    return tuple(_fill_action(place, action, case, policy) for place, action in enumerate(actions))


def _fill_action(place: int, action: Action, case: RuleCase, policy: Policy) -> PlannedAction:
    match action:
        case CreateAction():
            user = resolve_role(case, policy, action.responsible, action.if_absent)
            texts = (action.title or "", *_find_texts(dict(action.fields)))
            names = _template_names(case, policy, user)
            fields = tuple((key, _fill_templates(value, names)) for key, value in action.fields)
            return PlannedAction(
                position=place, action=action, user_id=user, text=_render_template(action.title, names), fields=fields,
                is_ready=case.is_complete or not any(templates.uses_end_values(text) for text in texts),
            )  # fmt: skip
        case TodoAction():
            user = resolve_role(case, policy, action.responsible, action.if_absent)
            text = _render_template(action.title, _template_names(case, policy, user))
            return PlannedAction(
                position=place, action=action, user_id=user, text=text, deadline_at=compute_deadline(case, policy, action), is_ready=case.is_complete
            )
        case CommentAction(text=text):
            user = case.responsible_id
            return PlannedAction(
                position=place, action=action, user_id=user, text=_render_template(text, _template_names(case, policy, user)), is_ready=case.is_complete
            )
        case NotifyAction(text=text):
            user = resolve_role(case, policy, action.user, follow=False)
            ready = case.is_complete or not templates.uses_end_values(text)
            return PlannedAction(position=place, action=action, user_id=user, text=_render_template(text, _template_names(case, policy, user)), is_ready=ready)
        case _:
            return PlannedAction(position=place, action=action, user_id=case.responsible_id)


def compute_deadline(case: RuleCase, policy: Policy, action: TodoAction) -> int:
    """So many minutes, or working minutes of the line, after the call's end."""
    at = datetime.fromtimestamp(case.ended_at or case.started_at, UTC)
    hours = case.line.working_hours if case.line and action.working else ()
    if not hours:
        return int((at + timedelta(minutes=action.deadline_minutes)).timestamp())
    return int(add_working_minutes(hours, at, action.deadline_minutes, policy.settings.portal.timezone).timestamp())


def resolve_role(case: RuleCase, policy: Policy, role: UserOrRole | None, if_absent: IfAbsent = "keep", follow: bool = True) -> int:
    """The user whom a role means. A completed transfer overrules all of them where records follow transfers (contract, section 7)."""
    if follow and case.transferred_to is not None and policy.calls.transfer_responsible != "never":
        return case.transferred_to
    order = list_candidates(case, policy, role)
    if if_absent == "next":
        return next((user for user in order if case.day_statuses.get(user) != DAY_CLOSED), order[0])
    return order[0]


def list_candidates(case: RuleCase, policy: Policy, role: UserOrRole | None) -> list[int]:
    """Whom a role means, then who is next: the line's users in their turn."""
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
    """What a template may speak of (`templates.NAMES`). Times are in the portal's zone."""
    here = load_zone(policy.settings.portal.timezone)

    def local_time(at: int | None) -> datetime | None:
        return datetime.fromtimestamp(at, here) if at is not None else None

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
    """What `calls.*` asks for where no rule matches; None while the outcome can still change it. For unknown clients, except the to-do."""
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
