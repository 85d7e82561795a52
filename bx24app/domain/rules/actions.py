"""The actions of rules as types: the parsed form of `do`. `domain.calls.rule_case` fills them, the fold carries them
out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

UserOrRole = int | Literal["line", "answered", "owner"]
"""A user id, the line's responsible, the talker, or the client manager."""
IfAbsent = Literal["keep", "next"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateAction:
    """A record of the CRM."""

    kind: ClassVar[str] = "create"
    entity: str | int
    """lead, deal, contact, or the entity type id of a smart process."""
    category_id: int | None = None
    stage_id: str | None = None
    title: str | None = None
    responsible: UserOrRole | None = None
    """None: the user who gets the call's records where no rule holds."""
    source_id: str | None = None
    fields: tuple[tuple[str, Any], ...] = ()
    duplicate: Literal["skip", "allow"] = "skip"
    if_absent: IfAbsent = "keep"


@dataclass(frozen=True, slots=True, kw_only=True)
class TodoAction:
    """A to-do on the client's record."""

    kind: ClassVar[str] = "todo"
    deadline_minutes: int = 30
    working: bool = False
    """Count working minutes of the line."""
    responsible: UserOrRole | None = None
    title: str | None = None
    if_absent: IfAbsent = "keep"


@dataclass(frozen=True, slots=True, kw_only=True)
class CommentAction:
    """A comment in the client's timeline."""

    kind: ClassVar[str] = "comment"
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NotifyAction:
    """A notice to a user."""

    kind: ClassVar[str] = "notify"
    user: UserOrRole
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NothingAction:
    """Nothing is made, and no further rule is tried."""

    kind: ClassVar[str] = "nothing"


Action = CreateAction | TodoAction | CommentAction | NotifyAction | NothingAction


def parse(action: Mapping[str, Any]) -> Action:
    """One member of `do` as its type. It has passed the check at saving."""
    [(kind, parts)] = action.items()
    parsed: Action = _ACTION_TYPES[kind](**{key: _convert_value(key, value) for key, value in (parts or {}).items()})
    return parsed


def _convert_value(key: str, value: Any) -> Any:
    if key == "fields":
        return tuple(value.items())
    if key == "entity" and str(value).isdecimal():
        return int(value)
    return str(value) if key in ("stage_id", "source_id") else value


_ACTION_TYPES: dict[str, Callable[..., Action]] = {
    action_type.kind: action_type
    for action_type in (CreateAction, TodoAction, CommentAction, NotifyAction, NothingAction)
}
