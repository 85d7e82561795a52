"""The signed dialect: Mango's own notifications. Pure: `verify`, `identify`, `parse`.

Every notification is a form with `vpbx_api_key`, `sign` and `json`; `sign` is the SHA-256 of key, text and salt
in a row (no HMAC).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Literal, TypedDict

from bx24app.domain.calls.events import (
    NOBODY,
    CallEnded,
    CommandResult,
    Direction,
    LegAnswered,
    LegEnded,
    LegHeld,
    LegKind,
    LegRinging,
    Party,
    PbxEvent,
    RecordingEvent,
    TransferKind,
)
from bx24app.mango.notification import (
    ForgedNotification,
    MalformedNotification,
    NotificationIdentity,
    make_dedup_key,
    read_object,
    validate_schema,
)
from bx24app.mango.signature import sign_text, verify_signature
from bx24app.mango.vpbx_schema import (
    CallReference,
    CallSide,
    LegNotification,
    RecordAddedNotification,
    RecordingNotification,
    ResultNotification,
    SummaryNotification,
)

__all__ = ["IGNORED_NAMES", "STORED_NAMES", "ForgedNotification", "MalformedNotification", "NotificationIdentity", "identify", "identify_strictly", "is_stored", "parse", "sign_text", "verify_signature"]

STORED_NAMES: Final = frozenset(
    {
        "events/call",
        "events/summary",
        "events/recording",
        "events/record/added",
        "result/callback",
        "result/callback_group",
        "result/call/hangup",
        "result/call/hold/on",
        "result/calls_connect",
        "result/play/start",
        "result/recording/start",
        "result/route",
        "result/transfer",
        "result/transfer_cancel",
    }
)
"""Names that are stored and parsed."""

IGNORED_NAMES: Final = frozenset(
    {
        "ping",
        "events/dtmf",
        "events/md",
        "events/md/onAppealClose",
        "events/recognized/offline",
        "events/record/tagged",
        "events/sms",
        "events/user/session_end",
        "events/user/status_changed",
        "result/sms",
        "result/stat",
        "result/stats",
    }
)
"""Known names that mean nothing to us: answered 200, not stored. So is `events/ab/*`, and every unknown name."""

_CYRILLIC_TO_LATIN = str.maketrans("АВЕКМНОРСТУХаеорсух", "ABEKMHOPCTYXaeopcyx")
"""Mango's document (and maybe its code) has Cyrillic letters inside `CC` and `MissGroupCallCallback`."""

_LEG_KINDS: Final[dict[str, LegKind]] = {"ivr": "ivr", "queue": "queue", "abonent": "person"}
_DIRECTIONS: Final[dict[int, Direction]] = {0: "internal", 1: "in", 2: "out"}
_TRANSFER_KINDS: Final[dict[str, TransferKind]] = {
    "blind": "blind",
    "consultative": "consultative",
    "return_blind": "return_blind",
}
_OPEN_LEG_EVENTS: Final[dict[str, type[LegRinging] | type[LegAnswered] | type[LegHeld]]] = {
    "appeared": LegRinging,
    "connected": LegAnswered,
    "onhold": LegHeld,
}
_RECORDING_STATES: Final[dict[str, Literal["started", "continued", "completed"]]] = {
    "started": "started",
    "continued": "continued",
    "completed": "completed",
}
_DEFAULT_SEQ: Final = {"appeared": 1, "connected": 2, "onhold": 3, "disconnected": 1_000_000}
"""Stands in where a notification has no `seq`: the order in which a plain leg lives."""


class LegFields(TypedDict):
    """What all events of a leg carry, besides time and counter; see `LegEvent`."""

    leg: str
    leg_kind: LegKind
    caller: Party
    callee: Party
    line: str | None
    group: str | None
    taken_from: str | None
    command_id: str | None
    callback_initiator: str | None
    transfer: TransferKind | None


def is_stored(name: str) -> bool:
    """Is this name (the path suffix, ``events/call``) one that is stored?"""
    return name in STORED_NAMES


def identify(name: str, raw_json: str) -> NotificationIdentity:
    """Cheap: which call or command a used notification belongs to, and whether it came before.

    Raises:
        Malformed: not a JSON object, or without the id that joins it to anything.
    """
    return _identify_content(name, read_object(raw_json))


def identify_strictly(name: str, raw_json: str, received_at: int) -> NotificationIdentity:
    """`identify` of a used notification that `parse` can read too: both in one reading.

    Raises:
        Malformed
    """
    content = read_object(raw_json)
    found = _identify_content(name, content)
    _parse_content(name, content, received_at)
    return found


def _identify_content(name: str, content: dict[str, Any]) -> NotificationIdentity:
    if name.startswith("result/"):
        joined = validate_schema(ResultNotification, content)
        return NotificationIdentity(name, None, joined.command_id, make_dedup_key(name, content))
    # A leg's content has entry, call_id, seq and state: the same seq with another state is another notification.
    entry = validate_schema(CallReference, content)
    return NotificationIdentity(name, entry.entry_id, entry.command_id, make_dedup_key(name, content))


def parse(name: str, raw_json: str, received_at: int = 0) -> list[PbxEvent]:
    """What a notification means. `received_at` (epoch seconds) stands in where it carries no time of its own.

    Names that are not `USED` give an empty list.

    Raises:
        Malformed: wrong shape; names the path of the field.
    """
    if name not in STORED_NAMES:
        return []
    return _parse_content(name, read_object(raw_json), received_at)


def _parse_content(name: str, content: dict[str, Any], received_at: int) -> list[PbxEvent]:
    if name.startswith("result/"):
        return _parse_result(name, content, received_at)
    return [_PARSERS[name](content, received_at)]


def _parse_leg(content: dict[str, Any], received_at: int) -> PbxEvent:
    leg = validate_schema(LegNotification, content)
    state = leg.call_state.lower()
    if state not in _DEFAULT_SEQ:
        raise MalformedNotification(f"call_state is {leg.call_state[:40]!r}, wanted Appeared, Connected, OnHold or Disconnected.")
    fields, at = _leg_fields(leg), _event_time(leg.timestamp, received_at)
    seq = leg.seq if leg.seq is not None else _DEFAULT_SEQ[state]
    if state == "disconnected":
        moved = leg.from_.was_transferred or leg.to.was_transferred
        return LegEnded(at=at, seq=seq, **fields, reason=leg.disconnect_reason or 0, was_transferred=moved)
    return _OPEN_LEG_EVENTS[state](at=at, seq=seq, **fields)


def _leg_fields(leg: LegNotification) -> LegFields:
    place = _leg_kind(leg)
    return {
        "leg": leg.call_id,
        "leg_kind": place,
        "caller": _make_party(leg.from_),
        "callee": _make_party(leg.to),
        "line": leg.to.line_number or leg.from_.line_number or (leg.to.number if place == "ivr" else None),
        "group": leg.to.acd_group,
        "taken_from": leg.from_.taken_from_call_id,
        "command_id": leg.command_id,
        "callback_initiator": _callback_initiator(leg),
        "transfer": _TRANSFER_KINDS.get((leg.transfer or "").lower()),
    }


def _make_party(side: CallSide) -> Party:
    if side.extension is None and side.number is None:
        return NOBODY
    return Party(side.extension, side.number)


def _event_time(said: int | None, received_at: int) -> int:
    if said is None and not received_at:
        raise MalformedNotification("The notification has no time.")
    return received_at if said is None else said


def _callback_initiator(leg: LegNotification) -> str | None:
    if leg.callback_initiator:
        return leg.callback_initiator.translate(_CYRILLIC_TO_LATIN)
    return "ObDial" if leg.task_id else None  # only dialler tasks carry a task id


def _leg_kind(leg: LegNotification) -> LegKind:
    """Where the leg is; some traces of old versions have no `location`, then its other fields tell."""
    known = _LEG_KINDS.get((leg.location or "").lower().partition(".")[0])
    if known:
        return known
    if leg.to.extension:
        return "person"
    if leg.to.number and leg.to.number == (leg.to.line_number or leg.from_.line_number):
        return "ivr"
    return "queue" if leg.to.acd_group else "person"


def _parse_summary(content: dict[str, Any], received_at: int) -> PbxEvent:
    said = validate_schema(SummaryNotification, content)
    ended = _event_time(said.end_time, received_at)
    return CallEnded(
        at=ended,
        direction=_parse_direction(said),
        caller=_make_party(said.from_),
        callee=_make_party(said.to),
        line=said.line_number or said.to.line_number or said.from_.line_number,
        started_at=said.create_time or said.talk_time or ended,
        forwarded_at=said.forward_time or None,
        talk_at=said.talk_time or None,
        ended_at=ended,
        reason=said.disconnect_reason or 0,
    )


def _parse_direction(said: SummaryNotification) -> Direction:
    if said.call_direction is None:
        if not said.from_.extension:
            return "in"
        return "internal" if said.to.extension else "out"
    if said.call_direction not in _DIRECTIONS:
        raise MalformedNotification(f"call_direction is {said.call_direction}, wanted 0, 1 or 2.")
    return _DIRECTIONS[said.call_direction]


def _parse_recording(content: dict[str, Any], received_at: int) -> PbxEvent:
    said = validate_schema(RecordingNotification, content)
    state = _RECORDING_STATES.get(said.recording_state.lower())
    if state is None:
        raise MalformedNotification(f"recording_state is {said.recording_state[:40]!r}, wanted Started, Continued or Completed.")
    return RecordingEvent(
        at=_event_time(said.timestamp, received_at),
        recording_id=said.recording_id,
        state=state,
        leg=said.call_id,
        extension=said.extension,
        code=said.completion_code,
        is_in_cloud=(said.recipient or "").lower() != "mail",
        seq=said.seq or 0,
    )


def _parse_record_added(content: dict[str, Any], received_at: int) -> PbxEvent:
    said = validate_schema(RecordAddedNotification, content)
    return RecordingEvent(at=_event_time(said.timestamp, received_at), recording_id=said.recording_id, state="added")


def _parse_result(name: str, content: dict[str, Any], received_at: int) -> list[PbxEvent]:
    said = validate_schema(ResultNotification, content)
    if said.result is None:
        raise MalformedNotification("result is missing.")
    at = said.timestamp if said.timestamp is not None else received_at
    return [CommandResult(at=at, command_id=said.command_id, name=name.removeprefix("result/"), code=said.result)]


_PARSERS: Final[dict[str, Callable[[dict[str, Any], int], PbxEvent]]] = {
    "events/call": _parse_leg,
    "events/summary": _parse_summary,
    "events/recording": _parse_recording,
    "events/record/added": _parse_record_added,
}
