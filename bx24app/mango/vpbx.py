"""The signed dialect: Mango's own notifications. Pure: `verify`, `identify`, `parse`.

Every notification is a form with `vpbx_api_key`, `sign` and `json`; `sign` is the SHA-256 of key, text and salt
in a row (no HMAC).
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from typing import Any, Final, Literal, TypedDict

from bx24app.domain.calls.events import (
    NOBODY,
    Answered,
    CommandResult,
    Direction,
    Ended,
    Event,
    Held,
    LegEnded,
    Party,
    Place,
    Recorded,
    Ringing,
    TransferKind,
)
from bx24app.mango.notification import Forged, Identity, Malformed, dedup_key, read_object, shaped
from bx24app.mango.vpbx_schema import Joined, Leg, RecordAdded, RecordingState, Result, Side, Summary

__all__ = ["IGNORED", "USED", "Forged", "Identity", "Malformed", "identify", "is_used", "parse", "sign", "take_in", "verify"]

USED: Final = frozenset(
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

IGNORED: Final = frozenset(
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

_INITIATOR = str.maketrans("АВЕКМНОРСТУХаеорсух", "ABEKMHOPCTYXaeopcyx")
"""Mango's document (and maybe its code) has Cyrillic letters inside `CC` and `MissGroupCallCallback`."""

_PLACES: Final[dict[str, Place]] = {"ivr": "ivr", "queue": "queue", "abonent": "person"}
_DIRECTIONS: Final[dict[int, Direction]] = {0: "internal", 1: "in", 2: "out"}
_TRANSFERS: Final[dict[str, TransferKind]] = {
    "blind": "blind",
    "consultative": "consultative",
    "return_blind": "return_blind",
}
_OPEN: Final[dict[str, type[Ringing] | type[Answered] | type[Held]]] = {
    "appeared": Ringing,
    "connected": Answered,
    "onhold": Held,
}
_RECORDING: Final[dict[str, Literal["started", "continued", "completed"]]] = {
    "started": "started",
    "continued": "continued",
    "completed": "completed",
}
_NO_SEQ: Final = {"appeared": 1, "connected": 2, "onhold": 3, "disconnected": 1_000_000}
"""Stands in where a notification has no `seq`: the order in which a plain leg lives."""


class LegFields(TypedDict):
    """What all events of a leg carry, besides time and counter; see `LegEvent`."""

    leg: str
    place: Place
    caller: Party
    callee: Party
    line: str | None
    group: str | None
    taken_from: str | None
    command_id: str | None
    callback_initiator: str | None
    transfer: TransferKind | None


def sign(api_key: str, api_salt: str, raw_json: str) -> str:
    """The signature of a text, in both directions: lower-case hex."""
    return hashlib.sha256(f"{api_key}{raw_json}{api_salt}".encode(errors="surrogatepass")).hexdigest()


def verify(
    api_key: str | None, api_salt: str | None, form_key: str | None, form_sign: str | None, raw_json: str
) -> None:
    """Is this text signed by the PBX that has this key and salt?

    The raw text counts: parsed JSON written anew has another hash.

    Raises:
        Forged: the key is another one, or the signature does not fit.
    """
    if not api_key or not api_salt:
        raise Forged("This PBX has no key and salt yet, so nothing can be verified.")
    if not _same(api_key, form_key or ""):
        raise Forged("The key is not the one of this PBX.")
    if not _same(sign(api_key, api_salt, raw_json), (form_sign or "").lower()):
        raise Forged("The signature does not fit the key and salt of this PBX.")


def _same(one: str, other: str) -> bool:
    # compare_digest takes only ASCII as text
    return hmac.compare_digest(one.encode(errors="surrogatepass"), other.encode(errors="surrogatepass"))


def is_used(name: str) -> bool:
    """Is this name (the path suffix, ``events/call``) one that is stored?"""
    return name in USED


def identify(name: str, raw_json: str) -> Identity:
    """Cheap: which call or command a used notification belongs to, and whether it came before.

    Raises:
        Malformed: not a JSON object, or without the id that joins it to anything.
    """
    return _identify(name, read_object(raw_json))


def take_in(name: str, raw_json: str, received_at: int) -> Identity:
    """`identify` of a used notification that `parse` can read too: both in one reading.

    Raises:
        Malformed
    """
    content = read_object(raw_json)
    found = _identify(name, content)
    _events(name, content, received_at)
    return found


def _identify(name: str, content: dict[str, Any]) -> Identity:
    if name.startswith("result/"):
        joined = shaped(Result, content)
        return Identity(name, None, joined.command_id, dedup_key(name, content))
    # A leg's content has entry, call_id, seq and state: the same seq with another state is another notification.
    entry = shaped(Joined, content)
    return Identity(name, entry.entry_id, entry.command_id, dedup_key(name, content))


def parse(name: str, raw_json: str, received_at: int = 0) -> list[Event]:
    """What a notification means. `received_at` (epoch seconds) stands in where it carries no time of its own.

    Names that are not `USED` give an empty list.

    Raises:
        Malformed: wrong shape; names the path of the field.
    """
    if name not in USED:
        return []
    return _events(name, read_object(raw_json), received_at)


def _events(name: str, content: dict[str, Any], received_at: int) -> list[Event]:
    if name.startswith("result/"):
        return _result(name, content, received_at)
    return [_READERS[name](content, received_at)]


def _leg(content: dict[str, Any], received_at: int) -> Event:
    leg = shaped(Leg, content)
    state = leg.call_state.lower()
    if state not in _NO_SEQ:
        raise Malformed(f"call_state is {leg.call_state[:40]!r}, wanted Appeared, Connected, OnHold or Disconnected.")
    fields, at = _fields(leg), _at(leg.timestamp, received_at)
    seq = leg.seq if leg.seq is not None else _NO_SEQ[state]
    if state == "disconnected":
        moved = leg.from_.was_transferred or leg.to.was_transferred
        return LegEnded(at=at, seq=seq, **fields, reason=leg.disconnect_reason or 0, was_transferred=moved)
    return _OPEN[state](at=at, seq=seq, **fields)


def _fields(leg: Leg) -> LegFields:
    place = _place(leg)
    return {
        "leg": leg.call_id,
        "place": place,
        "caller": _party(leg.from_),
        "callee": _party(leg.to),
        "line": leg.to.line_number or leg.from_.line_number or (leg.to.number if place == "ivr" else None),
        "group": leg.to.acd_group,
        "taken_from": leg.from_.taken_from_call_id,
        "command_id": leg.command_id,
        "callback_initiator": _initiator(leg),
        "transfer": _TRANSFERS.get((leg.transfer or "").lower()),
    }


def _party(side: Side) -> Party:
    if side.extension is None and side.number is None:
        return NOBODY
    return Party(side.extension, side.number)


def _at(said: int | None, received_at: int) -> int:
    if said is None and not received_at:
        raise Malformed("The notification has no time.")
    return received_at if said is None else said


def _initiator(leg: Leg) -> str | None:
    if leg.callback_initiator:
        return leg.callback_initiator.translate(_INITIATOR)
    return "ObDial" if leg.task_id else None  # only dialler tasks carry a task id


def _place(leg: Leg) -> Place:
    """Where the leg is; some traces of old versions have no `location`, then its other fields tell."""
    known = _PLACES.get((leg.location or "").lower().partition(".")[0])
    if known:
        return known
    if leg.to.extension:
        return "person"
    if leg.to.number and leg.to.number == (leg.to.line_number or leg.from_.line_number):
        return "ivr"
    return "queue" if leg.to.acd_group else "person"


def _summary(content: dict[str, Any], received_at: int) -> Event:
    said = shaped(Summary, content)
    ended = _at(said.end_time, received_at)
    return Ended(
        at=ended,
        direction=_direction(said),
        caller=_party(said.from_),
        callee=_party(said.to),
        line=said.line_number or said.to.line_number or said.from_.line_number,
        started_at=said.create_time or said.talk_time or ended,
        forwarded_at=said.forward_time or None,
        talk_at=said.talk_time or None,
        ended_at=ended,
        reason=said.disconnect_reason or 0,
    )


def _direction(said: Summary) -> Direction:
    if said.call_direction is None:
        if not said.from_.extension:
            return "in"
        return "internal" if said.to.extension else "out"
    if said.call_direction not in _DIRECTIONS:
        raise Malformed(f"call_direction is {said.call_direction}, wanted 0, 1 or 2.")
    return _DIRECTIONS[said.call_direction]


def _recording(content: dict[str, Any], received_at: int) -> Event:
    said = shaped(RecordingState, content)
    state = _RECORDING.get(said.recording_state.lower())
    if state is None:
        raise Malformed(f"recording_state is {said.recording_state[:40]!r}, wanted Started, Continued or Completed.")
    return Recorded(
        at=_at(said.timestamp, received_at),
        recording_id=said.recording_id,
        state=state,
        leg=said.call_id,
        extension=said.extension,
        code=said.completion_code,
        in_cloud=(said.recipient or "").lower() != "mail",
        seq=said.seq or 0,
    )


def _added(content: dict[str, Any], received_at: int) -> Event:
    said = shaped(RecordAdded, content)
    return Recorded(at=_at(said.timestamp, received_at), recording_id=said.recording_id, state="added")


def _result(name: str, content: dict[str, Any], received_at: int) -> list[Event]:
    said = shaped(Result, content)
    if said.result is None:
        raise Malformed("result is missing.")
    at = said.timestamp if said.timestamp is not None else received_at
    return [CommandResult(at=at, command_id=said.command_id, name=name.removeprefix("result/"), code=said.result)]


_READERS: Final[dict[str, Callable[[dict[str, Any], int], Event]]] = {
    "events/call": _leg,
    "events/summary": _summary,
    "events/recording": _recording,
    "events/record/added": _added,
}
