"""The schemas of the vpbx dialect, as lenient as live traffic demands."""

from __future__ import annotations

from typing import Annotated

from pydantic import AliasChoices, Field

from bx24app.mango.notification import AsObject, EpochSeconds, Flag, Id, LenientInt, MangoSchema, RequiredId, Text


class CallSide(MangoSchema):
    """`from` or `to` of a notification. An anonymous caller has no number; a call that ends in the voice menu has no
    `to`."""

    extension: Id = None
    number: Id = None
    line_number: Id = None
    acd_group: Id = None
    taken_from_call_id: Id = None
    was_transferred: Flag = Field(default=False, validation_alias=AliasChoices("was_transferred", "was_transfered"))


AnyCallSide = Annotated[CallSide, AsObject]


class CallReference(MangoSchema):
    """Only the ids by which a notification belongs to a call."""

    entry_id: RequiredId
    command_id: Id = None


class LegNotification(MangoSchema):
    """`events/call`."""

    entry_id: RequiredId
    call_id: RequiredId
    call_state: RequiredId
    timestamp: EpochSeconds = None
    seq: LenientInt = None
    location: Text = Field(default=None, validation_alias=AliasChoices("location", "locaton"))
    from_: AnyCallSide = Field(default=CallSide(), alias="from")
    to: AnyCallSide = CallSide()
    disconnect_reason: LenientInt = None
    transfer: Text = None
    command_id: Id = None
    callback_initiator: Text = None
    task_id: Text = None


class SummaryNotification(MangoSchema):
    """`events/summary`. `line_number` is on the top level here, unlike on a leg."""

    entry_id: RequiredId
    call_direction: LenientInt = None
    from_: AnyCallSide = Field(default=CallSide(), alias="from")
    to: AnyCallSide = CallSide()
    line_number: Id = None
    create_time: EpochSeconds = None
    forward_time: EpochSeconds = None
    talk_time: EpochSeconds = None
    end_time: EpochSeconds = None
    disconnect_reason: LenientInt = None


class RecordingNotification(MangoSchema):
    """`events/recording`."""

    entry_id: RequiredId
    recording_id: RequiredId
    recording_state: RequiredId
    seq: LenientInt = None
    call_id: Id = None
    extension: Id = None
    timestamp: EpochSeconds = None
    completion_code: LenientInt = None
    recipient: Text = None


class RecordAddedNotification(MangoSchema):
    """`events/record/added`."""

    entry_id: RequiredId
    recording_id: RequiredId
    timestamp: EpochSeconds = None


class ResultNotification(MangoSchema):
    """`result/*`. The code is `result` in live traffic; Mango's older manual calls it `code` for some notifications."""

    command_id: RequiredId
    result: LenientInt = Field(default=None, validation_alias=AliasChoices("result", "code"))
    timestamp: EpochSeconds = None
