"""The short dialect: `call_start`, `call_answer`, `call_end`, `call_record`, `call_transfer` (contract, section 5). Pure.

Nothing in it is signed; the hook key alone admits it. It has no legs, so each call is told as *one* leg, named by its uuid, whose
employee changes: the steps are ordered by the time that they carry, then by what they are, and the end comes last whenever it
arrived. That lets one `call_end` close everything, whoever rang, and a transfer change the talker.
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
"""States of an unanswered call as codes of `mango.codes`; of others nothing is known (0)."""

# Order of steps told for the same second.
_RING_RANK, _ANSWER_RANK, _TRANSFER_FROM_RANK, _TRANSFER_TO_RANK = range(4)
_TALK_SEQ, _END_SEQ = 2**50, 2**50 + 1
"""Behind every step that carries a time."""


class _EventsLegFields(TypedDict):
    """What the steps of a call's one leg have in common."""

    leg: str
    leg_kind: LegKind
    caller: Party
    callee: Party
    line: str | None


def find_name(path_tail: str, body: str, query: Mapping[str, str]) -> str | None:
    """The notification's name: last path segment, else the body's `event`, else ``?event=``; None: none of the five.

    `path_tail` is what follows the hook key; `body` the raw text.
    """
    last = _normalise_name(path_tail.rstrip("/").rpartition("/")[2])
    if last in STORED_NAMES:
        return last
    try:
        said = read_object(body).get("event")
    except MalformedNotification:
        said = None  # wrong shape is `identify`'s to report, once the name is known
    for candidate in (said, query.get("event")):
        if isinstance(candidate, str) and _normalise_name(candidate) in STORED_NAMES:
            return _normalise_name(candidate)
    return None


def _normalise_name(name: str) -> str:
    return name.strip().lower().replace("-", "_")


def identify(name: str, raw_json: str) -> NotificationIdentity:
    """Which call it belongs to, and whether it came before. `entry_id` is the body's, else the uuid.

    Raises:
        Malformed: not a JSON object, or wrong shape.
    """
    content = read_object(raw_json)
    said = validate_schema(EventsNotification, content)
    alias = said.uuid if said.entry_id and said.entry_id != said.uuid else None
    return NotificationIdentity(name, said.entry_id or said.uuid, None, make_dedup_key(name, content), alias)


def parse(name: str, raw_json: str, received_at: int = 0) -> list[PbxEvent]:
    """What a notification means. `received_at` (epoch seconds) stands in where it carries no time.

    Raises:
        Malformed: wrong shape; names the path of the field.
    """
    reader = _PARSERS.get(name)
    return reader(validate_schema(EventsNotification, read_object(raw_json)), received_at) if reader else []


def _parse_start(said: EventsNotification, received_at: int) -> list[PbxEvent]:
    at = _first_time(received_at, said.start_time, said.notified_at)
    who = _employee_extension(said)
    # Several may ring in one second: the extension decides, so that the order of arrival does not.
    return [LegRinging(at=at, seq=_step_seq(at, _RING_RANK, who), **_leg_fields(said, who))]


def _parse_answer(said: EventsNotification, received_at: int) -> list[PbxEvent]:
    at = _first_time(received_at, said.answer_time, said.notified_at, said.start_time)
    who = _employee_extension(said)
    return [LegAnswered(at=at, seq=_step_seq(at, _ANSWER_RANK), **_leg_fields(said, who))] if who else []


def _parse_transfer(said: EventsNotification, received_at: int) -> list[PbxEvent]:
    at = _first_time(received_at, said.notified_at, said.finish_time, said.start_time)
    old, new = said.from_.inner_extension or said.from_.short_number, said.to.inner_extension or said.to.short_number
    if new is None:
        raise MalformedNotification("to.extension is missing.")
    # The old one talked until now, even where its call_answer never came; then the new one talks.
    talked: list[PbxEvent] = []
    if old is not None:
        talked.append(LegAnswered(at=at, seq=_step_seq(at, _TRANSFER_FROM_RANK), **_leg_fields(said, old, moved=True)))
    talked.append(LegAnswered(at=at, seq=_step_seq(at, _TRANSFER_TO_RANK), **_leg_fields(said, new, moved=True)))
    return [*talked, CallTransferred(at=at, from_extension=old, to_extension=new)]


def _parse_end(said: EventsNotification, received_at: int) -> list[PbxEvent]:
    ended, talk = _talk_span(said, received_at)
    who = _employee_extension(said)
    where = _leg_fields(said, who)
    reason = _end_reason(said, talk is not None)
    events: list[PbxEvent] = []
    if talk is not None and who is not None:
        # Where a call_answer told it already this changes nothing. After a transfer some name the first talker here, some
        # the last: as the last step but with the talk's first moment it makes neither of them talk after the other.
        events.append(LegAnswered(at=talk, seq=_TALK_SEQ, **where))
    events.append(LegEnded(at=ended, seq=_END_SEQ, reason=reason, **where))
    started = said.start_time if said.start_time is not None else (talk or ended)
    caller, callee = where["caller"], where["callee"]
    if said.direction == "in" and talk is None:
        callee = NOBODY  # `to` then names the line or whoever was tried, not a talker
    events.append(
        CallEnded(
            at=ended,
            direction=said.direction,
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


def _talk_span(said: EventsNotification, received_at: int) -> tuple[int, int | None]:
    """(end, begin of the talk or None)."""
    duration = max(0, said.duration or 0)
    if said.finish_time is None and said.start_time is not None and said.duration is not None:
        ended = said.start_time + duration
    else:
        ended = _first_time(received_at, said.finish_time, said.notified_at, received_at, said.start_time)
    state = _call_state(said)
    answered = state in _ANSWERED_STATES if state else duration > 0
    if said.direction == "in" and said.to.inner_extension is None:
        answered = False  # extension "0", or none: nobody answered
    if not answered or said.duration == 0:
        return ended, None
    if said.duration is None:
        return ended, said.answer_time or said.start_time or ended
    return ended, max(1, ended - duration)


def _parse_record(said: EventsNotification, received_at: int) -> list[PbxEvent]:
    url, name = said.record_url, said.recording_id
    if url is None and name is None:
        raise MalformedNotification("record_url is missing.")
    if name is None:
        name = hashlib.sha256(f"{said.uuid}\n{url}".encode()).hexdigest()[:40]
    # Not start_time: that is the call's, and the lag of the recording counts from this notice.
    at = received_at or _first_time(received_at, said.notified_at, said.finish_time, said.start_time)
    return [RecordingEvent(at=at, recording_id=name, state="added", extension=_employee_extension(said), url=url)]


def _step_seq(at: int, rank: int, tie: str | None = None) -> int:
    """Position on the leg: by time, then by kind, then by `tie`; below 2**49."""
    return (at * 8 + rank) * 4096 + (zlib.crc32(tie.encode()) % 4096 if tie else 0)


def _call_state(said: EventsNotification) -> str:
    return (said.call_state or "").lower().replace("_", "").replace(" ", "").replace("-", "")


def _end_reason(said: EventsNotification, talked: bool) -> int:
    if said.disconnect_reason:
        return said.disconnect_reason
    if talked:
        return 1100
    known = _STATE_CODES.get(_call_state(said))
    return known if known is not None else (1111 if said.direction == "in" else 0)


def _first_time(received_at: int, *candidates: int | None) -> int:
    for candidate in (*candidates, received_at):
        if candidate:
            return candidate
    raise MalformedNotification("start_time is missing.")


def _employee_extension(said: EventsNotification) -> str | None:
    """The extension that rings, talks or dials; None: not known."""
    if said.direction == "out":
        if said.from_.inner_extension or said.from_.short_number:
            return said.from_.inner_extension or said.from_.short_number
        # Some write the employee's extension beside the client's number.
        return said.to.inner_extension if said.to.number != said.to.inner_extension else None
    return said.to.inner_extension


def _leg_fields(said: EventsNotification, who: str | None, moved: bool = False) -> _EventsLegFields:
    """Both sides with `who` as the employee; a place for which nobody of ours is known counts as a queue.

    `moved`: a transfer, whose sides are two employees; the client is there by number at most.
    """
    direction = said.direction
    line = None if direction == "internal" else said.line_number
    place: LegKind = "person" if who else "queue"
    own = Party(who, _own_number(said, who))
    if direction == "out":
        client = _outside_party(said.to) if moved else Party(None, said.to.number)
        return {"leg": said.uuid, "leg_kind": place, "caller": own, "callee": client, "line": line}
    if direction == "internal" and not moved:
        colleague = said.from_.inner_extension or said.from_.short_number
        caller = Party(colleague, said.from_.number)
    else:
        caller = _outside_party(said.from_) if moved else Party(None, said.from_.number)
    return {"leg": said.uuid, "leg_kind": place, "caller": caller, "callee": own, "line": line}


def _own_number(said: EventsNotification, who: str | None) -> str | None:
    for side in (said.from_, said.to):
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
