"""Retry-After in each of its forms."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from bx24app.domain.retry_after import read_retry_after

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        (" 120 ", 120.0),
        ("0", 0.0),
        ("86400", 3600.0),
        ("9" * 400, 3600.0),
        ("Mon, 02 Mar 2026 12:00:30 GMT", 30.0),
        ("Mon, 02 Mar 2026 11:00:00 GMT", 0.0),
        ("Mon, 02 Mar 2026 12:00:30", 30.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 3600.0),
    ],
)
def test_seconds_and_dates(value: str, seconds: float) -> None:
    assert read_retry_after(value, NOW) == seconds


@pytest.mark.parametrize("value", [None, "", "soon", "-5", "1.5", "٧", "Mon, 99 Mar 2026 12:00:30 GMT"])
def test_anything_else_is_no_pause(value: str | None) -> None:
    assert read_retry_after(value, NOW) is None
