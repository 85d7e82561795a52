"""One normal form of a number."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bx24app.domain import phone

SAME = ["79160000001", "89160000001", "+79160000001", "+7 916 000-00-01", "8 (916) 000 00 01", "9160000001"]


@pytest.mark.parametrize("raw", SAME)
def test_russian_numbers_have_one_form(raw: str) -> None:
    assert phone.normalise(raw) == "+79160000001"


@pytest.mark.parametrize(
    ("raw", "wanted"),
    [
        ("380501234567", "+380501234567"),
        ("+49 30 123456", "+4930123456"),
        ("78002000600", "+78002000600"),
        ("7007374952233501", "+7007374952233501"),
        ("sip:79160000001@mangosip.ru", "+79160000001"),
    ],
)
def test_other_numbers(raw: str, wanted: str) -> None:
    assert phone.normalise(raw) == wanted


@pytest.mark.parametrize(
    "raw", [None, "", "101", "12345", "sip:user101@vpbx400000001.mangosip.ru", "anonymous", "00000000000"]
)
def test_what_names_no_telephone(raw: str | None) -> None:
    assert phone.normalise(raw) is None


@given(st.text(max_size=60))
def test_any_text_is_a_number_or_none(raw: str) -> None:
    found = phone.normalise(raw)
    assert found is None or (found.startswith("+") and found[1:].isascii() and found[1:].isdigit())
    if found is not None and len(found) <= 16:
        assert phone.normalise(found) == found


def test_masked_for_logs() -> None:
    assert phone.mask_number("+79160000001") == "+7916***0001"
    assert phone.mask_number("101") == "***"
    assert phone.mask_number(None) == "-"
