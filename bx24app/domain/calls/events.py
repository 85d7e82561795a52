"""What a PBX can tell, past tense. Both dialects and Mango's statistics are translated into these; nothing else reaches the fold.

Times are Unix epoch seconds of the PBX's clock. Numbers are as the PBX wrote them: `phone.normal` is the fold's business,
since only it knows which side is the client. Events are a *set*: order of arrival means nothing, `seq` orders a leg.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

LegKind = Literal["ivr", "queue", "person"]
Direction = Literal["in", "out", "internal"]
TransferKind = Literal["blind", "consultative", "return_blind"]


@dataclass(frozen=True, slots=True)
class Party:
    """One side of a leg: an employee (with `extension`) or somebody outside (only `number`). Both None: anonymous."""

    extension: str | None = None
    number: str | None = None


NOBODY = Party()


@dataclass(frozen=True, slots=True)
class LegEvent:
    """Common to all that concerns one leg (`call_id` of Mango). `seq` counts from 1 within the leg."""

    at: int
    leg: str
    seq: int
    leg_kind: LegKind
    caller: Party
    callee: Party
    line: str | None = None
    """The PBX's own line as the notification names it (``line_number`` of either side)."""
    group: str | None = None
    """Short number of the group that rings (``acd_group``), None where none or unnamed."""
    taken_from: str | None = None
    """The leg from which the caller came here."""
    command_id: str | None = None
    """Id of the API command that made the leg; ours where it starts with our prefix."""
    callback_initiator: str | None = None
    """Who ordered a callback (API, WEB, ObDial …, Latin letters); None: not a callback leg."""
    transfer: TransferKind | None = None


@dataclass(frozen=True, slots=True)
class LegRinging(LegEvent):
    """The callee is known and rings (Appeared)."""


@dataclass(frozen=True, slots=True)
class LegAnswered(LegEvent):
    """Both sides of the leg talk (Connected). A second one on a leg means that a side was replaced."""


@dataclass(frozen=True, slots=True)
class LegHeld(LegEvent):
    """One side was put on hold."""


@dataclass(frozen=True, slots=True)
class LegEnded(LegEvent):
    """The leg is over (Disconnected). `reason` is a code of `mango.codes`."""

    reason: int = 0
    was_transferred: bool = False


@dataclass(frozen=True, slots=True)
class CallEnded:
    """The whole communication is over, said once with authority (summary, or `call_end`, or statistics).

    `talk_at` 0 or None: nobody talked. `callee.extension` of a missed call may be a group.
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
    """The short dialect's `call_transfer`: the client was handed from one extension to another."""

    at: int
    from_extension: str | None
    to_extension: str | None


@dataclass(frozen=True, slots=True)
class RecordingEvent:
    """State of one recording. `state`: started, continued (on another leg), completed (`code` 1000 = kept), added (fetchable).

    `extension` is the recorded employee; None where the PBX did not say. `url` only in the short dialect (good for 24 h).
    `at` of `added` starts the lag that the journal shows.
    """

    at: int
    recording_id: str
    state: Literal["started", "continued", "completed", "added"]
    leg: str | None = None
    extension: str | None = None
    code: int | None = None
    is_in_cloud: bool = True
    """False: only sent by mail, so the API has nothing."""
    url: str | None = field(default=None, repr=False)
    seq: int = 0


@dataclass(frozen=True, slots=True)
class CommandResult:
    """`result/*`: what became of a command that we gave to the PBX. 1000 is success."""

    at: int
    command_id: str
    name: str
    code: int


PbxEvent = LegRinging | LegAnswered | LegHeld | LegEnded | CallEnded | CallTransferred | RecordingEvent | CommandResult
