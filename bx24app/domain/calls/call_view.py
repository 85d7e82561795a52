"""One call with all that decides about it: what the PBX told, the policy, what the portal was told, and when it is now."""

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
"""How long a summary waits for legs that it names or that have not ended (contract, section 7)."""


@dataclass(frozen=True, slots=True)
class CallClock:
    """Arrival times, ours (epoch seconds): `now`, when the last notification came, when the summary came."""

    now: float
    last_received_at: float
    summary_received_at: float | None = None


@dataclass(frozen=True, slots=True)
class OpenTodo:
    """A to-do that an earlier missed call of the same client made."""

    activity_id: int | None
    """None: it is on its way to the portal."""
    record: Record
    title: str
    """Without the count."""
    deadline_at: int
    misses: int


@dataclass(frozen=True, slots=True)
class FoldContext:
    """What is known of a call besides its notifications."""

    entry_id: str
    pick: int | None = None
    """Its place in the line's round robin, once drawn."""
    is_form_callback: bool = False
    click_user_id: int | None = None
    """Who clicked; told in words when the call fails."""
    callback_record: Record | None = None
    """The CRM record that the portal named when it asked for a callback."""
    requested_line: str | None = None
    """The line that the portal asked for, as the PBX names it; of a click or a form callback."""
    is_quiet: bool = False
    """No card: the call is told late (reconciliation, back-fill)."""
    recording_parts: dict[str, int] = field(default_factory=dict)
    """recording_id -> part, of recordings that already have their place."""
    continued_call: ContinuedCall | None = None
    """The entry of another PBX that this one continues."""
    handed_to: int | None = None
    """The user to whom an entry that continues this one took the client."""
    has_linked_record: bool = False
    """Such an entry was heard first and has made the record."""
    chosen_rule: str | None = None
    """The rule that an earlier fold chose for this call; empty: none matched; None: not decided yet."""
    previous_call_at: float | None = None
    """When the same client's call before this one began (epoch; minus infinity: none); None: nobody asked."""
    day_statuses: dict[int, str] = field(default_factory=dict)
    """User -> TIMEMAN_STATUS, told less than a minute ago."""
    open_todos: tuple[OpenTodo, ...] = ()
    """To-dos of this client's earlier misses that nobody has done yet, as far as we know."""
    has_parallel_call: bool = False
    """Did another call of the client go on beside this one, or just before? It may have made the client known meanwhile."""
    may_create_records: bool = True
    """False: told so late that it makes no records (back-fill)."""
    may_notify: bool = True
    """False: told so late that it makes no to-dos and no notices (back-fill)."""


@dataclass(frozen=True, slots=True)
class CallView:
    """One call with all that decides about it; passed to the parts of the decision."""

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
        """The line as the PBX names it. The PBX's first line stands in for a missing one: some dialects may omit the line, and Mango names
        the line of an outgoing call only when it is answered, while the call is registered when it rings."""
        if self.entry.line or self.entry.direction == "internal":
            return self.entry.line
        if self.context.requested_line:
            return self.context.requested_line
        guess = self.entry.direction == "out" or any(traits.may_omit_line for traits in self.policy.pbx.traits)
        return self.policy.pbx.lines[0].number if guess and self.policy.pbx.lines else None

    @property
    def client_number(self) -> str | None:
        """E.164; None: anonymous."""
        return phone.normalise(self.entry.raw_client)

    @property
    def phone_number(self) -> str:
        """PHONE_NUMBER."""
        return self.client_number or phone.PLACEHOLDER

    @property
    def direction(self) -> Literal["in", "out", "internal", "callback"]:
        return "callback" if self.context.is_form_callback else self.entry.direction

    @property
    def external_id(self) -> str:
        return make_external_id(self.policy.pbx.key, self.context.entry_id)

    @property
    def has_rung(self) -> bool:
        """Did anybody ring for the client? A colleague who rings for a consultation, or a recording, told before anything else,
        says neither who the client is nor who called whom."""
        return any(ring.is_for_client for ring in self.entry.rings)

    @property
    def is_ignored(self) -> bool:
        """Nothing of it goes to the portal: internal, or anonymous where the settings skip those."""
        if self.entry.direction == "internal":
            return True
        return self.client_number is None and self.policy.calls.hidden_number == "skip"


@dataclass(frozen=True, slots=True)
class Outcome:
    """`user` is the talker (finish's USER_ID), `responsible` gets the CRM records. Both are final once `complete`."""

    is_complete: bool
    due_at: float | None
    is_answered: bool
    result: Literal["answered", "missed", "failed"] | None
    user_id: int
    responsible_id: int
    transferred_to: int | None
    """The mapped user to whom a completed transfer handed the client."""


def make_external_id(pbx_key: str, entry_id: str) -> str:
    """EXTERNAL_CALL_ID: `<pbx key>:<entry_id>`, at most 64 characters (then a digest takes the entry's place)."""
    plain = f"{pbx_key}:{entry_id}"
    if len(plain) <= 64:
        return plain
    digest = hashlib.sha256(entry_id.encode()).hexdigest()
    return f"{pbx_key}:{digest}"[:64]
