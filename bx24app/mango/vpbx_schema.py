"""The outside shapes of the signed dialect, as lenient as live traffic demands."""

from __future__ import annotations

from typing import Annotated

from pydantic import AliasChoices, Field

from bx24app.mango.notification import AsObject, Flag, Id, Moment, NeededId, Shape, Text, Whole


class Side(Shape):
    """`from` or `to` of a notification. An anonymous caller has no number; lost in the voice menu there is no `to`."""

    extension: Id = None
    number: Id = None
    line_number: Id = None
    acd_group: Id = None
    taken_from_call_id: Id = None
    was_transferred: Flag = Field(default=False, validation_alias=AliasChoices("was_transferred", "was_transfered"))


AnySide = Annotated[Side, AsObject]


class Joined(Shape):
    """Only what joins a notification to a call."""

    entry_id: NeededId
    command_id: Id = None


class Leg(Shape):
    """`events/call`."""

    entry_id: NeededId
    call_id: NeededId
    call_state: NeededId
    timestamp: Moment = None
    seq: Whole = None
    location: Text = Field(default=None, validation_alias=AliasChoices("location", "locaton"))
    from_: AnySide = Field(default=Side(), alias="from")
    to: AnySide = Side()
    disconnect_reason: Whole = None
    transfer: Text = None
    command_id: Id = None
    callback_initiator: Text = None
    task_id: Text = None


class Summary(Shape):
    """`events/summary`. `line_number` is on the top level here, unlike on a leg."""

    entry_id: NeededId
    call_direction: Whole = None
    from_: AnySide = Field(default=Side(), alias="from")
    to: AnySide = Side()
    line_number: Id = None
    create_time: Moment = None
    forward_time: Moment = None
    talk_time: Moment = None
    end_time: Moment = None
    disconnect_reason: Whole = None


class RecordingState(Shape):
    """`events/recording`."""

    entry_id: NeededId
    recording_id: NeededId
    recording_state: NeededId
    seq: Whole = None
    call_id: Id = None
    extension: Id = None
    timestamp: Moment = None
    completion_code: Whole = None
    recipient: Text = None


class RecordAdded(Shape):
    """`events/record/added`."""

    entry_id: NeededId
    recording_id: NeededId
    timestamp: Moment = None


class Result(Shape):
    """`result/*`. The code is `result` in traces; the older document prints `code` for some."""

    command_id: NeededId
    result: Whole = Field(default=None, validation_alias=AliasChoices("result", "code"))
    timestamp: Moment = None
