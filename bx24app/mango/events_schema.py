"""The schema of the events dialect: one structure for all five notifications, with times and directions in any
spelling."""

from __future__ import annotations

import contextlib
from datetime import datetime
from typing import Annotated, Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import AliasChoices, BeforeValidator, Field

from bx24app.domain.calls.events import Direction, Party
from bx24app.mango.notification import (
    AsObject,
    Id,
    LenientInt,
    MangoSchema,
    RequiredId,
    Text,
    parse_epoch,
    parse_talk,
    parse_text,
)

MOSCOW = ZoneInfo("Europe/Moscow")
"""Times without a zone are Moscow times at Mango."""

_DIRECTIONS: dict[str, Direction] = {
    "in": "in",
    "incoming": "in",
    "inbound": "in",
    "1": "in",
    "out": "out",
    "outgoing": "out",
    "outbound": "out",
    "2": "out",
    "internal": "internal",
    "0": "internal",
    "3": "internal",  # context_type of the statistics
}
_MAX_LINK_LENGTH = 4096
_TIME_FORMATS = ("%d.%m.%Y %H:%M:%S", "%d.%m.%Y %H:%M")


def _parse_time(value: Any) -> int | None:
    """Epoch seconds from an epoch (number or text), ISO 8601, or DD.MM.YYYY HH:MM:SS."""
    if not isinstance(value, str) or not value.strip() or value.strip().isdigit():
        return parse_epoch(value)
    text = value.strip()
    with contextlib.suppress(
        ValueError
    ):  # not a number, but a written date; or an epoch out of bounds, which no date format accepts
        return parse_epoch(float(text) // 1)
    try:
        return parse_epoch(_parse_written_time(text).timestamp() // 1)
    except OverflowError:
        raise ValueError("is not a time") from None


def _parse_written_time(text: str) -> datetime:
    for form in _TIME_FORMATS:
        try:
            return datetime.strptime(text, form).replace(tzinfo=MOSCOW)
        except ValueError:
            continue
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("is not a time") from None
    return read if read.tzinfo else read.replace(tzinfo=MOSCOW)


def _parse_seconds(value: Any) -> int | None:
    return parse_talk(int(value) if isinstance(value, float) and abs(value) < 1e9 else value)


def _parse_direction(value: Any) -> Direction | None:
    if value is None or value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise ValueError("is not a direction")
    direction = _DIRECTIONS.get(str(value).strip().lower())
    if direction is None:
        raise ValueError("is not a direction, wanted in, out or internal")
    return direction


def _parse_link(value: Any) -> str | None:
    link = parse_text(value)
    if link is None:
        return None
    parts = urlsplit(link)
    if parts.scheme not in {"http", "https"} or not parts.hostname or len(link) > _MAX_LINK_LENGTH:
        raise ValueError("is not a link")
    return link


def _parse_side(value: Any) -> Any:
    return {"number": value} if isinstance(value, (str, int)) and not isinstance(value, bool) and value != "" else value


LenientTime = Annotated[int | None, BeforeValidator(_parse_time)]
LenientSeconds = Annotated[int | None, BeforeValidator(_parse_seconds)]
LenientDirection = Annotated[Direction | None, BeforeValidator(_parse_direction)]
Link = Annotated[str | None, BeforeValidator(_parse_link)]


class EventsSide(MangoSchema):
    """`from` or `to`. A bare number stands for a side that has only a number."""

    number: Id = None
    extension: Id = None

    @property
    def inner_extension(self) -> str | None:
        """The extension; "0" means that there is none."""
        return self.extension if self.extension and self.extension.strip("0") else None

    @property
    def short_number(self) -> str | None:
        """The number, if it can only be an extension."""
        number = self.number or ""
        return number if number.isdigit() and len(number) <= 6 and number.strip("0") else None

    @property
    def as_party(self) -> Party:
        return Party(self.inner_extension, self.number)


AnyEventsSide = Annotated[EventsSide, AsObject, BeforeValidator(_parse_side)]


class EventsNotification(MangoSchema):
    """All five notifications. `duration` is the talk in seconds if `call_state` is Answered."""

    uuid: RequiredId
    entry_id: Id = None
    event: Text = None
    start_time: LenientTime = None
    finish_time: LenientTime = None
    notified_at: LenientTime = Field(default=None, validation_alias=AliasChoices("timestamp", "event_time", "time"))
    answer_time: LenientTime = None
    duration: LenientSeconds = None
    from_: AnyEventsSide = Field(default=EventsSide(), alias="from")
    to: AnyEventsSide = EventsSide()
    call_direction: LenientDirection = Field(default=None, validation_alias=AliasChoices("call_direction", "direction"))
    call_state: Text = None
    line_number: Id = None
    disconnect_reason: LenientInt = None
    recording_id: Id = None
    record_url: Link = Field(default=None, validation_alias=AliasChoices("record_url", "url", "link"))

    @property
    def direction(self) -> Direction:
        """As the notification says, else by which side has an extension."""
        if self.call_direction is not None:
            return self.call_direction
        if not (self.from_.inner_extension or self.from_.short_number):
            return "in"
        return "internal" if self.to.inner_extension else "out"
