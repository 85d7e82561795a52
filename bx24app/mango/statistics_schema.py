"""The schemas of Mango's statistics: one object for each entry, with its legs. As lenient as those of the
notifications."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator

from bx24app.domain.calls.events import Party
from bx24app.mango.notification import (
    MAX_ID,
    EpochSeconds,
    Flag,
    Id,
    LenientInt,
    MangoSchema,
    RequiredId,
    TalkSeconds,
    Text,
    parse_text,
)


def _parse_list(value: Any) -> Any:
    if value is None or value == "":
        return ()
    return value if isinstance(value, list) else [value]


def _parse_records(value: Any) -> str | None:
    """The text ``[id,id]``; each id is as short as any other."""
    text = parse_text(value)
    if text is not None and any(len(name) > MAX_ID for name in text.split(",")):
        raise ValueError(f"holds an id longer than {MAX_ID} characters")
    return text


AsList = BeforeValidator(_parse_list)


class StatisticsLeg(MangoSchema):
    """A leg; the leg of a group has its operators' legs in `members`. `call_answer_time` is null if nobody answered."""

    call_type: Text = None
    call_abonent_extension: Id = None
    call_abonent_number: Id = None
    caller_extension: Id = None
    call_start_time: EpochSeconds = None
    call_answer_time: EpochSeconds = None
    call_end_time: EpochSeconds = None
    call_end_reason: LenientInt = None
    external_call_id: Id = None
    recording_id: Annotated[tuple[Id, ...], AsList] = ()
    BlindTransfer: Flag = False
    ConsultTransfer: Flag = False
    ModeGroup: Flag = False
    members: Annotated[tuple[StatisticsLeg, ...], AsList] = ()

    @property
    def is_group(self) -> bool:
        return (self.call_type or "").lower() == "group" or bool(self.members)

    @property
    def is_user(self) -> bool:
        return self.call_abonent_extension is not None or (self.call_type or "").lower() == "user"

    @property
    def is_transfer(self) -> bool:
        """The leg was made to hand the client over, whether or not that succeeded."""
        return self.BlindTransfer or self.ConsultTransfer

    @property
    def as_party(self) -> Party:
        return Party(self.call_abonent_extension, self.call_abonent_number)


class CallStatistics(MangoSchema):
    """One entry. `context_type` differs from a summary's direction: 1 in, 2 out, 3 internal."""

    entry_id: RequiredId
    context_type: LenientInt = None
    context_status: LenientInt = None
    caller_number: Id = None
    called_number: Id = None
    context_start_time: EpochSeconds = None
    duration: LenientInt = None
    talk_duration: TalkSeconds = None
    caller_extension: Id = None
    """The employee who made the call: not Mango's field, but `statistics_users` adds it for `caller_id`."""
    context_calls: Annotated[tuple[StatisticsLeg, ...], AsList] = ()

    @property
    def is_internal(self) -> bool:
        return self.context_type == 3


class StatisticsRow(MangoSchema):
    """One row of the older CSV: a leg without an id of its own. `answer` is 0 if nobody answered."""

    entry_id: RequiredId
    records: Annotated[str | None, BeforeValidator(_parse_records)] = None
    start: EpochSeconds = None
    finish: EpochSeconds = None
    answer: EpochSeconds = None
    from_extension: Id = None
    from_number: Id = None
    to_extension: Id = None
    to_number: Id = None
    disconnect_reason: LenientInt = None
    line_number: Id = None
    location: Text = None
    create: EpochSeconds = None
