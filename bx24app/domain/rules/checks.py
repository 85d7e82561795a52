"""Checks of single values in rules: each gives None where the value is good, else a sentence."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeGuard

from bx24app.domain import phone
from bx24app.domain.rules import templates
from bx24app.domain.settings import Settings

ValueCheck = Callable[[Any, Settings], str | None]


def one_of(*words: str) -> ValueCheck:
    """One of these words."""

    def check_word(value: Any, settings: Settings) -> str | None:
        good = isinstance(value, str) and value in words
        return None if good else f"must be one of {', '.join(words)}, not {value!r}"

    check_word.__doc__ = ", ".join(f"`{word}`" for word in words) + "."
    return check_word


def is_int(value: Any) -> TypeGuard[int]:
    """A whole number; `True` is none."""
    return isinstance(value, int) and not isinstance(value, bool)


def number_prefix(value: Any, settings: Settings) -> str | None:
    """Digits, with or without plus."""
    good = (isinstance(value, str) or is_int(value)) and str(value).strip().removeprefix("+").isdecimal()
    return None if good else "must be the beginning of a number, such as +7495"


def not_negative(value: Any, settings: Settings) -> str | None:
    """0, 1, 2 …"""
    return None if is_int(value) and 0 <= value <= _MAX_NUMBER else "must be a whole number, 0 or more"


def positive_number(value: Any, settings: Settings) -> str | None:
    """1, 2, 3 …"""
    return None if is_int(value) and 0 < value <= _MAX_NUMBER else "must be a whole number above 0"


_MAX_NUMBER = 10_000_000


def pbx_key(value: Any, settings: Settings) -> str | None:
    """A key of the document."""
    return None if isinstance(value, str) and value in settings.by_key else f"there is no PBX {value!r}"


def line_number(value: Any, settings: Settings) -> str | None:
    """A line of the document, by either of its numbers."""
    good = (isinstance(value, str) or is_int(value)) and line_digits(str(value), settings) is not None
    return None if good else f"there is no line {value!r}"


def line_digits(value: str, settings: Settings) -> str | None:
    """The digits of the line as its PBX names it; `value`: its number or its LINE_NUMBER. None: there is no such line."""
    plain = phone.digits_only(value) or value
    lines = [line for pbx in settings.pbxs for line in pbx.lines]
    for number in ("number", "bitrix_number"):
        for found in lines:
            if (phone.digits_only(getattr(found, number)) or getattr(found, number)) == plain:
                return phone.digits_only(found.number) or found.number
    return None


def non_empty_text(value: Any, settings: Settings) -> str | None:
    """A text that is not empty; an unquoted number is one too."""
    good = (isinstance(value, str) and value.strip()) or is_int(value)
    return None if good else "must be a text"


def true_or_false(value: Any, settings: Settings) -> str | None:
    """true or false."""
    return None if isinstance(value, bool) else "must be true or false"


def template_text(value: Any, settings: Settings) -> str | None:
    """A text whose expressions can be filled."""
    if not isinstance(value, str) or not value.strip():
        return "must be a text"
    return "; ".join(templates.find_faults(value)) or None


def entity_type(value: Any, settings: Settings) -> str | None:
    """lead, deal, contact, or a smart process. Bitrix24 numbers those from 31 on (below are its own types)."""
    process = (is_int(value) or isinstance(value, str)) and str(value).isdecimal() and int(value) >= _FIRST_PROCESS
    good = process or (isinstance(value, str) and value in ("lead", "deal", "contact"))
    return None if good else "must be lead, deal, contact, or the entity type id of a smart process"


_FIRST_PROCESS = 31
"""31 is the smart invoice; smart processes follow from 128 on."""


def user_or_role(value: Any, settings: Settings) -> str | None:
    """A role, or a user of the portal."""
    good = (isinstance(value, str) and value in ("line", "answered", "owner")) or (is_int(value) and value > 0)
    return None if good else "must be line, answered, owner, or a user id"


def field_values(value: Any, settings: Settings) -> str | None:
    """Field names of Bitrix24 -> values; texts in them are templates."""
    if not isinstance(value, dict):
        return "must be a mapping of field names to values"
    if not all(isinstance(name, str) and name for name in value):
        return "field names must be texts"
    wrong = [
        f"{name}: {fault}" for name, item in value.items() for text in _nested_texts(item) for fault in templates.find_faults(text)
    ]
    return "; ".join(wrong) or None


def _nested_texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | dict):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _nested_texts(item)
