"""Numbers in a portal's answers: any JSON number may stand there, however large, or anything but a number."""

from __future__ import annotations

import math
from typing import Any

MAX_WHOLE = 2**31 - 1
"""Ids and counts of Bitrix24 are integers of 32 bits, and so are the columns that hold them."""


def read_number(value: Any) -> float | None:
    """A number that is not negative; None: the value is no such number."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) and number >= 0 else None


def read_positive(value: Any) -> int | None:
    """An id or a count above 0, sent as number or as text; None: the value is no such number."""
    text = str(value).strip() if isinstance(value, int | str) and not isinstance(value, bool) else ""
    if not (text.isascii() and text.isdecimal() and len(text) <= 10):
        return None
    return int(text) if 0 < int(text) <= MAX_WHOLE else None
