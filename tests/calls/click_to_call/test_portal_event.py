"""Which number a click dials."""

from __future__ import annotations

import pytest

from bx24app.calls.click_to_call.portal_event import parse_event


@pytest.mark.parametrize(
    ("raw", "international", "dialled"),
    [
        ("102", "102", "102"),
        ("374747", "374747", "374747"),
        ("8 916 000-00-01", "+79160000001", "+79160000001"),
        ("+7 (495) 222-33-44 доб. 101", "+7 (495) 222-33-44 доб. 101", "+74952223344"),
        ("8 916 111-22-33, 8 926 444-55-66", "8 916 111-22-33, 8 926 444-55-66", "+79161112233"),
        ("\u202a+49 30 123456\u202c", "\u202a+49 30 123456\u202c", "+4930123456"),
        ("7007374952233501", "7007374952233501", None),
        ("Ivan", "", None),
        ("", "", None),
    ],
)
def test_the_first_number_is_dialled_or_none(raw: str, international: str, dialled: str | None) -> None:
    request = parse_event({"PHONE_NUMBER": raw, "PHONE_NUMBER_INTERNATIONAL": international})
    assert request.number == dialled
