"""One call with all that decides about it: what the PBX told, the policy, what the portal was told, and when it is now."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Literal

from bx24app.domain import phone
from bx24app.domain.calls.commands import Record
from bx24app.domain.calls.entry import Entry
from bx24app.domain.calls.ledger import Ledger
from bx24app.domain.calls.linked_calls import Continued
from bx24app.domain.calls.policy import Policy
from bx24app.domain.settings import Line

SETTLE_SECONDS = 10
"""How long a summary waits for legs that it names or that have not ended (contract, section 7)."""


@dataclass(frozen=True, slots=True)
class Clock:
    """Arrival times, ours (epoch seconds): `now`, when the last notification came, when the summary came."""

    now: float
    heard: float
    heard_end: float | None = None


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
class Known:
    """What is known of a call besides its notifications."""

    entry_id: str
    pick: int | None = None
    """Its place in the line's round robin, once drawn."""
    form_callback: bool = False
    click_user: int | None = None
    """Who clicked; told in words when the call fails."""
    record: Record | None = None
    """The CRM record that the portal named when it asked for a callback."""
    line: str | None = None
    """The line that the portal asked for, as the PBX names it; of a click or a form callback."""
    quiet: bool = False
    """No card: the call is told late (reconciliation, back-fill)."""
    parts: dict[str, int] = field(default_factory=dict)
    """recording_id -> part, of recordings that already have their place."""
    continues: Continued | None = None
    """The entry of another PBX that this one continues."""
    handed_to: int | None = None
    """The user to whom an entry that continues this one took the client."""
    made_later: bool = False
    """Such an entry was heard first and has made the record."""
    chosen: str | None = None
    """The rule that an earlier fold chose for this call; empty: none matched; None: not decided yet."""
    previous: float | None = None
    """When the same client's call before this one began (epoch; minus infinity: none); None: nobody asked."""
    days: dict[int, str] = field(default_factory=dict)
    """User -> TIMEMAN_STATUS, told less than a minute ago."""
    todos: tuple[OpenTodo, ...] = ()
    """To-dos of this client's earlier misses that nobody has done yet, as far as we know."""
    crowded: bool = False
    """Did another call of the client go on beside this one, or just before? It may have made the client known meanwhile."""
    makes: bool = True
    """False: told so late that it makes no records (back-fill)."""
    tells: bool = True
    """False: told so late that it makes no to-dos and no notices (back-fill)."""


@dataclass(frozen=True, slots=True)
class View:
    """One call with all that decides about it; passed to the parts of the decision."""

    entry: Entry
    policy: Policy
    ledger: Ledger
    clock: Clock
    known: Known

    @property
    def line(self) -> Line | None:
        return self.policy.line(self.raw_line)

    @property
    def raw_line(self) -> str | None:
        """The line as the PBX names it. The PBX's first line stands in where none is told: the short dialect may leave it out,
        and Mango names the line of an outgoing call only when it is answered, while register leaves at the ring."""
        if self.entry.line or self.entry.direction == "internal":
            return self.entry.line
        if self.known.line:
            return self.known.line
        guess = self.entry.direction == "out" or "events" in self.policy.pbx.dialects
        return self.policy.pbx.lines[0].number if guess and self.policy.pbx.lines else None

    @property
    def client(self) -> str | None:
        """E.164; None: anonymous."""
        return phone.normal(self.entry.client)

    @property
    def number(self) -> str:
        """PHONE_NUMBER."""
        return self.client or phone.PLACEHOLDER

    @property
    def direction(self) -> Literal["in", "out", "internal", "callback"]:
        return "callback" if self.known.form_callback else self.entry.direction

    @property
    def external_id(self) -> str:
        return external_id(self.policy.pbx.key, self.known.entry_id)

    @property
    def reached(self) -> bool:
        """Did anybody ring for the client? A colleague who rings for a consultation, or a recording, told before anything else,
        says neither who the client is nor who called whom."""
        return any(ring.for_client for ring in self.entry.rings)

    @property
    def silent(self) -> bool:
        """Nothing of it goes to the portal: internal, or anonymous where the settings skip those."""
        if self.entry.direction == "internal":
            return True
        return self.client is None and self.policy.calls.hidden_number == "skip"


@dataclass(frozen=True, slots=True)
class End:
    """`user` is the talker (finish's USER_ID), `responsible` gets the CRM records. Both are final once `complete`."""

    complete: bool
    due: float | None
    answered: bool
    outcome: Literal["answered", "missed", "failed"] | None
    user: int
    responsible: int
    transferred_to: int | None
    """The mapped user to whom a completed transfer handed the client."""


def external_id(pbx_key: str, entry_id: str) -> str:
    """EXTERNAL_CALL_ID: `<pbx key>:<entry_id>`, at most 64 characters (then a digest takes the entry's place)."""
    plain = f"{pbx_key}:{entry_id}"
    if len(plain) <= 64:
        return plain
    digest = hashlib.sha256(entry_id.encode()).hexdigest()
    return f"{pbx_key}:{digest}"[:64]
