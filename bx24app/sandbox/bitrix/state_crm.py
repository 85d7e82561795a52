"""The data classes of the CRM: records, activities, comments, pipelines and stages. Import them from `state.py`."""

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
    """The name of an entity type: LEAD, DEAL, …, or DYNAMIC_128 for a smart process."""
    return TYPE_NAMES.get(type_id, f"DYNAMIC_{type_id}")


@dataclass
class Multi:
    """A phone or e-mail of a CRM record."""

    id: int
    type_id: str
    value_type: str
    value: str


@dataclass
class Record:
    """A lead, deal, contact, company or item of a smart process. `fields` uses the camelCase names of crm.item.*."""

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
    def is_missed(self) -> bool:
        return bool(self.settings.get("MISSED_CALL"))


@dataclass
class Comment:
    id: int
    owner: Owner
    author_id: int
    text: str
    created: float


@dataclass
class Category:
    id: int
    type_id: int
    name: str
    sort: int = 100
    default: bool = False


@dataclass
class Status:
    """A stage or source. `semantics` is None for a stage in work, S for won, F for lost."""

    id: int
    entity_id: str
    status_id: str
    name: str
    sort: int
    semantics: str | None = None
    category_id: int | None = None


@dataclass
class SpaType:
    """A smart process. Its `id` differs from its entityTypeId."""

    id: int
    entity_type_id: int
    title: str
    parents: tuple[int, ...] = ()
    """Types to which it is bound: its items have a parentId<type> of each."""
