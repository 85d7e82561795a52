"""Mango's newer statistics, `stats/calls`: one JSON object for each entry (reference of the API: section 5.2). Pure."""

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
from bx24app.mango.statistics_talks import has_client, leg_talk_start, name_callers, talk_legs
from bx24app.mango.statistics_users import turn_dialled_leg
from bx24app.mango.vpbx import LegFields

RING_SEQ, ANSWER_SEQ, END_SEQ = 0, -1, 1_000_000
"""Counters of the steps; see `bx24app.mango.statistics`."""

_DIRECTIONS: Final[dict[int, Direction]] = {1: "in", 2: "out", 3: "internal"}


def validate_entry(content: Mapping[str, Any]) -> CallStatistics:
    """The entry as a type. Raises MalformedNotification."""
    legs = content.get("context_calls")
    if isinstance(legs, list):
        legs = [turn_dialled_leg(content, leg) if isinstance(leg, dict) else leg for leg in legs]
        content = {**content, "context_calls": legs}
    return validate_schema(CallStatistics, dict(content))


def entry_to_events(content: Mapping[str, Any]) -> list[PbxEvent]:
    """Legs, recordings and the end of one entry of `MangoClient.fetch_calls`. While a leg has no end there is no
    `CallEnded`.

    Raises:
        MalformedNotification: wrong shape; the message names the path of the field.
    """
    entry = validate_entry(content)
    direction = _entry_direction(entry)
    named = name_callers(entry, list(_flatten_legs(entry)))
    legs = [leg for _, leg in named]
    events: list[PbxEvent] = []
    for name, leg in named:
        events += _leg_events(entry, direction, name, leg, legs)
    events += _recording_events(named, direction)
    end = _end_event(entry, direction, legs)
    return [*events, end] if end else events


def _entry_direction(entry: CallStatistics) -> Direction:
    direction = _DIRECTIONS.get(entry.context_type or 0)
    if direction is None:
        raise MalformedNotification(f"context_type is {entry.context_type}, wanted 1, 2 or 3.")
    return direction


def _flatten_legs(entry: CallStatistics) -> Iterator[tuple[str, StatisticsLeg]]:
    """(id, leg) of every leg; the legs of a group's members follow the group's own."""
    seen: set[str] = set()
    waiting = list(entry.context_calls)
    while waiting:
        leg = waiting.pop(0)
        waiting[:0] = leg.members
        name = leg.external_call_id or f"{entry.entry_id}/{len(seen)}"
        if name in seen:  # a member that carries its group's id
            name = f"{name}/{leg.call_abonent_extension or len(seen)}"
        seen.add(name)
        yield name, leg


def _leg_events(
    entry: CallStatistics, direction: Direction, name: str, leg: StatisticsLeg, legs: list[StatisticsLeg]
) -> Iterator[PbxEvent]:
    start = leg.call_start_time or entry.context_start_time
    if not start:
        raise MalformedNotification("context_calls.call_start_time is missing.")
    answer = leg_talk_start(leg, legs)
    fields = _leg_fields(entry, direction, name, leg, has_client(leg, legs))
    yield LegRinging(at=start, seq=RING_SEQ, **fields)
    if answer is not None and not leg.is_group:
        yield LegAnswered(at=answer, seq=ANSWER_SEQ, **fields)
    if leg.call_end_time:
        yield LegEnded(at=leg.call_end_time, seq=END_SEQ, reason=leg.call_end_reason or 0, **fields)


def _leg_fields(
    entry: CallStatistics, direction: Direction, name: str, leg: StatisticsLeg, with_client: bool
) -> LegFields:
    kind: LegKind = "queue" if leg.is_group else "person"
    client = Party(None, entry.caller_number if direction == "in" else entry.called_number)
    # An employee who calls from a mobile has no extension on the leg.
    unnamed = Party(None, entry.caller_number) if direction == "out" else NOBODY
    own = Party(leg.caller_extension) if leg.caller_extension else unnamed
    if direction == "internal" or not with_client:
        caller = own if leg.caller_extension else Party(None, entry.caller_number)
    else:
        caller = own if direction == "out" and not leg.is_user and not leg.is_group else client
    # A leg of an outgoing call to an employee whom no colleague dialled is the employee's half of a callback.
    callback = direction == "out" and leg.is_user and not leg.caller_extension and not leg.is_transfer
    return {
        "leg": name,
        "leg_kind": kind,
        "caller": caller,
        "callee": leg.as_party
        if leg.is_user or direction == "in"
        else Party(None, leg.call_abonent_number or client.number),
        "line": entry.called_number if direction == "in" else None,
        "group": leg.call_abonent_extension if leg.is_group else None,
        "taken_from": None,
        "command_id": None,
        "callback_initiator": "API" if callback else None,
        "transfer": "consultative" if leg.ConsultTransfer else ("blind" if leg.BlindTransfer else None),
    }


def _recording_events(legs: list[tuple[str, StatisticsLeg]], direction: Direction) -> list[PbxEvent]:
    """Each recording once. Mango repeats it on the leg of the group and of the operator who was recorded, and on the
    leg of a colleague with whom the operator talked next.
    """
    by_id: dict[str, RecordingEvent] = {}
    for name, leg in legs:
        recorded = leg.caller_extension if direction == "out" and not leg.is_user else leg.call_abonent_extension
        for recording_id in leg.recording_id:
            if recording_id is None or (recording_id in by_id and (leg.is_group or by_id[recording_id].extension)):
                continue
            at = leg.call_end_time or leg.call_answer_time or leg.call_start_time or 0
            extension = None if leg.is_group else recorded
            by_id[recording_id] = RecordingEvent(
                at=at,
                recording_id=recording_id,
                state="completed",
                leg=name,
                extension=extension,
                code=1000,
                seq=END_SEQ,
            )
    return list(by_id.values())


def _end_event(entry: CallStatistics, direction: Direction, legs: list[StatisticsLeg]) -> CallEnded | None:
    ends = [leg.call_end_time for leg in legs]
    started = entry.context_start_time or min(
        (leg.call_start_time for leg in legs if leg.call_start_time), default=None
    )
    if started is None:
        raise MalformedNotification("context_start_time is missing.")
    if any(end is None for end in ends):
        return None
    last = max((end for end in ends if end), default=started)
    ended = started + entry.duration if entry.duration else last
    talk = _entry_talk_start(entry, direction, legs, ended)
    caller, callee = _call_sides(entry, direction, legs, talk is not None)
    final = [leg for leg in legs if leg.call_end_time == last]
    return CallEnded(
        at=ended,
        direction=direction,
        caller=caller,
        callee=callee,
        line=entry.called_number if direction == "in" else None,
        started_at=started,
        forwarded_at=None,
        talk_at=talk,
        ended_at=ended,
        reason=next((leg.call_end_reason for leg in final if leg.call_end_reason), 0) or 0,
        source="statistics",
    )


def _entry_talk_start(entry: CallStatistics, direction: Direction, legs: list[StatisticsLeg], ended: int) -> int | None:
    if entry.context_status == 0 or (entry.talk_duration is not None and entry.talk_duration <= 0):
        return None
    talked = talk_legs(direction, legs)
    if talked:
        return talked[0].call_answer_time
    return ended - entry.talk_duration if entry.talk_duration else None


def _call_sides(
    entry: CallStatistics, direction: Direction, legs: list[StatisticsLeg], talked: bool
) -> tuple[Party, Party]:
    if direction == "out":
        dialled = entry.caller_extension or next((leg.caller_extension for leg in legs if leg.caller_extension), None)
        dialled = dialled or next((leg.call_abonent_extension for leg in legs if leg.is_user), None)
        return Party(dialled), Party(None, entry.called_number)
    first = next(iter(talk_legs(direction, legs) if talked else legs), None)
    callee = first.as_party if first else NOBODY
    if direction == "internal":
        caller = entry.caller_extension or (first.caller_extension if first else None)
        return Party(caller, entry.caller_number), callee
    return Party(None, entry.caller_number), callee
