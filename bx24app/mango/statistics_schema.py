"""The outside shape of Mango's statistics: one object an entry, with its legs; lenient as the notifications are."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator

from bx24app.domain.calls.events import Party
from bx24app.mango.notification import Flag, Id, Moment, NeededId, Shape, Text, Whole


def _list(value: Any) -> Any:
    if value is None or value == "":
        return ()
    return value if isinstance(value, list) else [value]


AsList = BeforeValidator(_list)


class StatLeg(Shape):
    """A leg; that of a group has those of its operators in `members`. `call_answer_time` is null where nobody answered."""

    call_type: Text = None
    call_abonent_extension: Id = None
    call_abonent_number: Id = None
    caller_extension: Id = None
    call_start_time: Moment = None
    call_answer_time: Moment = None
    call_end_time: Moment = None
    call_end_reason: Whole = None
    external_call_id: Id = None
    recording_id: Annotated[tuple[Id, ...], AsList] = ()
    BlindTransfer: Flag = False
    ConsultTransfer: Flag = False
    ModeGroup: Flag = False
    members: Annotated[tuple[StatLeg, ...], AsList] = ()

    @property
    def is_group(self) -> bool:
        return (self.call_type or "").lower() == "group" or bool(self.members)

    @property
    def is_user(self) -> bool:
        return self.call_abonent_extension is not None

    @property
    def handed(self) -> bool:
        """The leg was made to hand the client over, whether or not that came about."""
        return self.BlindTransfer or self.ConsultTransfer

    @property
    def party(self) -> Party:
        return Party(self.call_abonent_extension, self.call_abonent_number)


class StatEntry(Shape):
    """One entry. `context_type` counts otherwise than a summary's direction: 1 in, 2 out, 3 internal."""

    entry_id: NeededId
    context_type: Whole = None
    context_status: Whole = None
    caller_number: Id = None
    called_number: Id = None
    context_start_time: Moment = None
    duration: Whole = None
    talk_duration: Whole = None
    context_calls: Annotated[tuple[StatLeg, ...], AsList] = ()


class StatRow(Shape):
    """One row of the older CSV: a leg without an id of its own. `answer` is 0 where nobody answered."""

    entry_id: NeededId
    records: Text = None
    start: Moment = None
    finish: Moment = None
    answer: Moment = None
    from_extension: Id = None
    from_number: Id = None
    to_extension: Id = None
    to_number: Id = None
    disconnect_reason: Whole = None
    line_number: Id = None
    location: Text = None
    create: Moment = None
