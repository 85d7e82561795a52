"""The newer pair, `stats/calls`: one JSON object an entry (reference of the wire: section 5.2)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from bx24app.domain.calls.events import (
    NOBODY,
    CallEnded,
    Direction,
    LegAnswered,
    LegEnded,
    LegKind,
    LegRinging,
    Party,
    PbxEvent,
    RecordingEvent,
)
from bx24app.mango.notification import MalformedNotification, validate_schema
from bx24app.mango.statistics_schema import CallStatistics, StatisticsLeg
from bx24app.mango.vpbx import LegFields

RING_SEQ, ANSWER_SEQ, END_SEQ = 0, -1, 1_000_000
"""Counters of the steps; see `bx24app.mango.statistics`."""

_DIRECTIONS: Final[dict[int, Direction]] = {1: "in", 2: "out", 3: "internal"}


def validate_entry(entry: Mapping[str, Any]) -> CallStatistics:
    """Raises Malformed."""
    return validate_schema(CallStatistics, dict(entry))


def entry_to_events(entry: Mapping[str, Any]) -> list[PbxEvent]:
    """Legs, recordings and the end of one entry of `Mango.calls_result`. While a leg has no end there is no `Ended`.

    Raises:
        Malformed: wrong shape; names the path of the field.
    """
    said = validate_entry(entry)
    direction = _entry_direction(said)
    named = list(_flatten_legs(said))
    legs = [leg for _, leg in named]
    events: list[PbxEvent] = []
    for name, leg in named:
        events += _leg_events(said, direction, name, leg, legs)
    events += _recording_events(named, direction)
    end = _end_event(said, direction, legs)
    return [*events, end] if end else events


def _entry_direction(said: CallStatistics) -> Direction:
    found = _DIRECTIONS.get(said.context_type or 0)
    if found is None:
        raise MalformedNotification(f"context_type is {said.context_type}, wanted 1, 2 or 3.")
    return found


def _flatten_legs(said: CallStatistics) -> Iterator[tuple[str, StatisticsLeg]]:
    """Every leg with its id, those of a group's members after the group's own."""
    seen: set[str] = set()
    waiting = list(said.context_calls)
    while waiting:
        leg = waiting.pop(0)
        waiting[:0] = leg.members
        name = leg.external_call_id or f"{said.entry_id}/{len(seen)}"
        if name in seen:  # a member that carries its group's id
            name = f"{name}/{leg.call_abonent_extension or len(seen)}"
        seen.add(name)
        yield name, leg


def _leg_events(said: CallStatistics, direction: Direction, name: str, leg: StatisticsLeg, legs: list[StatisticsLeg]) -> Iterator[PbxEvent]:
    start = leg.call_start_time or said.context_start_time
    if not start:
        raise MalformedNotification("context_calls.call_start_time is missing.")
    answer = _leg_talk_start(leg, legs)
    fields = _leg_fields(said, direction, name, leg, _has_client(leg, legs))
    yield LegRinging(at=start, seq=RING_SEQ, **fields)
    if answer is not None and not leg.is_group:
        yield LegAnswered(at=answer, seq=ANSWER_SEQ, **fields)
    if leg.call_end_time:
        yield LegEnded(at=leg.call_end_time, seq=END_SEQ, reason=leg.call_end_reason or 0, **fields)


def _handover_time(leg: StatisticsLeg, legs: list[StatisticsLeg]) -> int | None:
    """When the colleague who had rung this leg left it to the client; None: nobody did."""
    begun, over = leg.call_answer_time or leg.call_start_time or 0, leg.call_end_time
    asked = leg.caller_extension
    ends = [
        other.call_end_time
        for other in legs
        if other is not leg and not other.is_group and other.call_end_time and other.call_answer_time
        if asked is None or other.call_abonent_extension == asked or other.caller_extension == asked
    ]
    return max((end for end in ends if end >= begun and (over is None or end < over)), default=None)


def _has_client(leg: StatisticsLeg, legs: list[StatisticsLeg]) -> bool:
    """Is the client on this leg? Not on a consultation of two colleagues from which none of them left."""
    if leg.caller_extension is None or not leg.is_user or leg.BlindTransfer:
        return True
    return _handover_time(leg, legs) is not None


def _leg_talk_start(leg: StatisticsLeg, legs: list[StatisticsLeg]) -> int | None:
    """When the leg's talk with the client began: of a consultation, when the colleague who asked left."""
    if not leg.call_answer_time or not (leg.ConsultTransfer or leg.caller_extension) or leg.BlindTransfer:
        return leg.call_answer_time
    return max(leg.call_answer_time, (_handover_time(leg, legs) if leg.is_user else None) or 0)


def _leg_fields(said: CallStatistics, direction: Direction, name: str, leg: StatisticsLeg, with_client: bool) -> LegFields:
    place: LegKind = "queue" if leg.is_group else "person"
    client = Party(None, said.caller_number if direction == "in" else said.called_number)
    own = Party(leg.caller_extension) if leg.caller_extension else NOBODY
    if direction == "internal" or not with_client:
        caller = own if leg.caller_extension else Party(None, said.caller_number)
    else:
        caller = own if direction == "out" and not leg.is_user and not leg.is_group else client
    # An outgoing call's leg to an employee whom nobody of ours dialled: the employee's half of a callback.
    callback = direction == "out" and leg.is_user and not leg.caller_extension and not leg.is_handover
    return {
        "leg": name,
        "leg_kind": place,
        "caller": caller,
        "callee": leg.as_party
        if leg.is_user or direction == "in"
        else Party(None, leg.call_abonent_number or client.number),
        "line": said.called_number if direction == "in" else None,
        "group": leg.call_abonent_extension if leg.is_group else None,
        "taken_from": None,
        "command_id": None,
        "callback_initiator": "API" if callback else None,
        "transfer": "consultative" if leg.ConsultTransfer else ("blind" if leg.BlindTransfer else None),
    }


def _recording_events(legs: list[tuple[str, StatisticsLeg]], direction: Direction) -> list[PbxEvent]:
    """Each recording once: it is repeated on the group's leg and on its operator's, who is the one recorded, and on a leg of
    a colleague with whom the recorded one went on to talk.
    """
    found: dict[str, RecordingEvent] = {}
    for name, leg in legs:
        recorded = leg.caller_extension if direction == "out" and not leg.is_user else leg.call_abonent_extension
        for recording_id in leg.recording_id:
            if recording_id is None or (recording_id in found and (leg.is_group or found[recording_id].extension)):
                continue
            at = leg.call_end_time or leg.call_answer_time or leg.call_start_time or 0
            extension = None if leg.is_group else recorded
            found[recording_id] = RecordingEvent(
                at=at, recording_id=recording_id, state="completed", leg=name, extension=extension, code=1000, seq=END_SEQ
            )
    return list(found.values())


def _end_event(said: CallStatistics, direction: Direction, legs: list[StatisticsLeg]) -> CallEnded | None:
    ends = [leg.call_end_time for leg in legs]
    started = said.context_start_time or min((leg.call_start_time for leg in legs if leg.call_start_time), default=None)
    if started is None:
        raise MalformedNotification("context_start_time is missing.")
    if any(end is None for end in ends):
        return None
    last = max((end for end in ends if end), default=started)
    ended = started + said.duration if said.duration else last
    talk = _entry_talk_start(said, direction, legs, ended)
    caller, callee = _call_sides(said, direction, legs, talk is not None)
    final = [leg for leg in legs if leg.call_end_time == last]
    return CallEnded(
        at=ended,
        direction=direction,
        caller=caller,
        callee=callee,
        line=said.called_number if direction == "in" else None,
        started_at=started,
        forwarded_at=None,
        talk_at=talk,
        ended_at=ended,
        reason=next((leg.call_end_reason for leg in final if leg.call_end_reason), 0) or 0,
        source="statistics",
    )


def _talk_legs(direction: Direction, legs: list[StatisticsLeg]) -> list[StatisticsLeg]:
    """Legs on which the client talked: answered, not a group's own, not the employee's half of a callback."""
    halves = direction == "out" and any(not leg.is_user and not leg.is_group for leg in legs)
    talked = [
        leg
        for leg in legs
        if leg.call_answer_time and not leg.is_group and (direction == "internal" or _has_client(leg, legs))
        if not (halves and leg.is_user and not leg.is_handover)
    ]
    return sorted(talked, key=lambda leg: leg.call_answer_time or 0)


def _entry_talk_start(said: CallStatistics, direction: Direction, legs: list[StatisticsLeg], ended: int) -> int | None:
    if said.context_status == 0 or (said.talk_duration is not None and said.talk_duration <= 0):
        return None
    talked = _talk_legs(direction, legs)
    if talked:
        return talked[0].call_answer_time
    return ended - said.talk_duration if said.talk_duration else None


def _call_sides(said: CallStatistics, direction: Direction, legs: list[StatisticsLeg], talked: bool) -> tuple[Party, Party]:
    if direction == "out":
        dialled = next((leg.caller_extension for leg in legs if leg.caller_extension), None)
        dialled = dialled or next((leg.call_abonent_extension for leg in legs if leg.is_user), None)
        return Party(dialled), Party(None, said.called_number)
    first = next(iter(_talk_legs(direction, legs) if talked else legs), None)
    callee = first.as_party if first else NOBODY
    if direction == "internal":
        return Party(first.caller_extension if first else None, said.caller_number), callee
    return Party(None, said.caller_number), callee
