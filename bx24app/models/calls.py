"""Tables of the calls: inbox, journal, outbox, recordings."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any, cast

from sqlalchemy import ForeignKey, Index, Text, UniqueConstraint, false, literal_column, text
from sqlalchemy.orm import Mapped, mapped_column

from bx24app.models.base import Base, BigId, Document, Moment, utcnow
from bx24app.models.call_facts import CallFacts

if TYPE_CHECKING:
    from bx24app.domain.calls.events import PbxEvent


def partial_index(name: str, *columns: str, where: str) -> Index:
    """An index of the rows that meet `where`, on both databases."""
    return Index(name, *columns, postgresql_where=text(where), sqlite_where=text(where))


class Notification(Base):
    """The inbox: one notification of a PBX, or one event of the portal (`pbx_id` 0), as it came. Stored before the 200.

    `dedup_key` is unique per sender: a repeated notification is not stored again, so nothing behind this table sees it.
    """

    __tablename__ = "notification"
    __table_args__ = (
        UniqueConstraint("portal_id", "pbx_id", "dedup_key"),
        Index("ix_notification_entry", "portal_id", "pbx_id", "entry_id"),
        partial_index("ix_notification_new", "portal_id", "id", where="state = 'new'"),
        Index("ix_notification_received_at", "received_at"),
        partial_index("ix_notification_command", "portal_id", "command_id", where="command_id IS NOT NULL"),
        partial_index("ix_notification_rejected", "portal_id", "id", where="state = 'rejected'"),
    )

    parsed_events = cast("tuple[PbxEvent, ...] | None", None)
    """Not a column: its events, once they have been parsed."""

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    portal_id: Mapped[int]
    pbx_id: Mapped[int]
    """0: from the portal (Bitrix24's events)."""
    dialect: Mapped[str]
    """vpbx, events, statistics, bitrix24."""
    name: Mapped[str]
    """`events/call`, `call_end`, `ONEXTERNALCALLSTART` …"""
    entry_id: Mapped[str | None]
    """The call that it belongs to; None if only `command_id` connects it to a call."""
    command_id: Mapped[str | None]
    """Connects a notification without an entry to its call: the id of our own command, or `uuid:…` of the events
    dialect."""
    dedup_key: Mapped[str]
    body: Mapped[str] = mapped_column(Text)
    """The JSON text as it came, without tokens."""
    state: Mapped[str] = mapped_column(default="new")
    """new, handled, rejected (stored for the journal, never folded)."""
    reason: Mapped[str | None]
    received_at: Mapped[datetime] = mapped_column(Moment, default=utcnow)


def join_extensions(extensions: Iterable[str]) -> str | None:
    """A value of `Call.unmapped`."""
    return ",".join(extensions) or None


def split_extensions(value: str | None) -> list[str]:
    """The extensions of a value of `Call.unmapped`."""
    return [extension for extension in (value or "").split(",") if extension]


PROBLEM_CONDITION = "problem IS NOT NULL OR lost OR state = 'dead'"
"""The condition of the journal's filter "only problems". SQLite uses the index only for a condition of exactly the same
text."""


class Call(Base):
    """The journal: one conversation.

    The columns are the result of the last fold, `facts` is what `CallFacts` says of it.
    """

    __tablename__ = "call"
    __table_args__ = (
        UniqueConstraint("pbx_id", "entry_id"),
        Index("ix_call_portal_started", "portal_id", "started_at", "id"),
        Index("ix_call_portal_client", "portal_id", "client_number", "started_at"),
        Index("ix_call_updated_at", "updated_at"),
        Index("ix_call_pbx_latest", "portal_id", "pbx_key", "started_at", "id"),
        Index("ix_call_line_latest", "portal_id", "line_number", "started_at", "id"),
        partial_index("ix_call_problem", "portal_id", "visible", "started_at", "id", where=PROBLEM_CONDITION),
        partial_index("ix_call_due", "portal_id", "due_at", where="due_at IS NOT NULL"),
        partial_index("ix_call_open", "heard_at", where="state = 'open'"),
        partial_index("ix_call_command", "portal_id", "command_id", where="command_id IS NOT NULL"),
        partial_index("ix_call_bitrix_call", "portal_id", "bitrix_call_id", where="bitrix_call_id IS NOT NULL"),
        partial_index("ix_call_unmapped", "portal_id", "started_at", where="unmapped IS NOT NULL"),
        partial_index("ix_call_unmapped_lately", "started_at", "portal_id", where="unmapped IS NOT NULL"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    portal_id: Mapped[int]
    pbx_id: Mapped[int]
    pbx_key: Mapped[str]
    entry_id: Mapped[str]
    """The PBX's id of the entry; of a click without a leg yet, `click:<command id>`."""
    command_id: Mapped[str | None]
    """The id of our own command to Mango, of a click-to-call or form callback; or `uuid:…` of the events dialect."""
    settings_version_id: Mapped[int | None]
    """The settings in force when the call began."""
    visible: Mapped[bool] = mapped_column(default=True)
    """False: an internal call under `internal_calls: skip`."""
    state: Mapped[str] = mapped_column(default="open")
    """open, finished, dead."""
    direction: Mapped[str] = mapped_column(default="in")
    line_number: Mapped[str | None]
    client_number: Mapped[str | None]
    started_at: Mapped[datetime] = mapped_column(Moment)
    answered_at: Mapped[datetime | None] = mapped_column(Moment)
    ended_at: Mapped[datetime | None] = mapped_column(Moment)
    talk_seconds: Mapped[int] = mapped_column(default=0)
    outcome: Mapped[str | None]
    reason: Mapped[int | None]
    """The PBX's code of why the call ended."""
    user_id: Mapped[int | None]
    users: Mapped[list[int]] = mapped_column(Document, default=list)
    responsible_id: Mapped[int | None]
    bitrix_call_id: Mapped[str | None]
    crm: Mapped[list[dict[str, Any]]] = mapped_column(Document, default=list)
    activity_id: Mapped[int | None]
    continues: Mapped[str | None]
    rule: Mapped[str | None]
    facts: Mapped[dict[str, Any]] = mapped_column(Document, default=dict)
    """JSON of `CallFacts`; see `read_facts` and `write_facts`."""
    unmapped: Mapped[str | None]
    """Extensions that rang or talked and belong to no employee, by `join_extensions`; None: there were none."""
    problem: Mapped[str | None]
    """One sentence for the journal where something went wrong."""
    problem_delivery: Mapped[str | None]
    """Key of the delivery whose refusal is the problem; None: the problem has another cause (`problem_codes`)."""
    lost: Mapped[bool] = mapped_column(default=False, server_default=false())
    """A recording of the call is lost; written by `models.call_index`."""
    due_at: Mapped[datetime | None] = mapped_column(Moment)
    """When the call is folded again by itself; None: only a notification or an answer changes anything."""
    heard_at: Mapped[datetime] = mapped_column(Moment, default=utcnow)
    """When its last notification arrived."""
    updated_at: Mapped[datetime] = mapped_column(Moment, default=utcnow, onupdate=utcnow)

    def read_facts(self) -> CallFacts:
        """The facts as stored, in a new object: changes to it count once `write_facts` has it."""
        return CallFacts.from_json(self.facts)

    def write_facts(self, facts: CallFacts) -> None:
        """Store the facts: the only writer of the column, besides the erasure of a person's number."""
        self.facts = facts.to_json()


class Delivery(Base):
    """The outbox: one command on its way. The row is here before a request leaves, the answer is stored right after.

    `id` is the order within a call. `key` is stable: the same decision made twice is one row.
    """

    __tablename__ = "delivery"
    __table_args__ = (
        UniqueConstraint("call_id", "key"),
        partial_index("ix_delivery_open", "portal_id", "call_id", "id", where="state IN ('waiting', 'sent')"),
        partial_index("ix_delivery_dead", "portal_id", "id", where="state = 'dead'"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    portal_id: Mapped[int]
    call_id: Mapped[int] = mapped_column(ForeignKey("call.id", ondelete="CASCADE"))
    key: Mapped[str]
    kind: Mapped[str]
    """Class name of the command."""
    command: Mapped[dict[str, Any]] = mapped_column(Document)
    state: Mapped[str] = mapped_column(default="waiting")
    """waiting, sent (a request left, its answer is not stored yet), done, dead (refused, see `reason`)."""
    uncertain: Mapped[bool] = mapped_column(default=False)
    """A request left and its answer was lost: a verification comes before a repeat."""
    owner: Mapped[str | None]
    """The worker that sent it last (`infra.leases.worker_name`)."""
    lost_at: Mapped[datetime | None] = mapped_column(Moment)
    """When its worker was found dead before the answer came."""
    attempts: Mapped[int] = mapped_column(default=0)
    due_at: Mapped[datetime | None] = mapped_column(Moment)
    """It leaves no earlier; None: at once."""
    sent_at: Mapped[datetime | None] = mapped_column(Moment)
    done_at: Mapped[datetime | None] = mapped_column(Moment)
    answer: Mapped[dict[str, Any] | None] = mapped_column(Document)
    code: Mapped[str | None]
    reason: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(Moment, default=utcnow)


OPEN_DELIVERY = Delivery.state.in_((literal_column("'waiting'"), literal_column("'sent'")))
"""The condition of the index of open deliveries. As bound parameters its values would hide the index from SQLite, which
would then read the whole table."""


class Recording(Base):
    """One recording of a call, from its first notification to the file in Bitrix24."""

    __tablename__ = "recording"
    __table_args__ = (
        UniqueConstraint("call_id", "recording_id"),
        partial_index("ix_recording_due", "due_at", where="due_at IS NOT NULL"),
        Index("ix_recording_portal_id", "portal_id", "id"),
        partial_index("ix_recording_attached_at", "attached_at", where="attached_at IS NOT NULL"),
        partial_index("ix_recording_lost", "portal_id", "id", where="state = 'lost'"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    portal_id: Mapped[int]
    call_id: Mapped[int] = mapped_column(ForeignKey("call.id", ondelete="CASCADE"))
    recording_id: Mapped[str]
    part: Mapped[int | None]
    """1: attached to the call itself (the last talker's); 2, 3 …: attached to a portal call of its own; None: not
    decided yet."""
    user_id: Mapped[int | None]
    seconds: Mapped[int] = mapped_column(default=0)
    bitrix_call_id: Mapped[str | None]
    state: Mapped[str] = mapped_column(default="waiting")
    """waiting, attached, none (too short, off, by mail only), lost (the plan ended without success)."""
    url: Mapped[str | None] = mapped_column(Text)
    """Only of the events dialect: a link that is valid for 24 hours."""
    noticed_at: Mapped[datetime | None] = mapped_column(Moment)
    """When the notification came that made it fetchable; the retry plan and the lag count from here."""
    tries: Mapped[int] = mapped_column(default=0)
    due_at: Mapped[datetime | None] = mapped_column(Moment)
    """Next try; None: the call is not finished yet, or there is no next try."""
    claimed_at: Mapped[datetime | None] = mapped_column(Moment)
    """Since when a worker has it."""
    owner: Mapped[str | None]
    """That worker (`infra.leases.worker_name`)."""
    attempted: Mapped[bool] = mapped_column(default=False)
    """An upload left and no answer is stored: the portal is asked whether it has the file before it is sent again."""
    file_name: Mapped[str | None]
    file_id: Mapped[int | None]
    attached_at: Mapped[datetime | None] = mapped_column(Moment)
    lag_seconds: Mapped[float | None]
    problem: Mapped[str | None]
    """What the last try met, for people."""
    problem_code: Mapped[str | None]
    """`problem_codes.RecordingProblem`, for the program; None: nothing is decided by this problem."""


class Todo(Base):
    """A to-do that a missed call created: further missed calls of the client are added to it, an answered call closes
    it.
    """

    __tablename__ = "todo"
    __table_args__ = (
        UniqueConstraint("call_id", "key"),
        partial_index("ix_todo_open", "portal_id", "client_number", where="state = 'open'"),
        Index("ix_todo_activity", "portal_id", "activity_id"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    portal_id: Mapped[int]
    client_number: Mapped[str]
    call_id: Mapped[int] = mapped_column(ForeignKey("call.id", ondelete="CASCADE"))
    key: Mapped[str]
    """Key of its command."""
    activity_id: Mapped[int | None]
    """The portal's id; None: it is on its way to the portal."""
    title: Mapped[str]
    entity: Mapped[str]
    entity_id: Mapped[int | None]
    """The CRM record that it is attached to."""
    misses: Mapped[int] = mapped_column(default=1)
    missed_at: Mapped[datetime] = mapped_column(Moment)
    """When the missed call began."""
    deadline_at: Mapped[datetime] = mapped_column(Moment)
    state: Mapped[str] = mapped_column(default="open")
    """open, closed."""
