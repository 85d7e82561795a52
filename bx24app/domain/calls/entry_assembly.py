"""Events of a call -> its entry: legs, direction, client, line, rings and talks with the client.

The events are a *set*: neither the order of their arrival nor repeats change the result. The steps of a leg are ordered
by the PBX's own counter, the legs by their first step. So late and repeated notifications need no code of their own
anywhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from bx24app.domain import phone
from bx24app.domain.calls.entry import CallEntry, Leg, Ring, Talk
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
from bx24app.domain.calls.recording_facts import collect_recordings

EmployeeLookup = Callable[[Party], Party | None]
"""A party -> the same employee by extension (found by extension, or by a mobile in the mapping); None: not an employee.
"""


def assemble_entry(
    events: Iterable[PbxEvent], employee: EmployeeLookup, clicked: str | None = None
) -> CallEntry | None:
    """The entry of one call; None if no event belongs to a leg, a recording or an end (only results of commands, for
    example).

    Args:
        clicked: the short number of a click. The portal has registered an outgoing call to it, so a colleague with this
            extension is the client of an outgoing call and not the other side of an internal one.
    """
    unique = dict.fromkeys(events)
    legs = _group_legs(event for event in unique if isinstance(event, LegEvent))
    ends = [event for event in unique if isinstance(event, CallEnded)]
    # A call of several names may have an end for each: the one that knows of a talk says more.
    end = min(ends, key=lambda one: (one.source != "summary", not one.talk_at, one.at), default=None)
    recorded = [event for event in unique if isinstance(event, RecordingEvent)]
    if not legs and end is None and not recorded:
        return None
    direction = end.direction if end is not None else _guess_direction(legs, employee)
    if clicked is not None:
        direction, employee = "out", _exclude_extension(clicked, employee)
    employee = _exclude_client(legs, end, direction, employee)
    moments = [leg.first_step.at for leg in legs] + ([end.started_at] if end else [])
    moments = moments or [event.at for event in recorded]
    return CallEntry(
        direction=direction,
        legs=legs,
        end_event=end,
        transfers=tuple(sorted((e for e in unique if isinstance(e, CallTransferred)), key=lambda e: e.at)),
        recordings=collect_recordings(recorded),
        command_results={event.command_id: event.code for event in unique if isinstance(event, CommandResult)},
        talks=_find_talks(legs, direction, employee),
        rings=_find_rings(legs, direction, employee),
        raw_client=clicked or _find_client(legs, end, direction, employee),
        line=_find_line(legs, end),
        started_at=min(moments),
        command_id=next((leg.first_step.command_id for leg in legs if leg.first_step.command_id), None),
    )


def _group_legs(events: Iterable[LegEvent]) -> tuple[Leg, ...]:
    grouped: dict[str, list[LegEvent]] = {}
    for event in events:
        grouped.setdefault(event.leg, []).append(event)
    legs = []
    for leg_id, steps in grouped.items():
        steps = _order_steps(steps)
        end = max((index for index, step in enumerate(steps) if isinstance(step, LegEnded)), default=None)
        if end is not None:  # a step that carries a higher counter by mistake does not reopen the leg
            steps = steps[: end + 1]
        legs.append(Leg(leg_id, steps[0].leg_kind, tuple(steps), end is not None))
    return tuple(sorted(legs, key=lambda leg: (leg.first_step.at, leg.first_step.taken_from is not None, leg.id)))


def _order_steps(steps: list[LegEvent]) -> list[LegEvent]:
    """Steps by the PBX's counter. Steps of the statistics have none (0 or less): their time puts them among the others.
    """
    ordered = sorted((s for s in steps if s.seq > 0), key=lambda step: (step.seq, step.at, isinstance(step, LegEnded)))
    for step in sorted((s for s in steps if s.seq <= 0), key=lambda s: (s.at, not isinstance(s, LegRinging))):
        later = (i for i, s in enumerate(ordered) if (s.at, isinstance(s, LegEnded)) > (step.at, False))
        ordered.insert(next(later, len(ordered)), step)
    return ordered


def _guess_direction(legs: tuple[Leg, ...], employee: EmployeeLookup) -> Direction:
    """The direction by the legs. Mango's call events do not name it; the summary does, at the end."""
    if not legs:
        return "in"
    if any(leg.first_step.callback_initiator or leg.is_callback_start for leg in legs):
        return "out"
    first = _defining_step(legs, employee)
    caller, callee = employee(first.caller), employee(first.callee)
    if first.leg_kind != "person":
        return "in"
    leaves_pbx = first.callee.extension is None and phone.normalise(first.callee.number) is not None
    if caller and callee and first.line is None and not leaves_pbx:
        return "internal"
    if first.caller.extension or (caller and first.callee.number and (not callee or leaves_pbx)):
        return "out"
    return "in"


def _exclude_client(
    legs: tuple[Leg, ...], end: CallEnded | None, direction: Direction, employee: EmployeeLookup
) -> EmployeeLookup:
    """The far side of a call is its client, even if its number is in the mapping: an employee may call the office from
    their own mobile, or be called on it. A bare ``sip:`` caller is a client too: Mango names the extension of devices
    that it knows."""
    origin = next((leg.first_step for leg in legs if leg.first_step.taken_from is None), end)
    if origin is None or direction == "internal":
        return employee
    client = origin.caller if direction == "in" else origin.callee
    is_device = direction == "out" and phone.normalise(client.number) is None
    is_callback = isinstance(origin, LegEvent) and any(leg.is_callback_start for leg in legs)
    if client.extension is not None or is_device or is_callback or employee(client) is None:
        return employee
    return lambda party: None if party == client else employee(party)


def _exclude_extension(extension: str, employee: EmployeeLookup) -> EmployeeLookup:
    return lambda party: None if extension in (party.extension, party.number) else employee(party)


def _defining_step(legs: tuple[Leg, ...], employee: EmployeeLookup) -> LegEvent:
    """The step that shows best who called whom.

    It is the first step of a leg that was not taken from another leg. As long as no such leg was seen, it is the first
    step with the client on it: a consultation between two colleagues would look like an internal call.
    """
    for leg in legs:
        if leg.first_step.taken_from is None:
            return leg.first_step
    steps = (step for leg in legs for step in leg.steps)
    with_client = (
        step
        for step in steps
        if step.leg_kind != "person" or bool(employee(step.caller)) != bool(employee(step.callee))
    )
    return next(with_client, legs[0].first_step)


def _identify_sides(step: LegEvent, direction: Direction, employee: EmployeeLookup) -> tuple[Party | None, bool]:
    """(the employee on this leg, whether the client is on the other side). A menu and a queue have no employee."""
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
        return step.callee, True  # a person without a row in the mapping: for example a forwarding to some mobile
    return None, False


def _find_talks(legs: tuple[Leg, ...], direction: Direction, employee: EmployeeLookup) -> tuple[Talk, ...]:
    talks: list[Talk] = []
    for leg in legs:
        if leg.is_callback_start and direction != "internal":
            continue  # the employee has picked up, but the client is not dialled yet
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
    """One ring for each employee and leg. An employee who picked up has rung, even if the notification of the ring is
    missing."""
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


def _find_client(
    legs: tuple[Leg, ...], end: CallEnded | None, direction: Direction, employee: EmployeeLookup
) -> str | None:
    """The first number outside the PBX: in the summary, then in the steps."""
    if direction == "internal":
        return None
    parties: list[Party] = []
    if end is not None:
        parties.append(end.caller if direction == "in" else end.callee)
    for leg in legs:
        for step in leg.steps:
            outward = direction == "out" and not leg.is_callback_start and employee(step.caller) is not None
            parties.append(step.callee if outward else step.caller)
    numbers = [party.number for party in parties if party.number and employee(party) is None]
    telephone = next((number for number in numbers if phone.normalise(number)), None)
    return telephone or next((number for number in numbers if phone.number_to_tell(number)), None)


def _find_line(legs: tuple[Leg, ...], end: CallEnded | None) -> str | None:
    if end is not None and end.line:
        return end.line
    return next((step.line for leg in legs for step in leg.steps if step.line), None)
