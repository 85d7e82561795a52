"""What a portal remembers: plain records without behaviour."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

LEAD, DEAL, CONTACT, COMPANY = 1, 2, 3, 4
TYPE_NAMES = {LEAD: "LEAD", DEAL: "DEAL", CONTACT: "CONTACT", COMPANY: "COMPANY"}
TYPE_IDS = {name: number for number, name in TYPE_NAMES.items()}
CALL_PROVIDER, TODO_PROVIDER = "VOXIMPLANT_CALL", "CRM_TODO"
Owner = tuple[int, int]
"""(entityTypeId, id) of a CRM record."""


def type_name(type_id: int) -> str:
    """LEAD, DEAL, … or DYNAMIC_128 for a smart process."""
    return TYPE_NAMES.get(type_id, f"DYNAMIC_{type_id}")


@dataclass
class User:
    """An employee. `timeman`: OPENED, CLOSED, PAUSED, EXPIRED, or UNAVAILABLE without time tracking."""

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
    rights: dict[str, bool] = field(default_factory=dict)
    """Rights that differ from the usual: `crm`, `statistics`, `lines` -> allowed."""

    @property
    def full_name(self) -> str:
        return f"{self.name} {self.last_name}".strip() or self.email


@dataclass
class Multi:
    """A phone or e-mail of a CRM record."""

    id: int
    type_id: str
    value_type: str
    value: str


@dataclass
class Record:
    """A lead, deal, contact, company or item of a smart process; `fields` has the camelCase names of crm.item.*."""

    type_id: int
    id: int
    fields: dict[str, Any]
    multi: list[Multi] = field(default_factory=list)
    created_by_call: str | None = None

    @property
    def title(self) -> str:
        if self.type_id == CONTACT:
            return " ".join(part for part in (self.fields.get("name"), self.fields.get("lastName")) if part)
        return str(self.fields.get("title") or "")

    @property
    def assigned_by_id(self) -> int:
        return int(self.fields["assignedById"])

    @property
    def stage_id(self) -> str:
        return str(self.fields.get("stageId") or "")

    @property
    def category_id(self) -> int:
        return int(self.fields.get("categoryId") or 0)

    @property
    def source_id(self) -> str:
        return str(self.fields.get("sourceId") or "")

    @property
    def contact_ids(self) -> list[int]:
        return list(self.fields.get("contactIds") or [])

    @property
    def company_id(self) -> int:
        return int(self.fields.get("companyId") or 0)

    @property
    def phones(self) -> list[str]:
        return [item.value for item in self.multi if item.type_id == "PHONE"]

    @property
    def key(self) -> Owner:
        return self.type_id, self.id


@dataclass
class Activity:
    """A call, to-do or other activity. Times are epoch seconds; `bindings[0]` is the owner."""

    id: int
    type_id: int
    provider_id: str
    provider_type_id: str
    subject: str
    responsible_id: int
    author_id: int
    created: float
    bindings: list[Owner]
    description: str = ""
    direction: int = 0
    completed: bool = False
    start_time: float | None = None
    end_time: float | None = None
    deadline: float | None = None
    origin_id: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    communications: list[dict[str, Any]] = field(default_factory=list)
    files: list[int] = field(default_factory=list)
    result_stream: str = ""
    extra: dict[str, Any] = field(default_factory=dict)
    history: list[tuple[float, str, Any]] = field(default_factory=list)

    @property
    def missed(self) -> bool:
        return bool(self.settings.get("MISSED_CALL"))


@dataclass
class LiveCall:
    """A registered call that is not finished yet. `start` is CALL_START_DATE (what the deduplication looks at)."""

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
    """The planned CRM activity from which the call was started."""
    lead_error: str | None = None


@dataclass
class Statistic:
    """A finished call. `called_back_by`: the row of the later outgoing call that answered this missed one."""

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
    """One thing that happened to a user's call card: `show` or `hide`, by which method."""

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
    """A recording on the portal's Drive, in a folder per month of the call's start; `content` is empty when it is too large to keep."""

    id: int
    folder: str
    name: str
    content: bytes
    created: float
    call_id: str
    via: str = "upload"
    size: int = 0
    sha256: str = ""


@dataclass
class Comment:
    id: int
    owner: Owner
    author_id: int
    text: str
    created: float


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
    """A registration, in the partner cabinet (`market`: every portal) or in one portal (`local`).

    `ui=False` is "uses API only": the portal itself posts ONAPPINSTALL to `install_url`.
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
    """An application in a portal. Without `installed` no event leaves and no placement shows."""

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
class Category:
    id: int
    type_id: int
    name: str
    sort: int = 100
    default: bool = False


@dataclass
class Status:
    """A stage or source. `semantics`: None in work, S won, F lost."""

    id: int
    entity_id: str
    status_id: str
    name: str
    sort: int
    semantics: str | None = None
    category_id: int | None = None


@dataclass
class SpaType:
    """A smart process; `id` is not its entityTypeId."""

    id: int
    entity_type_id: int
    title: str


@dataclass
class LogEntry:
    """One REST request. `commands`: the sub-commands of a batch as (method, params, error code or None)."""

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
    """An event that left for a handler; `status` 0: not delivered."""

    at: float
    event: str
    url: str
    data: dict[str, Any]
    status: int = 0
    error: str = ""


@dataclass
class Violation:
    """A request that the official parameter tables do not allow, or that a real portal silently swallows."""

    method: str
    text: str
    at: float = 0.0

    def __str__(self) -> str:
        return f"{self.method}: {self.text}"
