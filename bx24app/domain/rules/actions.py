"""What rules ask for, as types: the parsed form of `do`. Carried out by the fold; filled by `bx24app.domain.rules.templates`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

UserOrRole = int | Literal["line", "answered", "owner"]
"""A user, the line's responsible, who talked, or the client's responsible in the CRM."""
IfAbsent = Literal["keep", "next"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateAction:
    """A record of the CRM."""

    entity: str | int
    """lead, deal, contact, or the entity type id of a smart process."""
    category_id: int | None = None
    stage_id: str | None = None
    title: str | None = None
    responsible: UserOrRole | None = None
    """None: who gets the records that the call makes without rules."""
    source_id: str | None = None
    fields: tuple[tuple[str, Any], ...] = ()
    duplicate: Literal["skip", "allow"] = "skip"
    if_absent: IfAbsent = "keep"


@dataclass(frozen=True, slots=True, kw_only=True)
class TodoAction:
    """A to-do on the client's record."""

    deadline_minutes: int = 30
    working: bool = False
    """Count working minutes of the line."""
    responsible: UserOrRole | None = None
    title: str | None = None
    if_absent: IfAbsent = "keep"


@dataclass(frozen=True, slots=True, kw_only=True)
class CommentAction:
    """A comment in the client's timeline."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NotifyAction:
    """`notify`: a notice to a user."""

    user: UserOrRole
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NothingAction:
    """The rule matches, so that nothing further is tried, and makes nothing."""


Action = CreateAction | TodoAction | CommentAction | NotifyAction | NothingAction


def parse(action: Mapping[str, Any]) -> Action:
    """One member of `do`, checked before, as its type."""
    [(name, parts)] = action.items()
    made: Action = _ACTION_TYPES[name](**{key: _convert_value(key, value) for key, value in (parts or {}).items()})
    return made


def _convert_value(key: str, value: Any) -> Any:
    if key == "fields":
        return tuple(value.items())
    if key == "entity" and str(value).isdecimal():
        return int(value)
    return str(value) if key in ("stage_id", "source_id") else value


_ACTION_TYPES: dict[str, Callable[..., Action]] = {
    "create": CreateAction,
    "todo": TodoAction,
    "comment": CommentAction,
    "notify": NotifyAction,
    "nothing": NothingAction,
}
