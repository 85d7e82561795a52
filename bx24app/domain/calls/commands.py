"""What we may tell Bitrix24, imperative. Each command has a key that is stable within its call: the same decision made twice is one delivery.

A value that only the portal knows (the CALL_ID, the id of a record made by an earlier command) is a `Ref` to that command's
answer; it is filled in when the request is built, or by Bitrix24 itself inside a batch.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

EntityName = Literal["lead", "deal", "contact", "company"]


@dataclass(frozen=True, slots=True)
class Ref:
    """`fact` of the answer to the command `key` of the same call."""

    key: str
    fact: str


@dataclass(frozen=True, slots=True)
class Record:
    """A CRM record: `entity` is lead, deal, contact, company, or the number of a smart process."""

    entity: str
    id: int | Ref


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    key: str
    part: int = 1
    """1: the call's own portal call; 2, 3 …: the portal call of a further recording."""

    may_chain: ClassVar[bool] = False
    """May stand in a shared batch right behind the command that it refers to: a failure of that one makes it fail harmlessly."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Register(Command):
    """telephony.externalCall.register. A repeat with the same values gives the same CALL_ID (or an orphan that never finishes)."""

    user_id: int
    number: str
    type: int
    """1 outgoing, 2 incoming, 3 incoming redirected, 4 callback."""
    started_at: int
    line: str | None
    external_id: str
    create: bool = False
    """CRM_CREATE: the portal makes the lead itself."""
    show: bool = False
    source: str = "CALL"
    record: Record | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ShowCard(Command):
    """telephony.externalCall.show; a repeat changes nothing."""

    users: tuple[int, ...]
    may_chain: ClassVar[bool] = True


@dataclass(frozen=True, slots=True, kw_only=True)
class HideCard(Command):
    """telephony.externalCall.hide; a repeat changes nothing."""

    users: tuple[int, ...]
    may_chain: ClassVar[bool] = True


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateRecord(Command):
    """crm.item.add. Not idempotent: found again by its origin before a repeat."""

    entity: str
    responsible: int
    title: str
    origin: str
    """originId; with originatorId `bx24app` it marks the record as made by this call and command."""
    number: str | None = None
    """The client's telephone; for records that have one (lead, contact)."""
    source: str = "CALL"
    contact: int | Ref | None = None
    company: int | None = None
    lead: int | None = None
    """The client's lead, where that is all the CRM has of them."""
    category_id: int | None = None
    stage_id: str | None = None
    fields: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Finish(Command):
    """telephony.externalCall.finish. Neither idempotent nor locked: the statistics are asked before a repeat."""

    user_id: int
    seconds: int
    status: str
    reason: str = ""
    number: str = ""
    """Only for comparing a row of the statistics after a lost answer."""
    may_chain: ClassVar[bool] = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Reassign(Command):
    """crm.item.update assignedById; a repeat changes nothing."""

    record: Record
    user_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Bind(Command):
    """crm.activity.binding.add of the call's activity, or of a to-do; "already bound" is done."""

    record: Record
    todo: str | None = None
    """Key of the to-do; None: the call's own activity."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AddTodo(Command):
    """crm.activity.todo.add."""

    record: Record
    responsible: int
    title: str
    deadline_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RetitleTodo(Command):
    """crm.activity.todo.update: another miss of the same client, counted in the to-do that an earlier call made; a repeat changes nothing."""

    record: Record
    activity_id: int
    title: str
    deadline_at: int
    misses: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AddComment(Command):
    """crm.timeline.comment.add. Not idempotent: found again by its text before a repeat."""

    record: Record
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CloseTodo(Command):
    """crm.activity.update COMPLETED=Y of a to-do that an earlier call made."""

    activity_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SetActivityUser(Command):
    """crm.activity.update RESPONSIBLE_ID: what came after finish corrects the activity, never repeats finish."""

    user_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadClient(Command):
    """Records of the number, and whose they are. Rides in finish's batch for what rules may read later; or asked before a rule is carried out."""

    record: Record | None = None
    number: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadDeals(Command):
    """crm.item.list of the client's open deals, for rules that read them later. Rides in finish's batch."""

    record: Record


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadOpen(Command):
    """crm.item.list: open items of one kind that the client has already, so that a rule makes no second one."""

    entity: str
    record: Record
    category_id: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadDay(Command):
    """timeman.status: is this user's working day open?"""

    user_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadTodo(Command):
    """crm.activity.get: is a to-do of ours still open, or has somebody done it by hand?"""

    activity_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Notify(Command):
    """im.notify.system.add."""

    user_id: int
    text: str
    tag: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dial(Command):
    """commands/callback (or callback_group) to Mango. Sent at most once: Mango would dial twice."""

    command_id: str
    """Ours; the legs of the callback and its result carry it."""
    to_number: str
    extension: str | None = None
    """Rung first; None: `group` is."""
    group: str | None = None
    from_number: str | None = None
    """The telephone of that employee to ring instead of the default one (a mobile)."""
    line: str | None = None
    """Caller id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route(Command):
    """commands/route to Mango: a waiting leg goes to an extension. Sent at most once."""

    command_id: str
    leg: str
    extension: str


MANGO_KINDS = ("Dial", "Route")
"""Kinds that go to Mango: claimed by `bx24app.calls.click_to_call`, sent at most once, never repeated."""

AnyCommand = (
    Register
    | ShowCard
    | HideCard
    | CreateRecord
    | Finish
    | Reassign
    | Bind
    | AddTodo
    | RetitleTodo
    | CloseTodo
    | AddComment
    | SetActivityUser
    | ReadClient
    | ReadDeals
    | ReadOpen
    | ReadDay
    | ReadTodo
    | Notify
    | Dial
    | Route
)
KINDS: dict[str, type[AnyCommand]] = {
    kind.__name__: kind
    for kind in (
        Register,
        ShowCard,
        HideCard,
        CreateRecord,
        Finish,
        Reassign,
        Bind,
        AddTodo,
        RetitleTodo,
        CloseTodo,
        AddComment,
        SetActivityUser,
        ReadClient,
        ReadDeals,
        ReadOpen,
        ReadDay,
        ReadTodo,
        Notify,
        Dial,
        Route,
    )
}


def to_json(command: AnyCommand) -> dict[str, Any]:
    """The command as a JSON document, for the outbox; `Ref` is written ``{"$ref": [key, fact]}``."""
    return {field.name: _to_plain(getattr(command, field.name)) for field in dataclasses.fields(command)}


def _to_plain(value: Any) -> Any:
    if isinstance(value, Ref):
        return {"$ref": [value.key, value.fact]}
    if isinstance(value, Record):
        return {"entity": value.entity, "id": _to_plain(value.id)}
    if isinstance(value, tuple):
        return [_to_plain(item) for item in value]
    return value


def from_json(kind: str, document: dict[str, Any]) -> AnyCommand:
    """The command back from the outbox."""
    values = dict(document)
    for name in ("record",):
        if isinstance(values.get(name), dict):
            values[name] = Record(values[name]["entity"], _restore_ref(values[name]["id"]))
    for name in ("contact",):
        if name in values:
            values[name] = _restore_ref(values[name])
    for name in ("users",):
        if name in values:
            values[name] = tuple(values[name])
    if "fields" in values:
        values["fields"] = tuple((key, value) for key, value in values["fields"])
    return KINDS[kind](**values)


def _restore_ref(value: Any) -> Any:
    if isinstance(value, dict) and "$ref" in value:
        key, fact = value["$ref"]
        return Ref(key, fact)
    return value
