"""The data classes of a portal: people, applications, events and the log.

Those of telephony and the CRM are in `state_calls.py` and `state_crm.py`; all of them can be imported from here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from bx24app.sandbox.bitrix.state_calls import Card, CardStep, DriveFile, Line, LiveCall, Statistic
from bx24app.sandbox.bitrix.state_crm import (
    CALL_PROVIDER,
    COMPANY,
    CONTACT,
    DEAL,
    LEAD,
    TODO_PROVIDER,
    TYPE_IDS,
    TYPE_NAMES,
    Activity,
    Category,
    Comment,
    Multi,
    Owner,
    Record,
    SpaType,
    Status,
    type_name,
)

__all__ = [
    "CALL_PROVIDER", "COMPANY", "CONTACT", "DEAL", "LEAD", "TODO_PROVIDER", "TYPE_IDS", "TYPE_NAMES", "Activity",
    "Application", "Card", "CardStep", "Category", "Comment", "DriveFile", "EventBinding", "EventPost", "InstalledApp",
    "Line", "LiveCall", "LogEntry", "Multi", "Notification", "Owner", "Placement", "Record", "SpaType", "Statistic",
    "Status", "User", "Violation", "type_name",
]  # fmt: skip


@dataclass
class User:
    """An employee. `timeman` is OPENED, CLOSED, PAUSED or EXPIRED, or UNAVAILABLE without time tracking."""

    id: int
    name: str = ""
    last_name: str = ""
    email: str = ""
    active: bool = True
    admin: bool = False
    uf_phone_inner: str = ""
    work_phone: str = ""
    personal_phone: str = ""
    personal_mobile: str = ""
    timeman: str = "OPENED"
    departments: list[int] = field(default_factory=lambda: [1])
    work_position: str = ""
    is_system: bool = False
    """A system user (settings/system-user): no list of users holds it."""
    rights: dict[str, bool] = field(default_factory=dict)
    """Rights that differ from the default, granted or not.

    `crm`, `others` (records of other people), `crm_settings`, `statistics`, `lines`.
    """

    @property
    def full_name(self) -> str:
        return f"{self.name} {self.last_name}".strip() or self.email


@dataclass
class Notification:
    id: int
    user_id: int
    message: str
    created: float
    tag: str = ""
    app_id: int = 0


@dataclass
class EventBinding:
    id: int
    app_id: int
    event: str
    handler: str
    auth_type: int = 0


@dataclass
class Placement:
    app_id: int
    placement: str
    handler: str
    title: str = ""
    description: str = ""
    user_id: int = 0
    options: dict[str, Any] = field(default_factory=dict)
    lang_all: dict[str, Any] = field(default_factory=dict)


@dataclass
class Application:
    """A registered application: in the partner cabinet for every portal (`market`) or in one portal (`local`).

    `ui=False` means "uses API only": at installation the portal posts ONAPPINSTALL to `install_url`.
    """

    client_id: str
    client_secret: str
    handler_url: str
    install_url: str = ""
    scopes: tuple[str, ...] = ("telephony", "crm", "user_basic", "placement", "im", "timeman", "department")
    kind: str = "market"
    name: str = "Mango Office"
    code: str = "bx24app.mango"
    ui: bool = True
    version: int = 1


@dataclass
class InstalledApp:
    """An application in a portal. Until `installed` is set the portal sends no events and shows no placements."""

    id: int
    app: Application
    application_token: str
    installed: bool = False
    version: int = 1
    status: str = "L"
    scopes: list[str] = field(default_factory=list)
    options: dict[str, Any] = field(default_factory=dict)
    user_options: dict[int, dict[str, Any]] = field(default_factory=dict)
    installed_by: int = 0


@dataclass
class LogEntry:
    """One REST request. `commands` holds the commands of a batch as (method, params, error code or None)."""

    at: float
    method: str
    params: dict[str, Any]
    app: str
    user_id: int
    status: int = 0
    error: str | None = None
    commands: list[tuple[str, dict[str, Any], str | None]] = field(default_factory=list)
    seconds: float = 0.0
    hits: int = 1


@dataclass
class EventPost:
    """An event sent to a handler. `status` is the HTTP status of the answer, 0 if there was none."""

    at: float
    event: str
    url: str
    data: dict[str, Any]
    status: int = 0
    error: str = ""


@dataclass
class Violation:
    """A request that the official parameter tables do not allow, or that a real portal silently accepts."""

    method: str
    text: str
    at: float = 0.0

    def __str__(self) -> str:
        return f"{self.method}: {self.text}"
