"""Where a call that the portal asks for leaves from: which PBX, which line, whose telephone. Decided by the settings alone."""

from __future__ import annotations

from dataclasses import dataclass

from bx24app.domain import phone
from bx24app.domain.settings import EmployeeSettings, LineSettings, PbxSettings, Settings


@dataclass(frozen=True, slots=True)
class Origin:
    pbx: PbxSettings
    line: LineSettings | None
    employee: EmployeeSettings | None = None
    """Who clicked; None: has no extension in this PBX."""

    @property
    def caller_id(self) -> str | None:
        """The line's number as the PBX names it; None: nobody chose a line."""
        return self.line.number if self.line else None


def find_click_origin(document: Settings, line_number: str, user: int) -> Origin | None:
    """LINE_NUMBER picks the PBX; where it is empty or unknown, the first PBX of the document in which the user has an extension."""
    found = _find_line(document, line_number)
    if found is not None:
        return Origin(found[0], found[1], _find_employee(found[0], user))
    places = (Origin(pbx, None, employee) for pbx in document.pbxs if (employee := _find_employee(pbx, user)) is not None)
    return next(places, None)


def find_callback_origin(document: Settings, line_number: str) -> Origin | None:
    """LINE_NUMBER picks the PBX; where it is empty or unknown, the first line of the document."""
    found = _find_line(document, line_number)
    if found is not None:
        return Origin(*found)
    if not document.pbxs:
        return None
    first = next((pbx for pbx in document.pbxs if pbx.lines), document.pbxs[0])
    return Origin(first, first.lines[0] if first.lines else None)


def choose_callback_target(place: Origin) -> str | None:
    """Extension or group that a form callback rings first: the line's `callback_to`, else its first responsible, else the first employee."""
    if place.line is not None and place.line.callback_to:
        return place.line.callback_to
    responsible = place.line.responsible.users if place.line is not None else ()
    named = (employee for user in responsible if (employee := _find_employee(place.pbx, user)) is not None)
    chosen = next(named, None) or next(iter(place.pbx.employees), None)
    return chosen.extension if chosen else None


def _find_line(document: Settings, line_number: str) -> tuple[PbxSettings, LineSettings] | None:
    if not line_number:
        return None
    lines = [(pbx, line) for pbx in document.pbxs for line in pbx.lines]
    exact = (found for found in lines if line_number in (found[1].bitrix_number, found[1].number))
    digits = phone.digits_only(line_number)
    alike = (found for found in lines if digits and digits == phone.digits_only(found[1].bitrix_number))
    return next(exact, None) or next(alike, None)


def _find_employee(pbx: PbxSettings, user: int) -> EmployeeSettings | None:
    return next((employee for employee in pbx.employees if employee.user_id == user), None)
