"""What happened, read from a *set* of events: legs, talks with the client, rings, recordings.

Nothing here depends on the order of arrival or on repeats: the events of a leg are sorted by the PBX's own counter, legs by
their first moment. So a notification that comes twice or late needs no code of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from bx24app.domain import phone
from bx24app.domain.calls.events import (
    NOBODY,
    CallEnded,
    CallTransferred,
    CommandResult,
    Direction,
    LegAnswered,
    LegEnded,
    LegEvent,
    LegRinging,
    Party,
    PbxEvent,
    RecordingEvent,
)
from bx24app.domain.calls.recording_facts import RecordingFacts, collect_recordings

_MAX_LEG_COUNTER = 1000
"""Counters above this are not Mango's own, which counts the notifications of a leg from 1."""

EmployeeLookup = Callable[[Party], Party | None]
"""Tells whether a party is an employee (by extension, or by a mobile of the mapping) and under which extension."""


@dataclass(frozen=True, slots=True)
class Talk:
    """A stretch in which `employee` talked with the client."""

    start: int
    end: int | None
    """None: still talking."""
    employee: Party
    leg: str


@dataclass(frozen=True, slots=True)
class Ring:
    """An employee's telephone rang (with the client behind it, or for a consultation)."""

    at: int
    employee: Party
    leg: str
    is_for_client: bool
    is_active: bool
    """Still ringing."""


@dataclass(frozen=True, slots=True)
class Leg:
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
        """Is a notification of this leg still on its way, by the PBX's own count? (The short dialect does not count.)"""
        seqs = {step.seq for step in self.steps if step.seq > 0}
        return bool(seqs) and max(seqs) < _MAX_LEG_COUNTER and len(seqs) < max(seqs)

    @property
    def is_callback_start(self) -> bool:
        """The first leg of a callback: the employee is rung, labelled as if the client were calling."""
        return bool(self.first_step.command_id or self.first_step.callback_initiator) and self.first_step.taken_from is None


@dataclass(frozen=True, slots=True)
class CallEntry:
    """One communication as the PBX tells it."""

    direction: Direction
    legs: tuple[Leg, ...]
    end_event: CallEnded | None
    transfers: tuple[CallTransferred, ...]
    recordings: tuple[RecordingFacts, ...]
    command_results: dict[str, int]
    talks: tuple[Talk, ...]
    rings: tuple[Ring, ...]
    raw_client: str | None
    """The client's number as the PBX wrote it; None: anonymous (or not said yet)."""
    line: str | None
    started_at: int
    command_id: str | None

    @property
    def all_legs_ended(self) -> bool:
        """Has every leg seen ended?"""
        return all(leg.has_ended for leg in self.legs)

    @property
    def talk_at(self) -> int | None:
        """When the talk with the client began: the summary's word, else the legs'."""
        if self.end_event is not None:
            return self.end_event.talk_at or None
        return min((talk.start for talk in self.talks), default=None)

    @property
    def ended_at(self) -> int | None:
        if self.end_event is not None:
            return self.end_event.ended_at
        if not self.legs or not self.all_legs_ended:
            return None
        return max(leg.last_step.at for leg in self.legs)

    @property
    def talk_seconds(self) -> int:
        """Summary's end minus talk; without a summary, what the legs show."""
        if self.talk_at is None:
            return 0
        if self.end_event is not None:
            return max(0, self.end_event.ended_at - self.talk_at)
        ends = [talk.end for talk in self.talks if talk.end is not None]
        return max(0, max(ends) - self.talk_at) if ends else 0

    @property
    def end_reason(self) -> int:
        """The PBX's code of the end; 0: not known."""
        told = self.end_event.reason if self.end_event is not None else 0
        if told and self.end_event is not None and self.end_event.source == "summary":
            return told
        # Statistics say it of their last leg only, and menus are no legs there: the legs together know better. Of those that
        # ended in the same second the group's says what became of the caller, an operator's only what that telephone did.
        ended = [leg.last_step for leg in reversed(self.legs) if isinstance(leg.last_step, LegEnded) and leg.last_step.reason]
        return max(ended, key=lambda step: (step.at, step.leg_kind == "queue")).reason if ended else told

    @property
    def is_callback(self) -> bool:
        return any(leg.is_callback_start for leg in self.legs)


def assemble_entry(events: Iterable[PbxEvent], employee: EmployeeLookup) -> CallEntry | None:
    """The entry that these events tell of; None where they tell of none (only results of commands, say)."""
    unique = dict.fromkeys(events)
    legs = _group_legs(event for event in unique if isinstance(event, LegEvent))
    ends = [event for event in unique if isinstance(event, CallEnded)]
    ended = min(ends, key=lambda end: (end.source != "summary", end.at), default=None)
    recorded = [event for event in unique if isinstance(event, RecordingEvent)]
    if not legs and ended is None and not recorded:
        return None
    direction = ended.direction if ended is not None else _guess_direction(legs, employee)
    employee = _exclude_sip_guest(legs, direction, employee)
    talks, rings = _find_talks(legs, direction, employee), _find_rings(legs, direction, employee)
    moments = [leg.first_step.at for leg in legs] + ([ended.started_at] if ended else [])
    moments = moments or [event.at for event in recorded]
    return CallEntry(
        direction=direction,
        legs=legs,
        end_event=ended,
        transfers=tuple(sorted((e for e in unique if isinstance(e, CallTransferred)), key=lambda e: e.at)),
        recordings=collect_recordings(recorded),
        command_results={event.command_id: event.code for event in unique if isinstance(event, CommandResult)},
        talks=talks,
        rings=rings,
        raw_client=_find_client(legs, ended, direction, employee),
        line=_find_line(legs, ended),
        started_at=min(moments),
        command_id=next((leg.first_step.command_id for leg in legs if leg.first_step.command_id), None),
    )


def _group_legs(events: Iterable[LegEvent]) -> tuple[Leg, ...]:
    grouped: dict[str, list[LegEvent]] = {}
    for event in events:
        grouped.setdefault(event.leg, []).append(event)
    legs = []
    for name, steps in grouped.items():
        steps = _order_steps(steps)
        over = any(isinstance(step, LegEnded) for step in steps)
        if over:  # terminal: whatever carries a higher counter by mistake cannot reopen the leg
            cut = max(index for index, step in enumerate(steps) if isinstance(step, LegEnded))
            steps = steps[: cut + 1]
        legs.append(Leg(name, steps[0].leg_kind, tuple(steps), over))
    return tuple(sorted(legs, key=lambda leg: (leg.first_step.at, leg.first_step.taken_from is not None, leg.id)))


def _order_steps(steps: list[LegEvent]) -> list[LegEvent]:
    """By the PBX's counter; what carries none (0 or less, from statistics) is placed among the counted by its time."""
    ordered = sorted((s for s in steps if s.seq > 0), key=lambda step: (step.seq, step.at, isinstance(step, LegEnded)))
    for step in sorted((s for s in steps if s.seq <= 0), key=lambda s: (s.at, not isinstance(s, LegRinging))):
        later = (i for i, s in enumerate(ordered) if (s.at, isinstance(s, LegEnded)) > (step.at, False))
        ordered.insert(next(later, len(ordered)), step)
    return ordered


def _guess_direction(legs: tuple[Leg, ...], employee: EmployeeLookup) -> Direction:
    """Mango's events carry no direction; the summary corrects this at the end (reference, 3.1)."""
    if not legs:
        return "in"
    if any(leg.first_step.callback_initiator or leg.is_callback_start for leg in legs):
        return "out"
    first = _defining_step(legs, employee)
    caller, callee = employee(first.caller), employee(first.callee)
    if first.leg_kind != "person":
        return "in"
    if caller and callee and first.line is None:
        return "internal"
    if first.caller.extension or (caller and not callee and first.callee.number):
        return "out"
    return "in"


def _exclude_sip_guest(legs: tuple[Leg, ...], direction: Direction, employee: EmployeeLookup) -> EmployeeLookup:
    """Who calls in from a bare ``sip:`` address is no device of ours: Mango names the extension of those it knows."""
    guest = next((leg.first_step.caller for leg in legs if leg.first_step.taken_from is None), NOBODY)
    taken = employee(guest)
    if direction != "in" or taken is None or taken.extension is not None:
        return employee
    return lambda party: None if party == guest else employee(party)


def _defining_step(legs: tuple[Leg, ...], employee: EmployeeLookup) -> LegEvent:
    """The step that says best who called whom: of a leg that was taken from no other; where none was seen yet, the first with the
    client on it (two colleagues who consult would look like a call from one to the other)."""
    for leg in legs:
        if leg.first_step.taken_from is None:
            return leg.first_step
    steps = (step for leg in legs for step in leg.steps)
    with_client = (
        step for step in steps if step.leg_kind != "person" or bool(employee(step.caller)) != bool(employee(step.callee))
    )
    return next(with_client, legs[0].first_step)


def _identify_sides(step: LegEvent, direction: Direction, employee: EmployeeLookup) -> tuple[Party | None, bool]:
    """(the employee of this step, is the client the other side?). None: nobody of ours is on it (IVR, queue)."""
    if step.leg_kind != "person":
        return None, False
    caller, callee = employee(step.caller), employee(step.callee)
    if caller and callee:
        return callee, False
    if callee:
        return callee, True
    if caller:
        return caller, True
    if direction == "in" and step.callee != NOBODY:
        return step.callee, True  # a person whom the mapping does not know, such as a forwarding to some mobile
    return None, False


def _find_talks(legs: tuple[Leg, ...], direction: Direction, employee: EmployeeLookup) -> tuple[Talk, ...]:
    talks: list[Talk] = []
    for leg in legs:
        if leg.is_callback_start and direction != "internal":
            continue  # the employee picked up, the client has not been dialled yet
        running: Talk | None = None
        for step in leg.steps:
            if isinstance(step, LegAnswered):
                who, with_client = _identify_sides(step, direction, employee)
                if running is not None:
                    if with_client and who == running.employee:
                        continue  # back from hold
                    talks.append(replace(running, end=step.at))
                    running = None
                if who is not None and with_client:
                    running = Talk(step.at, None, who, leg.id)
            elif isinstance(step, LegEnded) and running is not None:
                talks.append(replace(running, end=step.at))
                running = None
        if running is not None:
            talks.append(running)
    return tuple(sorted(talks, key=lambda talk: (talk.start, talk.leg)))


def _find_rings(legs: tuple[Leg, ...], direction: Direction, employee: EmployeeLookup) -> tuple[Ring, ...]:
    rings: dict[tuple[str, Party], Ring] = {}
    for leg in legs:
        for index, step in enumerate(leg.steps):
            if not isinstance(step, LegRinging | LegAnswered):
                continue
            who, with_client = _identify_sides(step, direction, employee)
            if who is None:
                continue
            rest = leg.steps[index + 1 :]
            active = isinstance(step, LegRinging) and not any(isinstance(s, LegAnswered | LegEnded) for s in rest)
            known = rings.get((leg.id, who))
            if known is None:
                rings[leg.id, who] = Ring(step.at, who, leg.id, with_client, active)
            else:
                rings[leg.id, who] = replace(known, is_for_client=known.is_for_client or with_client, is_active=active)
    return tuple(sorted(rings.values(), key=lambda ring: (ring.at, ring.employee.extension or "", ring.leg)))


def _find_client(legs: tuple[Leg, ...], ended: CallEnded | None, direction: Direction, employee: EmployeeLookup) -> str | None:
    if direction == "internal":
        return None
    parties: list[Party] = []
    if ended is not None:
        parties.append(ended.caller if direction == "in" else ended.callee)
    for leg in legs:
        for step in leg.steps:
            outward = direction == "out" and not leg.is_callback_start and employee(step.caller) is not None
            parties.append(step.callee if outward else step.caller)
    for party in parties:
        if party.number and employee(party) is None and phone.normalise(party.number):
            return party.number
    return None


def _find_line(legs: tuple[Leg, ...], ended: CallEnded | None) -> str | None:
    if ended is not None and ended.line:
        return ended.line
    return next((step.line for leg in legs for step in leg.steps if step.line), None)
