"""The origin of a call that the portal asks for: which PBX, which line and whose phone. The settings alone decide."""

from __future__ import annotations

from dataclasses import dataclass

from bx24app.domain import phone
from bx24app.domain.phone import NumberKind
from bx24app.domain.settings import EmployeeSettings, LineSettings, PbxSettings, Settings


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a call begins."""

    pbx: PbxSettings
    line: LineSettings | None
    employee: EmployeeSettings | None = None
    """The employee who clicked; None: a form callback, or the user has no extension on this PBX."""

    @property
    def line_number(self) -> str | None:
        """The line as the PBX names it; None: no line is chosen."""
        return self.line.number if self.line else None

    @property
    def caller_id(self) -> str | None:
        """The line as Mango dials from it: its number, or the name of a SIP line, whose address Mango does not take
        (D26, 3.2.1: `line_number`). None: no line is chosen."""
        if self.line is None:
            return None
        number = phone.read_number(self.line.number)
        if number.kind is not NumberKind.SIP:
            return self.line.number
        return self.line.name or number.sip_user


def find_click_origin(document: Settings, line_number: str, user: int) -> Origin | None:
    """The origin of a click: the PBX that has the line LINE_NUMBER; else the first PBX on which the user has an
    extension."""
    pair = _find_line(document, line_number)
    if pair is not None:
        pbx, line = pair
        return Origin(pbx, line, _find_employee(pbx, user))
    rows = ((pbx, _find_employee(pbx, user)) for pbx in document.pbxs)
    return next((Origin(pbx, None, employee) for pbx, employee in rows if employee is not None), None)


def find_callback_origin(document: Settings, line_number: str) -> Origin | None:
    """The origin of a form callback: the line LINE_NUMBER; else the first line in the settings."""
    pair = _find_line(document, line_number)
    if pair is not None:
        return Origin(*pair)
    if not document.pbxs:
        return None
    first = next((pbx for pbx in document.pbxs if pbx.lines), document.pbxs[0])
    return Origin(first, first.lines[0] if first.lines else None)


def choose_callback_target(origin: Origin) -> str | None:
    """The extension or group that a form callback rings first: the line's `callback_to`, else its first responsible,
    else the first employee of the PBX."""
    if origin.line is not None and origin.line.callback_to:
        return origin.line.callback_to
    responsible = origin.line.responsible.users if origin.line is not None else ()
    named = (employee for user in responsible if (employee := _find_employee(origin.pbx, user)) is not None)
    chosen = next(named, None) or next(iter(origin.pbx.employees), None)
    return chosen.extension if chosen else None


def _find_line(document: Settings, line_number: str) -> tuple[PbxSettings, LineSettings] | None:
    if not line_number:
        return None
    lines = [(pbx, line) for pbx in document.pbxs for line in pbx.lines]
    exact = (pair for pair in lines if line_number in (pair[1].bitrix_number, pair[1].number))
    key = phone.line_key(line_number)
    alike = (pair for pair in lines if key in (phone.line_key(pair[1].bitrix_number), phone.line_key(pair[1].number)))
    return next(exact, None) or next(alike, None)


def _find_employee(pbx: PbxSettings, user: int) -> EmployeeSettings | None:
    return next((employee for employee in pbx.employees if employee.user_id == user), None)
