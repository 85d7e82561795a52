"""Reading of whole numbers from forms, addresses and notifications."""

from __future__ import annotations

import re

_DIGITS = re.compile(r"[0-9]{1,15}")


def parse_int(text: str) -> int | None:
    """The number in the text; None: no number, or more than 15 digits, which no id or count has.

    >>> parse_int("12"), parse_int("-1"), parse_int("٣"), parse_int("9" * 5000)
    (12, None, None, None)
    """
    return int(text) if _DIGITS.fullmatch(text) else None
