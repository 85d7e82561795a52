"""Lines of a document: compared as telephones where both are, else as exact names; never over the portal's field."""

from __future__ import annotations

import pytest

from bx24app.domain.calls.policy import Policy
from bx24app.domain.document.checks import find_faults
from bx24app.domain.settings import LineSettings, PbxSettings, Settings
from tests.support.transcript import WORDS

LONG = "sip:calltracking-moscow-office-2@vpbx400000001.mangosip.ru"


def _document(*numbers: str) -> Settings:
    return Settings(pbxs=(PbxSettings(key="moscow", lines=tuple(LineSettings(number=number) for number in numbers)),))


def _repeated(settings: Settings) -> list[str]:
    return [fault.path for fault in find_faults(settings, [], frozenset(), {"portal"}) if fault.code == "repeated_line"]


@pytest.mark.parametrize(
    "numbers",
    [
        ("sip:roistat@vpbx400000001.mangosip.ru", "sip:office@vpbx400000001.mangosip.ru"),
        ("Линия 2", "Офис 2"),
        ("74950001122", "sip:74950001122@vpbx400000001.mangosip.ru"),
    ],
)
def test_two_names_are_two_lines(numbers: tuple[str, str]) -> None:
    assert not _repeated(_document(*numbers))


@pytest.mark.parametrize("other", ["8 (495) 000-11-22", "+74950001122", "84950001122", "4950001122"])
def test_one_telephone_in_two_spellings_is_refused(other: str) -> None:
    assert _repeated(_document("74950001122", other)) == ["pbxs[0].lines[1].number"]


@pytest.mark.parametrize(
    ("written", "named"), [("8 (495) 000-11-22", "74950001122"), ("74950001122", "84950001122"), (LONG, LONG)]
)
def test_the_pbx_names_a_line_in_another_spelling(written: str, named: str) -> None:
    settings = _document(written)
    policy = Policy(settings, settings.pbxs[0], WORDS)
    assert policy.find_line(named) == settings.pbxs[0].lines[0]


@pytest.mark.parametrize("written", ["roistat-1", "74955358853", "8 (495) 535-88-53"])
def test_a_trunk_may_be_named_by_an_address(written: str) -> None:
    settings = _document(written, "office")
    policy = Policy(settings, settings.pbxs[0], WORDS)
    user = written if written == "roistat-1" else "74955358853"
    assert policy.find_line(f"sip:{user}@vpbx400000001.mangosip.ru") == settings.pbxs[0].lines[0]
    assert policy.find_line("sip:roistat-2@vpbx400000001.mangosip.ru") is None


def test_the_portal_gets_fifty_characters_at_most() -> None:
    settings = _document(LONG)
    policy = Policy(settings, settings.pbxs[0], WORDS)
    assert {policy.line_number(LONG), settings.pbxs[0].lines[0].bitrix_number} == {LONG[:50]}
    assert policy.line_number("x" * 60) == "x" * 50
