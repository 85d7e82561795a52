"""The settings document (contract, section 6) as types; `bx24app.domain.document` parses into them.

All types are frozen: a call keeps the settings version that it began with, and many threads share one parsed document.
Secrets are not part of it: the PBX's row holds them, encrypted.
"""

from __future__ import annotations

from datetime import date
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictBool, StringConstraints
from pydantic_core import PydanticCustomError

from bx24app.domain import phone
from bx24app.domain.dialects import DIALECT_TRAITS, DialectTraits, traits_of


def _check_dialect(name: str) -> str:
    if name not in DIALECT_TRAITS:
        expected = " or ".join(repr(known) for known in DIALECT_TRAITS)
        raise PydanticCustomError("literal_error", "Input should be {expected}", {"expected": expected})
    return name


Dialect = Annotated[str, AfterValidator(_check_dialect)]
Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
RecordingPolicy = Literal["upload", "never"]
UserId = Annotated[int, Field(gt=0)]
MAX_LINE_NUMBER = 50
"""Characters of LINE_NUMBER in Bitrix24, and bytes: the server cuts it within a letter (source:
voximplant/lib/rest/helper.php)."""


def cut_line_number(text: str) -> str:
    """As much of a line's name as LINE_NUMBER holds, of whole letters.

    >>> cut_line_number("7495 " * 9 + "транк")
    '7495 7495 7495 7495 7495 7495 7495 7495 7495 тр'
    """
    return text.strip().encode(errors="ignore")[:MAX_LINE_NUMBER].decode(errors="ignore").strip()


PhoneNumber = Annotated[str, StringConstraints(min_length=1, max_length=64, strip_whitespace=True)]
PbxKey = Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]{1,20}$")]
ClockTime = Annotated[str, StringConstraints(pattern=r"^([01]\d|2[0-3]):[0-5]\d$|^24:00$")]


class FrozenModel(BaseModel):
    """Base of all parts: immutable, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class PortalSettings(FrozenModel):
    default_user_id: UserId = 1
    """The default responsible: answers for calls that no line or employee claims."""
    timezone: str = "Europe/Moscow"


class RecordingSettings(FrozenModel):
    attach: RecordingPolicy = "upload"
    min_seconds: Annotated[int, Field(ge=0)] = 0
    """Recordings of shorter talks are not attached."""


class CallSettings(FrozenModel):
    """What is created for a call that no rule matches, and how cards, transfers and recordings are handled."""

    answered: Literal["lead", "contact", "nothing"] = "lead"
    missed: Literal["lead", "activity", "nothing"] = "lead"
    outgoing: Literal["lead", "contact", "nothing"] = "nothing"
    transfer_responsible: Literal["created", "always", "never"] = "created"
    card: Literal["ring", "answer", "never"] = "ring"
    hidden_number: Literal["placeholder", "skip"] = "placeholder"
    internal_calls: Literal["skip", "log"] = "skip"
    recordings: RecordingSettings = RecordingSettings()


class LineResponsible(FrozenModel):
    """Who answers for a line's clients: `first` is always the first of `users`, `round_robin` each in turn."""

    users: tuple[UserId, ...] = ()
    strategy: Literal["round_robin", "first"] = "round_robin"


class HoursBlock(FrozenModel):
    """One block of working hours.

    `to` is exclusive; a block may end at 24:00 and may cross midnight (`to` < `from`).
    """

    days: tuple[Day, ...] = ("mon", "tue", "wed", "thu", "fri")
    from_: ClockTime = Field("09:00", alias="from")
    to: ClockTime = "18:00"
    timezone: str | None = None
    """IANA name; None: the portal's."""
    holidays: tuple[date, ...] = ()


class LineSettings(FrozenModel):
    number: PhoneNumber
    """As the PBX names it."""
    line_number: (
        Annotated[str, StringConstraints(min_length=1, max_length=MAX_LINE_NUMBER, strip_whitespace=True)] | None
    ) = None
    """LINE_NUMBER in Bitrix24; None: `number`."""
    name: str = ""
    responsible: LineResponsible = LineResponsible()
    working_hours: tuple[HoursBlock, ...] = ()
    """Empty: always open."""
    callback_to: str | None = None
    recordings: RecordingPolicy | None = None
    """Overrides `calls.recordings.attach`; None: as there."""
    owner_card: StrictBool = False
    """While other phones ring, the client manager sees the card too."""
    route: Literal["owner"] | None = None
    """`owner`: a client who waits in the menu or a queue is connected with the client manager."""
    route_seconds: Annotated[int, Field(ge=1, le=600)] = 20
    """Seconds after the call's begin in which it may still be connected with the client manager."""

    @property
    def bitrix_number(self) -> str:
        """LINE_NUMBER as Bitrix24 knows this line."""
        return cut_line_number(self.line_number or self.number)


class EmployeeSettings(FrozenModel):
    extension: Annotated[str, StringConstraints(min_length=1, max_length=32, strip_whitespace=True)]
    user_id: UserId
    numbers: tuple[PhoneNumber, ...] = ()
    """Mobiles of the same person: legs to and from them belong to this employee."""
    recordings: RecordingPolicy | None = None


class PbxSettings(FrozenModel):
    key: PbxKey
    name: str = ""
    dialects: tuple[Dialect, ...] = ("vpbx",)
    default_user_id: UserId | None = None
    lines: tuple[LineSettings, ...] = ()
    employees: tuple[EmployeeSettings, ...] = ()

    @cached_property
    def traits(self) -> list[DialectTraits]:
        """Of each of its dialects."""
        return traits_of(self.dialects)

    @cached_property
    def by_extension(self) -> dict[str, EmployeeSettings]:
        return {employee.extension: employee for employee in self.employees}

    @cached_property
    def by_mobile(self) -> dict[str, str]:
        """Normal form of a mobile -> extension. Computed once for a document, which all its calls share."""
        return {
            normal: employee.extension
            for employee in self.employees
            for number in employee.numbers
            if (normal := phone.normalise(number))
        }

    @cached_property
    def by_line(self) -> dict[str, LineSettings]:
        """Lines by their numbers as the PBX names them, and by `phone.line_key`."""
        lines: dict[str, LineSettings] = {}
        for line in self.lines:
            lines[line.number] = line
            lines.setdefault(phone.line_key(line.number), line)
        return lines


class Rule(FrozenModel):
    """One rule; `when` and `do` are checked and carried out by `bx24app.domain.rules`."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=200, strip_whitespace=True)]
    when: dict[str, Any] = Field(default_factory=dict)
    do: tuple[dict[str, Any], ...] = ()


class Settings(FrozenModel):
    """One portal's whole document."""

    version: Literal[1] = 1
    portal: PortalSettings = PortalSettings()
    calls: CallSettings = CallSettings()
    pbxs: tuple[PbxSettings, ...] = ()
    rules: tuple[Rule, ...] = ()

    @cached_property
    def by_key(self) -> dict[str, PbxSettings]:
        return {pbx.key: pbx for pbx in self.pbxs}
