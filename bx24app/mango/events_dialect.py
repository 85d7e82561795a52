"""The events dialect: `call_start`, `call_answer`, `call_end`, `call_record`, `call_transfer` (contract, section 5).
Pure.

Nothing in it is signed; the hook key alone admits a notification. The dialect has no legs, so each call becomes *one*
leg, named by its uuid, whose employee changes. The leg's steps are ordered by their times, then by their kind; the end
is always last, whenever it arrived. So one `call_end` closes the call, whoever rang, and a transfer changes the talker.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Mapping
from typing import Final, TypedDict

from bx24app.domain import phone
from bx24app.domain.calls.events import (
    NOBODY,
    CallEnded,
    CallTransferred,
    LegAnswered,
    LegEnded,
    LegKind,
    LegRinging,
    Party,
    PbxEvent,
    RecordingEvent,
)
from bx24app.mango.events_schema import EventsNotification, EventsSide
from bx24app.mango.notification import (
    MalformedNotification,
    NotificationIdentity,
    make_dedup_key,
    read_object,
    validate_schema,
)

UUID_PREFIX: Final = "uuid:"
"""Before a call's uuid where it stands in for a command id, `Notification.command_id` and `Call.command_id`."""
STORED_NAMES: Final = frozenset({"call_start", "call_answer", "call_end", "call_record", "call_transfer"})

_ANSWERED_STATES: Final = frozenset({"answered", "connected", "answer"})
_STATE_CODES: Final = {
    "busy": 1121,
    "rejected": 1122,
    "declined": 1122,
    "cancelled": 1110,
    "canceled": 1110,
    "noanswer": 1111,
    "missed": 1111,
    "notfound": 1133,
    "unavailable": 1131,
}
"""States of an unanswered call as codes of `mango.codes`; other states have the code 0."""

# Order of steps that carry the same second.
_RING_RANK, _ANSWER_RANK, _TRANSFER_FROM_RANK, _TRANSFER_TO_RANK = range(4)
_TALK_SEQ, _END_SEQ = 2**50, 2**50 + 1
"""After every step that carries a time."""


class _EventsLegFields(TypedDict):
    """What the steps of a call's one leg have in common."""

    leg: str
    leg_kind: LegKind
    caller: Party
    callee: Party
    line: str | None


def find_name(path_tail: str, body: str, query: Mapping[str, str]) -> str | None:
    """The notification's name: the last segment of the path, else the body's `event`, else ``?event=``; None: not one
    of the five names.

    `path_tail` is what follows the hook key; `body` is the raw text.
    """
    last = _normalise_name(path_tail.rstrip("/").rpartition("/")[2])
    if last in STORED_NAMES:
        return last
    try:
        in_body = read_object(body).get("event")
    except MalformedNotification:
        in_body = None  # `identify` reports the wrong shape once the name is known
    for candidate in (in_body, query.get("event")):
        if isinstance(candidate, str) and _normalise_name(candidate) in STORED_NAMES:
            return _normalise_name(candidate)
    return None


def _normalise_name(name: str) -> str:
    return name.strip().lower().replace("-", "_")


def identify(name: str, raw_json: str) -> NotificationIdentity:
    """The call that the notification belongs to, and a key that recognises a repetition. `entry_id` is the body's, else
    the uuid.

    Raises:
        MalformedNotification: not a JSON object, or wrong shape.
    """
    content = read_object(raw_json)
    body = validate_schema(EventsNotification, content)
    alias = body.uuid if body.entry_id and body.entry_id != body.uuid else None
    return NotificationIdentity(name, body.entry_id or body.uuid, None, make_dedup_key(name, content), alias)


def parse(name: str, raw_json: str, received_at: int = 0) -> list[PbxEvent]:
    """What a notification means. `received_at` (epoch seconds) stands in for a missing time.

    Raises:
        MalformedNotification: wrong shape; names the path of the field.
    """
    parser = _PARSERS.get(name)
    return parser(validate_schema(EventsNotification, read_object(raw_json)), received_at) if parser else []


def _parse_start(body: EventsNotification, received_at: int) -> list[PbxEvent]:
    at = _first_time(received_at, body.start_time, body.notified_at)
    who = _employee_extension(body)
    # Several extensions may ring in one second. The extension orders them, so the order of arrival does not matter.
    return [LegRinging(at=at, seq=_step_seq(at, _RING_RANK, who), **_leg_fields(body, who))]


def _parse_answer(body: EventsNotification, received_at: int) -> list[PbxEvent]:
    at = _first_time(received_at, body.answer_time, body.notified_at, body.start_time)
    who = _employee_extension(body)
    return [LegAnswered(at=at, seq=_step_seq(at, _ANSWER_RANK), **_leg_fields(body, who))] if who else []


def _parse_transfer(body: EventsNotification, received_at: int) -> list[PbxEvent]:
    at = _first_time(received_at, body.notified_at, body.finish_time, body.start_time)
    old, new = body.from_.inner_extension or body.from_.short_number, body.to.inner_extension or body.to.short_number
    if new is None:
        raise MalformedNotification("to.extension is missing.")
    # The old employee talked until now, even if the call_answer never came; then the new one talks.
    steps: list[PbxEvent] = []
    if old is not None:
        steps.append(LegAnswered(at=at, seq=_step_seq(at, _TRANSFER_FROM_RANK), **_leg_fields(body, old, moved=True)))
    steps.append(LegAnswered(at=at, seq=_step_seq(at, _TRANSFER_TO_RANK), **_leg_fields(body, new, moved=True)))
    return [*steps, CallTransferred(at=at, from_extension=old, to_extension=new)]


def _parse_end(body: EventsNotification, received_at: int) -> list[PbxEvent]:
    ended, talk = _talk_span(body, received_at)
    who = _employee_extension(body)
    where = _leg_fields(body, who)
    reason = _end_reason(body, talk is not None)
    events: list[PbxEvent] = []
    if talk is not None and who is not None:
        # After a call_answer this changes nothing. After a transfer some senders name the first talker here, others the
        # last. As the
        # last step, with the talk's first moment, it makes neither of them talk after the other.
        events.append(LegAnswered(at=talk, seq=_TALK_SEQ, **where))
    events.append(LegEnded(at=ended, seq=_END_SEQ, reason=reason, **where))
    started = body.start_time if body.start_time is not None else (talk or ended)
    caller, callee = where["caller"], where["callee"]
    if body.direction == "in" and talk is None:
        callee = NOBODY  # `to` then names the line or an employee who rang, not a talker
    events.append(
        CallEnded(
            at=ended,
            direction=body.direction,
            caller=caller,
            callee=callee,
            line=where["line"],
            started_at=min(started, talk or ended),
            forwarded_at=None,
            talk_at=talk,
            ended_at=ended,
            reason=reason,
        )
    )
    return events


def _talk_span(body: EventsNotification, received_at: int) -> tuple[int, int | None]:
    """(end of the call, begin of the talk or None)."""
    duration = max(0, body.duration or 0)
    if body.finish_time is None and body.start_time is not None and body.duration is not None:
        ended = body.start_time + duration
    else:
        ended = _first_time(received_at, body.finish_time, body.notified_at, received_at, body.start_time)
    state = _call_state(body)
    answered = state in _ANSWERED_STATES if state else duration > 0
    if body.direction == "in" and body.to.inner_extension is None:
        answered = False  # extension "0" or none: nobody answered
    if not answered or body.duration == 0:
        return ended, None
    if body.duration is None:
        return ended, body.answer_time or body.start_time or ended
    return ended, max(1, ended - duration)


def _parse_record(body: EventsNotification, received_at: int) -> list[PbxEvent]:
    url, name = body.record_url, body.recording_id
    if url is None and name is None:
        raise MalformedNotification("record_url is missing.")
    if name is None:
        name = hashlib.sha256(f"{body.uuid}\n{url}".encode()).hexdigest()[:40]
    # Not start_time, which is the call's: the lag of the recording counts from this notification.
    at = received_at or _first_time(received_at, body.notified_at, body.finish_time, body.start_time)
    return [RecordingEvent(at=at, recording_id=name, state="added", extension=_employee_extension(body), url=url)]


def _step_seq(at: int, rank: int, tie: str | None = None) -> int:
    """Position on the leg: by time, then by kind, then by `tie`; below 2**49."""
    return (at * 8 + rank) * 4096 + (zlib.crc32(tie.encode()) % 4096 if tie else 0)


def _call_state(body: EventsNotification) -> str:
    return (body.call_state or "").lower().replace("_", "").replace(" ", "").replace("-", "")


def _end_reason(body: EventsNotification, talked: bool) -> int:
    if body.disconnect_reason:
        return body.disconnect_reason
    if talked:
        return 1100
    known = _STATE_CODES.get(_call_state(body))
    return known if known is not None else (1111 if body.direction == "in" else 0)


def _first_time(received_at: int, *candidates: int | None) -> int:
    for candidate in (*candidates, received_at):
        if candidate:
            return candidate
    raise MalformedNotification("start_time is missing.")


def _employee_extension(body: EventsNotification) -> str | None:
    """The extension that rings, talks or dials; None: unknown."""
    if body.direction == "out":
        if body.from_.inner_extension or body.from_.short_number:
            return body.from_.inner_extension or body.from_.short_number
        # Some senders write the employee's extension beside the client's number.
        return body.to.inner_extension if body.to.number != body.to.inner_extension else None
    return body.to.inner_extension


def _leg_fields(body: EventsNotification, who: str | None, moved: bool = False) -> _EventsLegFields:
    """Both sides, with `who` as the employee; without a known employee the leg counts as a queue.

    `moved`: a transfer. Its sides are two employees; at most the client's number is there.
    """
    direction = body.direction
    line = None if direction == "internal" else body.line_number
    kind: LegKind = "person" if who else "queue"
    own = Party(who, _own_number(body, who))
    if direction == "out":
        client = _outside_party(body.to) if moved else Party(None, body.to.number)
        return {"leg": body.uuid, "leg_kind": kind, "caller": own, "callee": client, "line": line}
    if direction == "internal" and not moved:
        colleague = body.from_.inner_extension or body.from_.short_number
        caller = Party(colleague, body.from_.number)
    else:
        caller = _outside_party(body.from_) if moved else Party(None, body.from_.number)
    return {"leg": body.uuid, "leg_kind": kind, "caller": caller, "callee": own, "line": line}


def _own_number(body: EventsNotification, who: str | None) -> str | None:
    for side in (body.from_, body.to):
        if who is not None and side.inner_extension == who and phone.normalise(side.number) is None:
            return side.number
    return None


def _outside_party(side: EventsSide) -> Party:
    return Party(None, side.number) if phone.normalise(side.number) else NOBODY


_PARSERS: Final = {
    "call_start": _parse_start,
    "call_answer": _parse_answer,
    "call_end": _parse_end,
    "call_record": _parse_record,
    "call_transfer": _parse_transfer,
}
