"""The call view: everything that decides about one call. `decision.decide_call` builds it and passes it to each part of
the decision."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Literal

from bx24app.domain import phone
from bx24app.domain.calls.commands import Record
from bx24app.domain.calls.entry import CallEntry
from bx24app.domain.calls.ledger import Ledger
from bx24app.domain.calls.linked_calls import ContinuedCall
from bx24app.domain.calls.policy import Policy
from bx24app.domain.settings import LineSettings

SETTLE_SECONDS = 10
"""How long a summary waits for legs that it names, or that have not ended (docs/contract.md, section 7)."""


@dataclass(frozen=True, slots=True)
class CallClock:
    """Epoch seconds of our own clock: now, and when the last notification and the summary arrived."""

    now: float
    last_received_at: float
    summary_received_at: float | None = None


@dataclass(frozen=True, slots=True)
class OpenTodo:
    """An open to-do of an earlier missed call of the same client."""

    activity_id: int | None
    """None: the portal has not answered the command that adds it."""
    record: Record
    title: str
    """As it was added, without the count of misses."""
    deadline_at: int
    misses: int


@dataclass(frozen=True, slots=True)
class FoldContext:
    """What decides about a call besides its events and its ledger. `calls.fold.fold_context` loads it from the tables.
    """

    entry_id: str
    pick: int | None = None
    """The call's turn in the round robin of its line; None: not drawn."""
    is_form_callback: bool = False
    click_user_id: int | None = None
    """The user who clicked in the portal; gets a message if the call fails."""
    callback_record: Record | None = None
    """The CRM record that the portal named with a form callback."""
    requested_line: str | None = None
    """The line of a click or a form callback, as the PBX names it."""
    is_quiet: bool = False
    """No card: the call became known late, by reconciliation or a backfill."""
    recording_parts: dict[str, int] = field(default_factory=dict)
    """Recording id -> part, of recordings that already have one."""
    continued_call: ContinuedCall | None = None
    """The call on another PBX that this one continues."""
    handed_to: int | None = None
    """The user who talked last with the client in the calls that continue this one."""
    has_linked_record: bool = False
    """A call that continues this one became known first and has created the CRM record."""
    chosen_rule: str | None = None
    """The rule that an earlier fold chose; "": none matched; None: not decided yet."""
    previous_call_at: float | None = None
    """When the client's previous call began (epoch seconds; minus infinity: there was none); None: no rule asks for it.
    """
    day_statuses: dict[int, str] = field(default_factory=dict)
    """User -> TIMEMAN_STATUS, as the portal answered less than a minute ago or earlier in this call."""
    open_todos: tuple[OpenTodo, ...] = ()
    """To-dos of the client's earlier missed calls that are still open as far as we know."""
    has_parallel_call: bool = False
    """Another call of the client was under way during this one or just before it, and may have created the client's
    record meanwhile."""
    may_create_records: bool = True
    """False: the call became known so late that it creates no CRM records (backfill)."""
    may_notify: bool = True
    """False: the call became known so late that it adds no to-dos and sends no messages (backfill)."""


@dataclass(frozen=True, slots=True)
class CallView:
    """One call with everything that decides about it. Only the ledger changes: each part of the decision adds its
    commands."""

    entry: CallEntry
    policy: Policy
    ledger: Ledger
    clock: CallClock
    context: FoldContext

    @property
    def line(self) -> LineSettings | None:
        return self.policy.find_line(self.raw_line)

    @property
    def raw_line(self) -> str | None:
        """The line as the PBX names it; the first line of the PBX if the events name none.

        A dialect may leave the line out, and Mango names the line of an outgoing call only when it is answered, but
        Register is sent when the first phone rings.
        """
        if self.entry.line or self.entry.direction == "internal":
            return self.entry.line
        if self.context.requested_line:
            return self.context.requested_line
        guess = self.entry.direction == "out" or any(traits.may_omit_line for traits in self.policy.pbx.traits)
        return self.policy.pbx.lines[0].number if guess and self.policy.pbx.lines else None

    @property
    def client_number(self) -> str | None:
        """E.164, or a short number as it is; None: anonymous."""
        return self.entry.client_number

    @property
    def crm_number(self) -> str | None:
        """The number that the CRM may be asked for and that records get, E.164.

        None: the caller is anonymous, a short number, or an employee on their own mobile, of whom the portal makes no
        lead either.
        """
        number = phone.normalise(self.entry.raw_client)
        return None if number in self.policy.pbx.by_mobile else number

    @property
    def phone_number(self) -> str:
        """PHONE_NUMBER of Bitrix24: the client's number, or a placeholder."""
        return self.client_number or phone.PLACEHOLDER

    @property
    def direction(self) -> Literal["in", "out", "internal", "callback"]:
        return "callback" if self.context.is_form_callback else self.entry.direction

    @property
    def external_id(self) -> str:
        return make_external_id(self.policy.pbx.key, self.context.entry_id)

    @property
    def has_rung(self) -> bool:
        """Whether a phone has rung for the client. If a consultation or a recording becomes known first, it tells
        neither who the client is nor who called whom."""
        return any(ring.is_for_client for ring in self.entry.rings)

    @property
    def is_ignored(self) -> bool:
        """Nothing of the call is sent to the portal: it is internal, or anonymous and the settings skip those."""
        if self.entry.direction == "internal":
            return True
        return self.client_number is None and self.policy.calls.hidden_number == "skip"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the call ended. All fields are final once `is_complete`; before that they are the best guess."""

    is_complete: bool
    """The call is over, and nothing more is to be waited for."""
    due_at: float | None
    """When to decide again without a notification (our clock); None: no such time."""
    is_answered: bool
    result: Literal["answered", "missed", "failed"] | None
    user_id: int
    """The talker, USER_ID of Finish; of a call without a talk, who missed it or tried to reach the client."""
    responsible_id: int
    """Who gets the CRM records."""
    transferred_to: int | None
    """The mapped user to whom a completed transfer handed the client; None: there was no such transfer."""


def make_external_id(pbx_key: str, entry_id: str) -> str:
    """EXTERNAL_CALL_ID: `<pbx key>:<entry id>`; a digest stands for the entry id if there would be more than 64
    characters."""
    plain = f"{pbx_key}:{entry_id}"
    if len(plain) <= 64:
        return plain
    digest = hashlib.sha256(entry_id.encode()).hexdigest()
    return f"{pbx_key}:{digest}"[:64]
