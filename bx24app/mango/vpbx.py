"""The vpbx dialect: the signed notifications of Mango's API, their identity and their meaning. Pure.

Every notification is a form with `vpbx_api_key`, `sign` and `json`; how it is signed: `bx24app.mango.signature`.
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
    LegKind,
    LegOnHold,
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

__all__ = [
    "IGNORED_NAMES", "STORED_NAMES", "ForgedNotification", "MalformedNotification", "NotificationIdentity",
    "identify", "identify_strictly", "is_stored", "parse", "sign_text", "verify_signature",
]  # fmt: skip

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
"""Names of notifications that are stored and parsed."""

IGNORED_NAMES: Final = frozenset(
    (
        "ping", "events/dtmf", "events/md", "events/md/onAppealClose", "events/recognized/offline",
        "events/record/tagged", "events/sms", "events/user/session_end", "events/user/status_changed",
        "result/sms", "result/stat", "result/stats",
    )
)  # fmt: skip
"""Known names that mean nothing to us: answered 200 and not stored, like `events/ab/*` and every unknown name."""

_CYRILLIC_TO_LATIN = str.maketrans("АВЕКМНОРСТУХаеорсух", "ABEKMHOPCTYXaeopcyx")
"""Mango's manual, and perhaps its code, has Cyrillic letters inside `CC` and `MissGroupCallCallback`."""

_LEG_KINDS: Final[dict[str, LegKind]] = {"ivr": "ivr", "queue": "queue", "abonent": "person"}
_DIRECTIONS: Final[dict[int, Direction]] = {0: "internal", 1: "in", 2: "out"}
_TRANSFER_KINDS: Final[dict[str, TransferKind]] = {
    "blind": "blind",
    "consultative": "consultative",
    "return_blind": "return_blind",
}
_OPEN_LEG_EVENTS: Final[dict[str, type[LegRinging] | type[LegAnswered] | type[LegOnHold]]] = {
    "appeared": LegRinging,
    "connected": LegAnswered,
    "onhold": LegOnHold,
}
_RECORDING_STATES: Final[dict[str, Literal["started", "continued", "completed"]]] = {
    "started": "started",
    "continued": "continued",
    "completed": "completed",
}
_DEFAULT_SEQ: Final = {"appeared": 1, "connected": 2, "onhold": 3, "disconnected": 1_000_000}
"""Stands in for a missing `seq`: the usual order of a leg's states."""


class LegFields(TypedDict):
    """What all events of a leg have besides time and counter; see `LegEvent`."""

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
    """Whether a notification of this name (the path suffix, ``events/call``) is stored."""
    return name in STORED_NAMES


def identify(name: str, raw_json: str) -> NotificationIdentity:
    """The call or command that a stored notification belongs to, and a key that recognises a repetition. Cheap: the
    rest is not validated.

    Raises:
        MalformedNotification: not a JSON object, or without an id of a call or command.
    """
    return _identify_content(name, read_object(raw_json))


def identify_strictly(name: str, raw_json: str, received_at: int) -> NotificationIdentity:
    """The same, and refuse what `parse` could not read. The JSON is read once.

    Raises:
        MalformedNotification
    """
    content = read_object(raw_json)
    identity = _identify_content(name, content)
    _parse_content(name, content, received_at)
    return identity


def _identify_content(name: str, content: dict[str, Any]) -> NotificationIdentity:
    if name.startswith("result/"):
        result = validate_schema(ResultNotification, content)
        return NotificationIdentity(name, None, result.command_id, make_dedup_key(name, content))
    # The dedup key covers the whole content, so the same seq with another state is another notification.
    reference = validate_schema(CallReference, content)
    return NotificationIdentity(name, reference.entry_id, reference.command_id, make_dedup_key(name, content))


def parse(name: str, raw_json: str, received_at: int = 0) -> list[PbxEvent]:
    """What a notification means. `received_at` (epoch seconds) stands in for a missing time.

    A name that is not in `STORED_NAMES` gives an empty list.

    Raises:
        MalformedNotification: wrong shape; the message names the path of the field.
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
        raise MalformedNotification(
            f"call_state is {leg.call_state[:40]!r}, wanted Appeared, Connected, OnHold or Disconnected."
        )
    fields, at = _leg_fields(leg), _event_time(leg.timestamp, received_at)
    seq = leg.seq if leg.seq is not None else _DEFAULT_SEQ[state]
    if state == "disconnected":
        moved = leg.from_.was_transferred or leg.to.was_transferred
        return LegEnded(at=at, seq=seq, **fields, reason=leg.disconnect_reason or 0, was_transferred=moved)
    return _OPEN_LEG_EVENTS[state](at=at, seq=seq, **fields)


def _leg_fields(leg: LegNotification) -> LegFields:
    kind = _leg_kind(leg)
    return {
        "leg": leg.call_id,
        "leg_kind": kind,
        "caller": _make_party(leg.from_),
        "callee": _make_party(leg.to),
        "line": leg.to.line_number or leg.from_.line_number or (leg.to.number if kind == "ivr" else None),
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


def _event_time(own_time: int | None, received_at: int) -> int:
    if own_time is None and not received_at:
        raise MalformedNotification("The notification has no time.")
    return received_at if own_time is None else own_time


def _callback_initiator(leg: LegNotification) -> str | None:
    if leg.callback_initiator:
        return leg.callback_initiator.translate(_CYRILLIC_TO_LATIN)
    return "ObDial" if leg.task_id else None  # only dialler tasks carry a task id


def _leg_kind(leg: LegNotification) -> LegKind:
    """Where the leg is. Old versions of the notifications may lack `location`; then other fields decide."""
    kind = _LEG_KINDS.get((leg.location or "").lower().partition(".")[0])
    if kind:
        return kind
    if leg.to.extension:
        return "person"
    if leg.to.number and leg.to.number == (leg.to.line_number or leg.from_.line_number):
        return "ivr"
    return "queue" if leg.to.acd_group else "person"


def _parse_summary(content: dict[str, Any], received_at: int) -> PbxEvent:
    summary = validate_schema(SummaryNotification, content)
    ended = _event_time(summary.end_time, received_at)
    return CallEnded(
        at=ended,
        direction=_parse_direction(summary),
        caller=_make_party(summary.from_),
        callee=_make_party(summary.to),
        line=summary.line_number or summary.to.line_number or summary.from_.line_number,
        started_at=summary.create_time or summary.talk_time or ended,
        forwarded_at=summary.forward_time or None,
        talk_at=summary.talk_time or None,
        ended_at=ended,
        reason=summary.disconnect_reason or 0,
    )


def _parse_direction(summary: SummaryNotification) -> Direction:
    if summary.call_direction is None:
        if not summary.from_.extension:
            return "in"
        return "internal" if summary.to.extension else "out"
    if summary.call_direction not in _DIRECTIONS:
        raise MalformedNotification(f"call_direction is {summary.call_direction}, wanted 0, 1 or 2.")
    return _DIRECTIONS[summary.call_direction]


def _parse_recording(content: dict[str, Any], received_at: int) -> PbxEvent:
    recording = validate_schema(RecordingNotification, content)
    state = _RECORDING_STATES.get(recording.recording_state.lower())
    if state is None:
        raise MalformedNotification(
            f"recording_state is {recording.recording_state[:40]!r}, wanted Started, Continued or Completed."
        )
    return RecordingEvent(
        at=_event_time(recording.timestamp, received_at),
        recording_id=recording.recording_id,
        state=state,
        leg=recording.call_id,
        extension=recording.extension,
        code=recording.completion_code,
        is_in_cloud=(recording.recipient or "").lower() != "mail",
        seq=recording.seq or 0,
    )


def _parse_record_added(content: dict[str, Any], received_at: int) -> PbxEvent:
    recording = validate_schema(RecordAddedNotification, content)
    return RecordingEvent(
        at=_event_time(recording.timestamp, received_at), recording_id=recording.recording_id, state="added"
    )


def _parse_result(name: str, content: dict[str, Any], received_at: int) -> list[PbxEvent]:
    result = validate_schema(ResultNotification, content)
    if result.result is None:
        raise MalformedNotification("result is missing.")
    at = result.timestamp if result.timestamp is not None else received_at
    return [CommandResult(at=at, command_id=result.command_id, name=name.removeprefix("result/"), code=result.result)]


_PARSERS: Final[dict[str, Callable[[dict[str, Any], int], PbxEvent]]] = {
    "events/call": _parse_leg,
    "events/summary": _parse_summary,
    "events/recording": _parse_recording,
    "events/record/added": _parse_record_added,
}
