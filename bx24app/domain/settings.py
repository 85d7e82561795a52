"""The settings document (contract, section 6) as types. `bx24app.domain.document` turns text into these, or into every fault with its path.

All types are frozen: a call pins the settings version that it began with, and many threads share one parsed document.
Secrets are not here: they live, sealed, on the PBX's row.
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
PhoneNumber = Annotated[str, StringConstraints(min_length=1, max_length=64, strip_whitespace=True)]
PbxKey = Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]{1,20}$")]
ClockTime = Annotated[str, StringConstraints(pattern=r"^([01]\d|2[0-3]):[0-5]\d$|^24:00$")]


class FrozenModel(BaseModel):
    """Base of all parts: immutable, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class PortalSettings(FrozenModel):
    default_user_id: UserId = 1
    """Answers for a call that maps to nobody."""
    timezone: str = "Europe/Moscow"


class RecordingSettings(FrozenModel):
    attach: RecordingPolicy = "upload"
    min_seconds: Annotated[int, Field(ge=0)] = 0
    """A talk shorter than this gets no recording attached."""


class CallSettings(FrozenModel):
    """What a call makes where no rule matches, and how cards, transfers and recordings behave."""

    answered: Literal["lead", "contact", "nothing"] = "lead"
    missed: Literal["lead", "activity", "nothing"] = "lead"
    outgoing: Literal["lead", "contact", "nothing"] = "nothing"
    transfer_responsible: Literal["created", "always", "never"] = "created"
    card: Literal["ring", "answer", "never"] = "ring"
    hidden_number: Literal["placeholder", "skip"] = "placeholder"
    internal_calls: Literal["skip", "log"] = "skip"
    recordings: RecordingSettings = RecordingSettings()


class LineResponsible(FrozenModel):
    """Who answers for a line's clients: `first` takes the first of `users`, `round_robin` one after another."""

    users: tuple[UserId, ...] = ()
    strategy: Literal["round_robin", "first"] = "round_robin"


class HoursBlock(FrozenModel):
    """One block of working hours. `to` is exclusive; a block may end at 24:00 and may cross midnight (`to` < `from`)."""

    days: tuple[Day, ...] = ("mon", "tue", "wed", "thu", "fri")
    from_: ClockTime = Field("09:00", alias="from")
    to: ClockTime = "18:00"
    timezone: str | None = None
    """IANA name; None: the portal's."""
    holidays: tuple[date, ...] = ()


class LineSettings(FrozenModel):
    number: PhoneNumber
    """As the PBX names it."""
    line_number: Annotated[str, StringConstraints(min_length=1, max_length=50, strip_whitespace=True)] | None = None
    """LINE_NUMBER in Bitrix24; None: `number`."""
    name: str = ""
    responsible: LineResponsible = LineResponsible()
    working_hours: tuple[HoursBlock, ...] = ()
    """Empty: always open."""
    callback_to: str | None = None
    recordings: RecordingPolicy | None = None
    """Over `calls.recordings.attach`; None: as there."""
    owner_card: StrictBool = False
    """The client's own manager sees the card too, while others ring."""
    route: Literal["owner"] | None = None
    """`owner`: a client who waits in the menu or a queue is sent to their own manager."""
    route_seconds: Annotated[int, Field(ge=1, le=600)] = 20
    """So long after its beginning a call may still be sent there."""

    @property
    def bitrix_number(self) -> str:
        """LINE_NUMBER as Bitrix24 knows this line."""
        return self.line_number or self.number


class EmployeeSettings(FrozenModel):
    extension: Annotated[str, StringConstraints(min_length=1, max_length=32, strip_whitespace=True)]
    user_id: UserId
    numbers: tuple[PhoneNumber, ...] = ()
    """Mobiles of the same person: a leg to or from one of them is this employee's."""
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
        """Normal form of a mobile -> extension. Here, since documents are shared by all calls and policies are made for each."""
        return {
            normal: employee.extension
            for employee in self.employees
            for number in employee.numbers
            if (normal := phone.normalise(number))
        }

    @cached_property
    def by_line(self) -> dict[str, LineSettings]:
        """Lines as the PBX names them, and by their digits alone."""
        found: dict[str, LineSettings] = {}
        for line in self.lines:
            found[line.number] = line
            if phone.digits_only(line.number):
                found.setdefault(phone.digits_only(line.number), line)
        return found


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
