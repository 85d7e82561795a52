"""The data classes of telephony: calls, statistics rows, cards, lines and recordings. Import them from `state.py`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from bx24app.sandbox.bitrix.state_crm import Owner


@dataclass
class LiveCall:
    """A registered call that is not finished. `start` is CALL_START_DATE, which the deduplication compares."""

    call_id: str
    app_id: int
    user_id: int
    phone: str
    type: int
    start: float
    registered: float
    line: str | None = None
    external_id: str | None = None
    internal: bool = False
    primary: Owner | None = None
    bindings: list[Owner] = field(default_factory=list)
    created: list[Owner] = field(default_factory=list)
    shown_to: list[int] = field(default_factory=list)
    clicked: bool = False
    activity_id: int | None = None
    """The planned CRM activity from which the user started the call."""
    lead_error: str | None = None


@dataclass
class Statistic:
    """A finished call. `called_back_by` is the row of the later outgoing call that answers this missed call."""

    id: int
    call_id: str
    external_id: str | None
    app_id: int
    app_name: str
    user_id: int
    phone: str
    portal_number: str
    type: int
    duration: int
    start: float
    finished: float
    failed_code: str
    failed_reason: str = ""
    cost: float = 0.0
    cost_currency: str = ""
    vote: int = 0
    add_to_chat: bool = False
    primary: Owner | None = None
    activity_id: int | None = None
    file_id: int | None = None
    record_url: str = ""
    transcript_id: int | None = None
    transcript: list[dict[str, Any]] = field(default_factory=list)
    missed: bool = False
    called_back_by: int | None = None
    created: list[Owner] = field(default_factory=list)


@dataclass
class CardStep:
    """One change of a user's call card. `action` is `show` or `hide`, `method` the method that caused it."""

    at: float
    action: str
    user_id: int
    call_id: str
    method: str


@dataclass
class Card:
    """A call card that is open on a user's screen."""

    call_id: str
    user_id: int
    phone: str
    type: int
    line: str
    entity: Owner | None
    opened: float


@dataclass
class Line:
    """An external line of an application."""

    id: int
    app_id: int
    number: str
    name: str = ""
    crm_auto_create: str = "Y"
    automatic: bool = False


@dataclass
class DriveFile:
    """A recording on the Drive, in the folder of the month in which the call began.

    `content` is empty if the file is larger than `portal.keep_bytes`.
    """

    id: int
    folder: str
    name: str
    content: bytes
    created: float
    call_id: str
    via: str = "upload"
    size: int = 0
    sha256: str = ""
