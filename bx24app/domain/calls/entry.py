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
    Answered,
    CommandResult,
    Direction,
    Ended,
    Event,
    LegEnded,
    LegEvent,
    Party,
    Recorded,
    Ringing,
    Transferred,
)
from bx24app.domain.calls.recording_facts import RecordingFacts, gather

_COUNTED = 1000
"""Counters above this are not Mango's own, which counts the notifications of a leg from 1."""

Employee = Callable[[Party], Party | None]
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
    for_client: bool
    active: bool
    """Still ringing."""


@dataclass(frozen=True, slots=True)
class Leg:
    id: str
    place: str
    steps: tuple[LegEvent, ...]
    ended: bool

    @property
    def first(self) -> LegEvent:
        return self.steps[0]

    @property
    def last(self) -> LegEvent:
        return self.steps[-1]

    @property
    def has_gap(self) -> bool:
        """Is a notification of this leg still on its way, by the PBX's own count? (The short dialect does not count.)"""
        seqs = {step.seq for step in self.steps if step.seq > 0}
        return bool(seqs) and max(seqs) < _COUNTED and len(seqs) < max(seqs)

    @property
    def is_callback_start(self) -> bool:
        """The first leg of a callback: the employee is rung, labelled as if the client were calling."""
        return bool(self.first.command_id or self.first.callback_initiator) and self.first.taken_from is None


@dataclass(frozen=True, slots=True)
class Entry:
    """One communication as the PBX tells it."""

    direction: Direction
    legs: tuple[Leg, ...]
    ended: Ended | None
    transfers: tuple[Transferred, ...]
    recordings: tuple[RecordingFacts, ...]
    results: dict[str, int]
    talks: tuple[Talk, ...]
    rings: tuple[Ring, ...]
    client: str | None
    """The client's number as the PBX wrote it; None: anonymous (or not said yet)."""
    line: str | None
    started_at: int
    command_id: str | None

    @property
    def all_ended(self) -> bool:
        """Has every leg seen ended?"""
        return all(leg.ended for leg in self.legs)

    @property
    def talk_at(self) -> int | None:
        """When the talk with the client began: the summary's word, else the legs'."""
        if self.ended is not None:
            return self.ended.talk_at or None
        return min((talk.start for talk in self.talks), default=None)

    @property
    def ended_at(self) -> int | None:
        if self.ended is not None:
            return self.ended.ended_at
        if not self.legs or not self.all_ended:
            return None
        return max(leg.last.at for leg in self.legs)

    @property
    def talk_seconds(self) -> int:
        """Summary's end minus talk; without a summary, what the legs show."""
        if self.talk_at is None:
            return 0
        if self.ended is not None:
            return max(0, self.ended.ended_at - self.talk_at)
        ends = [talk.end for talk in self.talks if talk.end is not None]
        return max(0, max(ends) - self.talk_at) if ends else 0

    @property
    def reason(self) -> int:
        """The PBX's code of the end; 0: not known."""
        told = self.ended.reason if self.ended is not None else 0
        if told and self.ended is not None and self.ended.source == "summary":
            return told
        # Statistics say it of their last leg only, and menus are no legs there: the legs together know better. Of those that
        # ended in the same second the group's says what became of the caller, an operator's only what that telephone did.
        ended = [leg.last for leg in reversed(self.legs) if isinstance(leg.last, LegEnded) and leg.last.reason]
        return max(ended, key=lambda step: (step.at, step.place == "queue")).reason if ended else told

    @property
    def callback(self) -> bool:
        return any(leg.is_callback_start for leg in self.legs)


def assemble(events: Iterable[Event], employee: Employee) -> Entry | None:
    """The entry that these events tell of; None where they tell of none (only results of commands, say)."""
    unique = dict.fromkeys(events)
    legs = _legs(event for event in unique if isinstance(event, LegEvent))
    ends = [event for event in unique if isinstance(event, Ended)]
    ended = min(ends, key=lambda end: (end.source != "summary", end.at), default=None)
    recorded = [event for event in unique if isinstance(event, Recorded)]
    if not legs and ended is None and not recorded:
        return None
    direction = ended.direction if ended is not None else _direction(legs, employee)
    employee = _but_the_guest(legs, direction, employee)
    talks, rings = _talks(legs, direction, employee), _rings(legs, direction, employee)
    moments = [leg.first.at for leg in legs] + ([ended.started_at] if ended else [])
    moments = moments or [event.at for event in recorded]
    return Entry(
        direction=direction,
        legs=legs,
        ended=ended,
        transfers=tuple(sorted((e for e in unique if isinstance(e, Transferred)), key=lambda e: e.at)),
        recordings=gather(recorded),
        results={event.command_id: event.code for event in unique if isinstance(event, CommandResult)},
        talks=talks,
        rings=rings,
        client=_client(legs, ended, direction, employee),
        line=_line(legs, ended),
        started_at=min(moments),
        command_id=next((leg.first.command_id for leg in legs if leg.first.command_id), None),
    )


def _legs(events: Iterable[LegEvent]) -> tuple[Leg, ...]:
    grouped: dict[str, list[LegEvent]] = {}
    for event in events:
        grouped.setdefault(event.leg, []).append(event)
    legs = []
    for name, steps in grouped.items():
        steps = _ordered(steps)
        over = any(isinstance(step, LegEnded) for step in steps)
        if over:  # terminal: whatever carries a higher counter by mistake cannot reopen the leg
            cut = max(index for index, step in enumerate(steps) if isinstance(step, LegEnded))
            steps = steps[: cut + 1]
        legs.append(Leg(name, steps[0].place, tuple(steps), over))
    return tuple(sorted(legs, key=lambda leg: (leg.first.at, leg.first.taken_from is not None, leg.id)))


def _ordered(steps: list[LegEvent]) -> list[LegEvent]:
    """By the PBX's counter; what carries none (0 or less, from statistics) is placed among the counted by its time."""
    ordered = sorted((s for s in steps if s.seq > 0), key=lambda step: (step.seq, step.at, isinstance(step, LegEnded)))
    for step in sorted((s for s in steps if s.seq <= 0), key=lambda s: (s.at, not isinstance(s, Ringing))):
        later = (i for i, s in enumerate(ordered) if (s.at, isinstance(s, LegEnded)) > (step.at, False))
        ordered.insert(next(later, len(ordered)), step)
    return ordered


def _direction(legs: tuple[Leg, ...], employee: Employee) -> Direction:
    """Mango's events carry no direction; the summary corrects this at the end (reference, 3.1)."""
    if not legs:
        return "in"
    if any(leg.first.callback_initiator or leg.is_callback_start for leg in legs):
        return "out"
    first = _telling(legs, employee)
    caller, callee = employee(first.caller), employee(first.callee)
    if first.place != "person":
        return "in"
    if caller and callee and first.line is None:
        return "internal"
    if first.caller.extension or (caller and not callee and first.callee.number):
        return "out"
    return "in"


def _but_the_guest(legs: tuple[Leg, ...], direction: Direction, employee: Employee) -> Employee:
    """Who calls in from a bare ``sip:`` address is no device of ours: Mango names the extension of those it knows."""
    guest = next((leg.first.caller for leg in legs if leg.first.taken_from is None), NOBODY)
    taken = employee(guest)
    if direction != "in" or taken is None or taken.extension is not None:
        return employee
    return lambda party: None if party == guest else employee(party)


def _telling(legs: tuple[Leg, ...], employee: Employee) -> LegEvent:
    """The step that says best who called whom: of a leg that was taken from no other; where none was seen yet, the first with the
    client on it (two colleagues who consult would look like a call from one to the other)."""
    for leg in legs:
        if leg.first.taken_from is None:
            return leg.first
    steps = (step for leg in legs for step in leg.steps)
    with_client = (
        step for step in steps if step.place != "person" or bool(employee(step.caller)) != bool(employee(step.callee))
    )
    return next(with_client, legs[0].first)


def _sides(step: LegEvent, direction: Direction, employee: Employee) -> tuple[Party | None, bool]:
    """(the employee of this step, is the client the other side?). None: nobody of ours is on it (IVR, queue)."""
    if step.place != "person":
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


def _talks(legs: tuple[Leg, ...], direction: Direction, employee: Employee) -> tuple[Talk, ...]:
    talks: list[Talk] = []
    for leg in legs:
        if leg.is_callback_start and direction != "internal":
            continue  # the employee picked up, the client has not been dialled yet
        running: Talk | None = None
        for step in leg.steps:
            if isinstance(step, Answered):
                who, with_client = _sides(step, direction, employee)
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


def _rings(legs: tuple[Leg, ...], direction: Direction, employee: Employee) -> tuple[Ring, ...]:
    rings: dict[tuple[str, Party], Ring] = {}
    for leg in legs:
        for index, step in enumerate(leg.steps):
            if not isinstance(step, Ringing | Answered):
                continue
            who, with_client = _sides(step, direction, employee)
            if who is None:
                continue
            rest = leg.steps[index + 1 :]
            active = isinstance(step, Ringing) and not any(isinstance(s, Answered | LegEnded) for s in rest)
            known = rings.get((leg.id, who))
            if known is None:
                rings[leg.id, who] = Ring(step.at, who, leg.id, with_client, active)
            else:
                rings[leg.id, who] = replace(known, for_client=known.for_client or with_client, active=active)
    return tuple(sorted(rings.values(), key=lambda ring: (ring.at, ring.employee.extension or "", ring.leg)))


def _client(legs: tuple[Leg, ...], ended: Ended | None, direction: Direction, employee: Employee) -> str | None:
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
        if party.number and employee(party) is None and phone.normal(party.number):
            return party.number
    return None


def _line(legs: tuple[Leg, ...], ended: Ended | None) -> str | None:
    if ended is not None and ended.line:
        return ended.line
    return next((step.line for leg in legs for step in leg.steps if step.line), None)
