"""Bounds of everything that comes in from a PBX, a portal or a person: what both databases can store and index.

The schemas of what comes in apply them (`mango.notification`, `bitrix24.answer_bounds`, `click_to_call.portal_event`),
so that no value can make a statement of the database fail later.
"""

from __future__ import annotations

from typing import Any

MAX_WHOLE = 2**31 - 1
"""The largest whole number of a column; ids of Bitrix24 and codes of Mango are far below it."""
MAX_TALK_SECONDS = 86_400
"""No talk is longer than a day."""
MAX_EPOCH = 4_102_444_800
"""2100-01-01 UTC, in epoch seconds: no call is later."""
MAX_CALL_ID = 255
"""Characters of CALL_ID, the portal's name of a call."""
MAX_NAME = 255
"""Characters of other names that a column keeps: a line, a kind of record."""
MAX_PHONE_DIGITS = 32
"""Digits of a telephone: twice what any numbering plan allows. What is longer cannot be dialled."""

_REPLACEMENT = "\ufffd"


def is_whole(number: int) -> bool:
    """Does a column of whole numbers hold this one?"""
    return -MAX_WHOLE <= number <= MAX_WHOLE


def within_a_day(seconds: int) -> int:
    """A length of a talk from two times that a PBX named, which may be far apart or the wrong way round."""
    return min(max(0, seconds), MAX_TALK_SECONDS)


def clean_text(text: str, limit: int) -> str:
    """The text cut to `limit` characters; those that no database can keep (NUL, lone surrogates) are replaced."""
    short = text[:limit]
    if short.isascii() and "\0" not in short:
        return short
    letters = (_REPLACEMENT if letter == "\0" or "\ud800" <= letter <= "\udfff" else letter for letter in short)
    return "".join(letters)


def clean_tree(value: Any, limit: int) -> Any:
    """Objects, lists and texts of JSON with every text cleaned; other values stay."""
    if isinstance(value, str):
        return clean_text(value, limit)
    if isinstance(value, dict):
        return {clean_text(str(key), limit): clean_tree(part, limit) for key, part in value.items()}
    if isinstance(value, list):
        return [clean_tree(part, limit) for part in value]
    return value
