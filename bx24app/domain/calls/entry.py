"""The entry: all legs of one conversation on one PBX, as its events tell it. `entry_assembly.assemble_entry` builds it.

All times are epoch seconds of the PBX's clock.
"""

from __future__ import annotations

from dataclasses import dataclass

from bx24app.domain import phone
from bx24app.domain.bounds import within_a_day
from bx24app.domain.calls.events import CallEnded, CallTransferred, Direction, LegEnded, LegEvent, Party
from bx24app.domain.calls.recording_facts import RecordingFacts

_MAX_LEG_COUNTER = 1000
"""Mango counts the notifications of a leg from 1. A counter above this limit is not Mango's."""


@dataclass(frozen=True, slots=True)
class Talk:
    """A time during which `employee` talked with the client."""

    start: int
    end: int | None
    """None: still talking."""
    employee: Party
    leg: str


@dataclass(frozen=True, slots=True)
class Ring:
    """An employee's phone rang: for the client, or for a colleague who consults."""

    at: int
    employee: Party
    leg: str
    is_for_client: bool
    is_active: bool
    """Still ringing."""


@dataclass(frozen=True, slots=True)
class Leg:
    """One connection of the entry with its steps in order; there is at least one."""

    id: str
    leg_kind: str
    steps: tuple[LegEvent, ...]
    has_ended: bool

    @property
    def first_step(self) -> LegEvent:
        return self.steps[0]

    @property
    def last_step(self) -> LegEvent:
        return self.steps[-1]

    @property
    def has_gap(self) -> bool:
        """A notification of this leg is missing, by the PBX's own counter. The dialect `events` has no counter."""
        seqs = {step.seq for step in self.steps if step.seq > 0}
        return bool(seqs) and max(seqs) < _MAX_LEG_COUNTER and len(seqs) < max(seqs)

    @property
    def is_callback_start(self) -> bool:
        """The first leg of a callback: the employee's phone rings, and the PBX names the client as the caller."""
        first = self.first_step
        return bool(first.command_id or first.callback_initiator) and first.taken_from is None


@dataclass(frozen=True, slots=True)
class CallEntry:
    """One conversation on one PBX."""

    direction: Direction
    legs: tuple[Leg, ...]
    end_event: CallEnded | None
    """The summary, or what stands in for it; None while the call goes on."""
    transfers: tuple[CallTransferred, ...]
    recordings: tuple[RecordingFacts, ...]
    command_results: dict[str, int]
    """Id of a command to Mango -> code of its result."""
    talks: tuple[Talk, ...]
    """In the order in which they began."""
    rings: tuple[Ring, ...]
    """In the order in which they began."""
    raw_client: str | None
    """The client's number as the PBX wrote it; None: anonymous, or not known yet."""
    line: str | None
    """The line as the PBX names it."""
    started_at: int
    command_id: str | None
    """The command to Mango that began the call, ours or another's."""

    @property
    def client_number(self) -> str | None:
        """E.164, or a short number as it is; None: anonymous."""
        return phone.number_to_tell(self.raw_client)

    @property
    def all_legs_ended(self) -> bool:
        return all(leg.has_ended for leg in self.legs)

    @property
    def talk_at(self) -> int | None:
        """When the talk with the client began: by the summary, or by the legs if there is none."""
        if self.end_event is not None:
            return self.end_event.talk_at or None
        return min((talk.start for talk in self.talks), default=None)

    @property
    def ended_at(self) -> int | None:
        """When the call ended: by the summary, or with its last leg; None while it goes on."""
        if self.end_event is not None:
            return self.end_event.ended_at
        if not self.legs or not self.all_legs_ended:
            return None
        return max(leg.last_step.at for leg in self.legs)

    @property
    def talk_seconds(self) -> int:
        """From the begin of the talk to the end of the call, a day at most; without a summary, to the end of the last
        talk."""
        if self.talk_at is None:
            return 0
        if self.end_event is not None:
            return within_a_day(self.end_event.ended_at - self.talk_at)
        ends = [talk.end for talk in self.talks if talk.end is not None]
        return within_a_day(max(ends) - self.talk_at) if ends else 0

    @property
    def end_reason(self) -> int:
        """The PBX's code of the end; 0: not known."""
        reason = self.end_event.reason if self.end_event is not None else 0
        if reason and self.end_event is not None and self.end_event.source == "summary":
            return reason
        # The statistics give the reason of their last leg alone, and know no legs for menus: all legs together are more
        # exact. Of
        # legs that ended in the same second the group's says what happened to the caller, an operator's only what that
        # phone did.
        ends = [step for leg in reversed(self.legs) if isinstance(step := leg.last_step, LegEnded) and step.reason]
        return max(ends, key=lambda step: (step.at, step.leg_kind == "queue")).reason if ends else reason

    @property
    def is_callback(self) -> bool:
        return any(leg.is_callback_start for leg in self.legs)
