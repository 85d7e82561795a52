"""Which line a click dials from, and what it is called at Mango."""

from __future__ import annotations

import pytest

from bx24app.calls.click_to_call.origin import find_click_origin
from bx24app.domain.settings import EmployeeSettings, LineSettings, PbxSettings, Settings

TRUNK = "sip:roistat-1@vpbx400000001.mangosip.ru"


def _settings(*lines: LineSettings) -> Settings:
    return Settings(
        pbxs=(PbxSettings(key="moscow", lines=lines, employees=(EmployeeSettings(extension="101", user_id=1),)),)
    )


@pytest.mark.parametrize(
    ("line", "dialled"),
    [
        (LineSettings(number=TRUNK, name="roistat-1"), "roistat-1"),
        (LineSettings(number=TRUNK), "roistat-1"),
        (LineSettings(number="74950001122", name="Main"), "74950001122"),
    ],
)
def test_a_trunk_is_dialled_by_its_name(line: LineSettings, dialled: str) -> None:
    origin = find_click_origin(_settings(line), line.bitrix_number, 1)
    assert origin is not None
    assert (origin.caller_id, origin.line_number) == (dialled, line.number)


@pytest.mark.parametrize("chosen", ["8 (495) 000-11-22", "+74950001122", "74950001122"])
def test_the_portal_names_a_line_in_any_spelling(chosen: str) -> None:
    line = LineSettings(number="84950001122")
    origin = find_click_origin(_settings(LineSettings(number="74950001133"), line), chosen, 1)
    assert origin is not None
    assert origin.line == line


def test_two_trunks_of_one_host_are_two_lines() -> None:
    office = LineSettings(number="sip:office@vpbx400000001.mangosip.ru")
    origin = find_click_origin(_settings(LineSettings(number=TRUNK), office), office.number, 1)
    assert origin is not None
    assert origin.line == office
