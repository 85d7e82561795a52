"""Events: what a notification of a PBX means. The parsers in `mango/` make them from every dialect and from Mango's
statistics.

The fold sees nothing else of a PBX. Times are epoch seconds of the PBX's clock. Phone numbers are as the PBX wrote
them; the fold normalises them once it knows which side is the client. The events of a call are a *set*: the order of
arrival means nothing, `seq` orders a leg.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

LegKind = Literal["ivr", "queue", "person"]
Direction = Literal["in", "out", "internal"]
TransferKind = Literal["blind", "consultative", "return_blind"]


@dataclass(frozen=True, slots=True)
class Party:
    """One side of a leg: an employee with an extension, or an outside party with a number alone. Both None: anonymous.
    """

    extension: str | None = None
    number: str | None = None


NOBODY = Party()


@dataclass(frozen=True, slots=True)
class LegEvent:
    """A step of one leg (Mango's `call_id`). `seq` counts from 1 within the leg; 0 or less: the source does not count.
    """

    at: int
    leg: str
    seq: int
    leg_kind: LegKind
    caller: Party
    callee: Party
    line: str | None = None
    """The line of the PBX as the notification names it (``line_number`` of either side)."""
    group: str | None = None
    """Number of the group that rings (``acd_group``); None: no group, or the notification does not name it."""
    taken_from: str | None = None
    """The leg from which the caller was taken to this one."""
    command_id: str | None = None
    """Id of the API command that began the leg; ours start with `bx24-`."""
    callback_initiator: str | None = None
    """What ordered a callback (API, WEB, ObDial …); None: the leg belongs to no callback."""
    transfer: TransferKind | None = None


@dataclass(frozen=True, slots=True)
class LegRinging(LegEvent):
    """The callee's phone rings (Mango: Appeared)."""


@dataclass(frozen=True, slots=True)
class LegAnswered(LegEvent):
    """Both sides of the leg talk (Mango: Connected). A second one on the same leg: a side was replaced, or is back from
    hold."""


@dataclass(frozen=True, slots=True)
class LegOnHold(LegEvent):
    """One side was put on hold (Mango: OnHold)."""


@dataclass(frozen=True, slots=True)
class LegEnded(LegEvent):
    """The leg is over (Mango: Disconnected). `reason` is a code of `mango.codes`."""

    reason: int = 0
    was_transferred: bool = False


@dataclass(frozen=True, slots=True)
class CallEnded:
    """The whole call is over, by the summary, by `call_end` or by the statistics.

    `talk_at` 0 or None: nobody talked. The `callee.extension` of a missed call may be a group.
    """

    at: int
    direction: Direction
    caller: Party
    callee: Party
    line: str | None
    started_at: int
    forwarded_at: int | None
    talk_at: int | None
    ended_at: int
    reason: int
    source: Literal["summary", "statistics"] = "summary"


@dataclass(frozen=True, slots=True)
class CallTransferred:
    """The dialect `events` tells of a transfer: the client was handed from one extension to another."""

    at: int
    from_extension: str | None
    to_extension: str | None


@dataclass(frozen=True, slots=True)
class RecordingEvent:
    """State of one recording: started, continued (on another leg), completed (`code` 1000: stored), added (can be
    fetched).

    `extension` is the recorded employee; None if the PBX does not name one. `url` comes in the dialect `events` alone
    and is good for 24 h.
    """

    at: int
    recording_id: str
    state: Literal["started", "continued", "completed", "added"]
    leg: str | None = None
    extension: str | None = None
    code: int | None = None
    is_in_cloud: bool = True
    """False: Mango sends the recording by mail alone, the API does not have it."""
    url: str | None = field(default=None, repr=False)
    seq: int = 0


@dataclass(frozen=True, slots=True)
class CommandResult:
    """`result/*`: the result of a command that we gave to the PBX. 1000 is success."""

    at: int
    command_id: str
    name: str
    code: int


PbxEvent = (
    LegRinging | LegAnswered | LegOnHold | LegEnded | CallEnded | CallTransferred | RecordingEvent | CommandResult
)
