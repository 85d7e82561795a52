"""One call as rules see it, and what a rule's actions become for it: the same for the worker and for the dry run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from bx24app.domain.calls.policy import Policy
from bx24app.domain.rules import Facts, templates
from bx24app.domain.rules.actions import Action, Comment, Create, IfAbsent, Tell, Todo, Who
from bx24app.domain.settings import Line
from bx24app.domain.working_hours import after_working, zone

ABSENT = "CLOSED"
"""TIMEMAN_STATUS of somebody whose working day is over. Paused, forgotten (EXPIRED) or not tracked count as present."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What the actions of a rule are filled from. Users are ids of the portal, times epoch seconds."""

    facts: Facts
    entry_id: str
    number: str | None
    """The client's, E.164; None: anonymous."""
    client_name: str = ""
    line: Line | None = None
    raw_line: str | None = None
    started_at: int
    answered_at: int | None = None
    ended_at: int | None = None
    reason: str = ""
    """Why it was not answered, in words."""
    extension: str = ""
    """Who talked, else who rang first."""
    talker: int
    """`End.user`."""
    responsible: int
    """`End.responsible`: who gets the call's records where a rule says nothing else."""
    transferred_to: int | None = None
    owner: int | None = None
    """The client's responsible in the CRM."""
    days: Mapping[int, str] = field(default_factory=dict)
    """User -> TIMEMAN_STATUS, as far as it was asked."""
    pick: int | None = None
    misses: int = 1
    complete: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """One action with its values filled. `user` gets or does it (of a notice: is told)."""

    place: int
    """Its number in the rule's `do`."""
    action: Action
    user: int
    text: str = ""
    """Title, comment or notice; empty where the rule gives none."""
    fields: tuple[tuple[str, Any], ...] = ()
    deadline_at: int | None = None
    ready: bool = True
    """False: it speaks of something that only the call's end will tell."""


def plan(case: Case, actions: tuple[Action, ...], policy: Policy) -> tuple[Planned, ...]:
    """The actions of a rule for this call, filled."""
    return tuple(_planned(place, action, case, policy) for place, action in enumerate(actions))


def _planned(place: int, action: Action, case: Case, policy: Policy) -> Planned:
    match action:
        case Create():
            user = who(case, policy, action.responsible, action.if_absent)
            texts = (action.title or "", *_texts(dict(action.fields)))
            names = _names(case, policy, user)
            fields = tuple((key, _filled(value, names)) for key, value in action.fields)
            return Planned(
                place=place, action=action, user=user, text=_render(action.title, names), fields=fields,
                ready=case.complete or not any(templates.speaks_of_the_end(text) for text in texts),
            )  # fmt: skip
        case Todo():
            user = who(case, policy, action.responsible, action.if_absent)
            text = _render(action.title, _names(case, policy, user))
            return Planned(
                place=place, action=action, user=user, text=text, deadline_at=deadline(case, policy, action), ready=case.complete
            )
        case Comment(text=text):
            user = case.responsible
            return Planned(
                place=place, action=action, user=user, text=_render(text, _names(case, policy, user)), ready=case.complete
            )
        case Tell(text=text):
            user = who(case, policy, action.user, follow=False)
            ready = case.complete or not templates.speaks_of_the_end(text)
            return Planned(place=place, action=action, user=user, text=_render(text, _names(case, policy, user)), ready=ready)
        case _:
            return Planned(place=place, action=action, user=case.responsible)


def deadline(case: Case, policy: Policy, action: Todo) -> int:
    """So many minutes, or working minutes of the line, after the call's end."""
    at = datetime.fromtimestamp(case.ended_at or case.started_at, UTC)
    hours = case.line.working_hours if case.line and action.working else ()
    if not hours:
        return int((at + timedelta(minutes=action.deadline_minutes)).timestamp())
    return int(after_working(hours, at, action.deadline_minutes, policy.settings.portal.timezone).timestamp())


def who(case: Case, policy: Policy, role: Who | None, if_absent: IfAbsent = "keep", follow: bool = True) -> int:
    """The user whom a role means. A completed transfer overrules all of them where records follow transfers (contract, section 7)."""
    if follow and case.transferred_to is not None and policy.calls.transfer_responsible != "never":
        return case.transferred_to
    order = candidates(case, policy, role)
    if if_absent == "next":
        return next((user for user in order if case.days.get(user) != ABSENT), order[0])
    return order[0]


def candidates(case: Case, policy: Policy, role: Who | None) -> list[int]:
    """Whom a role means, then who is next: the line's users in their turn."""
    line = policy.line_turn(case.line, case.pick)
    named = {
        None: case.responsible,
        "line": None,
        "answered": case.talker if case.answered_at is not None else None,
        "owner": case.owner,
    }
    first = named[role] if role is None or isinstance(role, str) else role
    order = [user for user in (first, *line, case.talker) if user is not None and user not in policy.dismissed]
    return list(dict.fromkeys(order)) or [policy.default_user]


def _names(case: Case, policy: Policy, user: int) -> dict[str, dict[str, Any]]:
    """What a template may speak of (`templates.NAMES`). Times are in the portal's zone."""
    here = zone(policy.settings.portal.timezone)

    def moment(at: int | None) -> datetime | None:
        return datetime.fromtimestamp(at, here) if at is not None else None

    facts = case.facts
    return {
        "client": {"number": case.number or "", "name": case.client_name, "known": facts.client == "known"},
        "line": {
            "name": (case.line.name if case.line else "") or case.raw_line or "",
            "number": case.line.number if case.line else case.raw_line or "",
        },
        "pbx": {"name": policy.pbx.name or policy.pbx.key, "key": policy.pbx.key},
        "call": {
            "direction": facts.direction or "",
            "outcome": facts.outcome or "",
            "started_at": moment(case.started_at),
            "answered_at": moment(case.answered_at),
            "ended_at": moment(case.ended_at),
            "talk_seconds": facts.talk_seconds or 0,
            "reason": case.reason,
            "entry_id": case.entry_id,
            "extension": case.extension,
            "count": case.misses,
        },
        "user": {"id": user, "name": policy.person(user)},
    }


def _render(source: str | None, names: dict[str, dict[str, Any]]) -> str:
    return templates.render(source, names) if source else ""


def _filled(value: Any, names: dict[str, dict[str, Any]]) -> Any:
    if isinstance(value, str):
        return templates.render(value, names)
    if isinstance(value, dict):
        return {key: _filled(item, names) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_filled(item, names) for item in value]
    return value


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)


def by_default(facts: Facts, policy: Policy) -> tuple[Action, ...] | None:
    """What `calls.*` asks for where no rule matches; None while the outcome can still change it. For unknown clients, except the to-do."""
    calls = policy.calls
    if facts.number == "":
        return ()
    if facts.direction == "out":
        return _made(calls.outgoing)
    missed = "contact" if calls.missed == "activity" else calls.missed
    if facts.outcome == "answered":
        return _made(calls.answered)
    if facts.outcome is not None:
        todo = (Todo(deadline_minutes=policy.todo_minutes),) if calls.missed == "activity" else ()
        return (*_made(missed), *todo)
    return _made(missed) if missed == calls.answered else None


def _made(what: str) -> tuple[Action, ...]:
    return () if what == "nothing" else (Create(entity=what),)
