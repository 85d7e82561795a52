"""Commands: what the fold may decide to send to Bitrix24 or Mango for one call.

The fold adds commands to the ledger, the outbox stores and sends them (`bitrix24.commands` builds the requests). A
command has a key that is unique and stable within its call, so the same decision taken twice is one delivery. Class and
field names are stored in the database and never change.

A value that only the portal knows, such as the CALL_ID or the id of a record that an earlier command creates, is a
`Ref` to the answer of that command. It is filled in when the request is built, or by Bitrix24 itself inside a batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Ref:
    """The value `fact` in the answer to the command `key` of the same call."""

    key: str
    fact: str


@dataclass(frozen=True, slots=True)
class Record:
    """A CRM record. `entity` is lead, deal, contact, company, or the number of a smart process."""

    entity: str
    id: int | Ref


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What all commands have."""

    key: str
    part: int = 1
    """1: the portal call of the call itself; 2, 3 …: the portal call that carries a further recording."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Register(Command):
    """telephony.externalCall.register. A repeat with the same values answers with the same CALL_ID, or leaves a second
    call that is never finished."""

    user_id: int
    number: str
    type: int
    """1 outgoing, 2 incoming, 3 incoming redirected, 4 callback."""
    started_at: int
    line: str | None
    external_id: str
    create: bool = False
    """CRM_CREATE: the portal creates the lead itself."""
    show: bool = False
    """SHOW: the card opens on the screen of `user_id`."""
    source: str = "CALL"
    record: Record | None = None
    """The CRM record that the portal named for a form callback, or that a further recording belongs to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShowCard(Command):
    """telephony.externalCall.show. A repeat changes nothing."""

    users: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class HideCard(Command):
    """telephony.externalCall.hide. A repeat changes nothing."""

    users: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateRecord(Command):
    """crm.item.add. Not idempotent: before a repeat the record is looked up by its origin."""

    entity: str
    responsible: int
    title: str
    origin: str
    """originId. Together with originatorId `bx24app` it says which call and command created the record."""
    number: str | None = None
    """The client's phone number, for leads and contacts."""
    source: str = "CALL"
    contact: int | Ref | None = None
    company: int | None = None
    lead: int | None = None
    """The client's lead, if the CRM has neither a contact nor a company of theirs."""
    category_id: int | None = None
    stage_id: str | None = None
    fields: tuple[tuple[str, Any], ...] = ()
    """Further fields that a rule sets: (name, value)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finish(Command):
    """telephony.externalCall.finish. Not idempotent: before a repeat the portal's call statistics are asked whether it
    was carried out."""

    user_id: int
    seconds: int
    """DURATION: of the talk."""
    status: str
    """STATUS_CODE: 200 answered, 304 missed, else a SIP code."""
    reason: str = ""
    """FAILED_REASON: why the call failed, in the portal's language."""
    number: str = ""
    """Not sent: it identifies the row of the statistics after a lost answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reassign(Command):
    """crm.item.update assignedById: the record gets another responsible. A repeat changes nothing."""

    record: Record
    user_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Bind(Command):
    """crm.activity.binding.add: the activity of the call, or a to-do, also hangs on `record`. The answer "already
    bound" counts as done."""

    record: Record
    todo: str | None = None
    """Key of the AddTodo; None: the activity of the call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AddTodo(Command):
    """crm.activity.todo.add. Not idempotent: before a repeat the to-do is looked up by its title and deadline."""

    record: Record
    responsible: int
    title: str
    deadline_at: int
    """Epoch seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetitleTodo(Command):
    """crm.activity.update: a further missed call of the client is counted in the to-do of an earlier one. A repeat
    changes nothing."""

    record: Record
    activity_id: int
    title: str
    deadline_at: int
    misses: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AddComment(Command):
    """crm.timeline.comment.add. Not idempotent: before a repeat the comment is looked up by its text."""

    record: Record
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CloseTodo(Command):
    """crm.activity.update COMPLETED=Y of a to-do that an earlier call added."""

    activity_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SetActivityUser(Command):
    """crm.activity.update RESPONSIBLE_ID: corrects the activity if the talker becomes known only after Finish, which is
    never repeated."""

    user_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadClient(Command):
    """The CRM records of a phone number with their responsibles.

    Sent in one batch with Finish, so that the dry run knows them later, or before a rule creates a record.
    """

    record: Record | None = None
    number: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadDeals(Command):
    """crm.item.list: the client's open deals. Sent in one batch with Finish, so that the dry run knows them later."""

    record: Record


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadOpen(Command):
    """crm.item.list: the open records of one entity that the client already has, so that a rule creates no second one.
    """

    entity: str
    record: Record
    category_id: int | None = None
    final_stages: tuple[str, ...] = ()
    """Of a smart process: its stages that are won or lost. Leads and deals have a field for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadDay(Command):
    """timeman.status: whether this user's working day is open."""

    user_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadTodo(Command):
    """crm.activity.get: whether a to-do that an earlier call added is still open."""

    activity_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Notify(Command):
    """im.notify.system.add: a message to one user."""

    user_id: int
    text: str
    tag: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dial(Command):
    """commands/callback or callback_group to Mango. Sent at most once: Mango would dial a second time."""

    command_id: str
    """Our id; the legs of the callback and its result carry it."""
    to_number: str
    extension: str | None = None
    """Rings first; None: `group` rings first."""
    group: str | None = None
    from_number: str | None = None
    """The phone to ring at that employee instead of the default one: a mobile."""
    line: str | None = None
    """The line whose number the client sees."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route(Command):
    """commands/route to Mango: takes a waiting leg to an extension. Sent at most once."""

    command_id: str
    leg: str
    extension: str


MANGO_KINDS = ("Dial", "Route")
"""Kinds that are sent to Mango, by `calls.click_to_call`, at most once."""

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
