"""The outside shape of the short dialect: one structure for all five notifications, times and directions in any spelling."""

from __future__ import annotations

import contextlib
from datetime import datetime
from typing import Annotated, Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import AliasChoices, BeforeValidator, Field

from bx24app.domain.calls.events import Direction, Party
from bx24app.mango.notification import AsObject, Id, NeededId, Shape, Text, Whole, moment, text, whole

MOSCOW = ZoneInfo("Europe/Moscow")
"""Mango writes wall clocks without a zone in Moscow time."""

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
_LONGEST_LINK = 4096
_WRITTEN = ("%d.%m.%Y %H:%M:%S", "%d.%m.%Y %H:%M")


def _time(value: Any) -> int | None:
    """Epoch seconds from an epoch (number or text), ISO 8601, or DD.MM.YYYY HH:MM:SS."""
    if not isinstance(value, str) or not value.strip() or value.strip().isdigit():
        return moment(value)
    said = value.strip()
    with contextlib.suppress(ValueError):  # not a number: a written date, or an epoch out of bounds, which is no date
        return moment(float(said) // 1)
    try:
        return moment(_written(said).timestamp() // 1)
    except OverflowError:
        raise ValueError("is not a time") from None


def _written(said: str) -> datetime:
    for form in _WRITTEN:
        try:
            return datetime.strptime(said, form).replace(tzinfo=MOSCOW)
        except ValueError:
            continue
    try:
        read = datetime.fromisoformat(said)
    except ValueError:
        raise ValueError("is not a time") from None
    return read if read.tzinfo else read.replace(tzinfo=MOSCOW)


def _seconds(value: Any) -> int | None:
    if isinstance(value, float) and abs(value) < 1e9:
        return int(value)
    return whole(value)


def _direction(value: Any) -> Direction | None:
    if value is None or value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise ValueError("is not a direction")
    found = _DIRECTIONS.get(str(value).strip().lower())
    if found is None:
        raise ValueError("is not a direction, wanted in, out or internal")
    return found


def _link(value: Any) -> str | None:
    link = text(value)
    if link is None:
        return None
    parts = urlsplit(link)
    if parts.scheme not in {"http", "https"} or not parts.hostname or len(link) > _LONGEST_LINK:
        raise ValueError("is not a link")
    return link


def _side(value: Any) -> Any:
    return {"number": value} if isinstance(value, (str, int)) and not isinstance(value, bool) and value != "" else value


Time = Annotated[int | None, BeforeValidator(_time)]
Seconds = Annotated[int | None, BeforeValidator(_seconds)]
Way = Annotated[Direction | None, BeforeValidator(_direction)]
Link = Annotated[str | None, BeforeValidator(_link)]


class ShortSide(Shape):
    """`from` or `to`; a bare number stands for a side that has only that."""

    number: Id = None
    extension: Id = None

    @property
    def inner(self) -> str | None:
        """The extension; "0" says that there is none."""
        return self.extension if self.extension and self.extension.strip("0") else None

    @property
    def short_number(self) -> str | None:
        """The number, where it can only be an inner one."""
        number = self.number or ""
        return number if number.isdigit() and len(number) <= 6 and number.strip("0") else None

    @property
    def party(self) -> Party:
        return Party(self.inner, self.number)


AnyShortSide = Annotated[ShortSide, AsObject, BeforeValidator(_side)]


class Short(Shape):
    """All five notifications. `duration` is the talk in seconds where `call_state` is Answered."""

    uuid: NeededId
    entry_id: Id = None
    event: Text = None
    start_time: Time = None
    finish_time: Time = None
    told_at: Time = Field(default=None, validation_alias=AliasChoices("timestamp", "event_time", "time"))
    answer_time: Time = None
    duration: Seconds = None
    from_: AnyShortSide = Field(default=ShortSide(), alias="from")
    to: AnyShortSide = ShortSide()
    call_direction: Way = Field(default=None, validation_alias=AliasChoices("call_direction", "direction"))
    call_state: Text = None
    line_number: Id = None
    disconnect_reason: Whole = None
    recording_id: Id = None
    record_url: Link = Field(default=None, validation_alias=AliasChoices("record_url", "url", "link"))

    @property
    def direction(self) -> Direction:
        """As said, else by who has an extension."""
        if self.call_direction is not None:
            return self.call_direction
        if not (self.from_.inner or self.from_.short_number):
            return "in"
        return "internal" if self.to.inner else "out"
