"""Whole numbers that somebody typed or sent."""

from __future__ import annotations

import re

_DIGITS = re.compile(r"[0-9]{1,15}")


def parse_int(text: str) -> int | None:
    """The number that the text is; None: no number, or longer than any id or count (Python itself refuses 4300 digits with an error).

    >>> whole("12"), whole("-1"), whole("٣"), whole("9" * 5000)
    (12, None, None, None)
    """
    return int(text) if _DIGITS.fullmatch(text) else None
