"""Checks of single values in rules: each yields the faults of the value, none where it is good."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeGuard

from bx24app.domain import phone
from bx24app.domain.faults import Fault
from bx24app.domain.rules import templates
from bx24app.domain.settings import Settings

ValueCheck = Callable[[Any, Settings], Iterator[Fault]]


def one_of(*words: str) -> ValueCheck:
    """One of these words."""

    def check_word(value: Any, settings: Settings) -> Iterator[Fault]:
        if not (isinstance(value, str) and value in words):
            yield Fault("not_allowed", {"expected": words, "value": value})

    check_word.__doc__ = ", ".join(f"`{word}`" for word in words) + "."
    return check_word


def is_int(value: Any) -> TypeGuard[int]:
    """A whole number; `True` is none."""
    return isinstance(value, int) and not isinstance(value, bool)


def number_prefix(value: Any, settings: Settings) -> Iterator[Fault]:
    """Digits, with or without plus."""
    if not ((isinstance(value, str) or is_int(value)) and str(value).strip().removeprefix("+").isdecimal()):
        yield Fault("not_phone_prefix")


def not_negative(value: Any, settings: Settings) -> Iterator[Fault]:
    """0, 1, 2 …"""
    if not (is_int(value) and 0 <= value <= _MAX_NUMBER):
        yield Fault("negative")


def positive_number(value: Any, settings: Settings) -> Iterator[Fault]:
    """1, 2, 3 …"""
    if not (is_int(value) and 0 < value <= _MAX_NUMBER):
        yield Fault("not_positive")


_MAX_NUMBER = 10_000_000


def day_of_month(value: Any, settings: Settings) -> Iterator[Fault]:
    """1 … 31, or `last`."""
    if not (value == "last" or (is_int(value) and 1 <= value <= 31)):
        yield Fault("not_allowed", {"expected": ("1 … 31", "last"), "value": value})


def pbx_key(value: Any, settings: Settings) -> Iterator[Fault]:
    """A key of the document."""
    if not (isinstance(value, str) and value in settings.by_key):
        yield Fault("unknown_pbx", {"value": value})


def line_number(value: Any, settings: Settings) -> Iterator[Fault]:
    """A line of the document, by either of its numbers."""
    if not ((isinstance(value, str) or is_int(value)) and line_key(str(value), settings) is not None):
        yield Fault("unknown_line", {"value": value})


def line_key(value: str, settings: Settings) -> str | None:
    """The `phone.line_key` of a line as its PBX names it; None: there is no such line.

    `value`: the line's number or its LINE_NUMBER.
    """
    key = phone.line_key(value)
    lines = [line for pbx in settings.pbxs for line in pbx.lines]
    for name in ("number", "bitrix_number"):
        for line in lines:
            if phone.line_key(getattr(line, name)) == key:
                return phone.line_key(line.number)
    return None


def non_empty_text(value: Any, settings: Settings) -> Iterator[Fault]:
    """A text that is not empty; an unquoted number is one too."""
    if not ((isinstance(value, str) and value.strip()) or is_int(value)):
        yield Fault("not_text")


def true_or_false(value: Any, settings: Settings) -> Iterator[Fault]:
    """true or false."""
    if not isinstance(value, bool):
        yield Fault("not_boolean")


def template_text(value: Any, settings: Settings) -> Iterator[Fault]:
    """A text whose expressions can be filled."""
    if isinstance(value, str) and value.strip():
        yield from templates.find_faults(value)
    else:
        yield Fault("not_text")


def entity_type(value: Any, settings: Settings) -> Iterator[Fault]:
    """lead, deal, contact, or a smart process. Bitrix24 numbers those from 31 on (below are its own types)."""
    process = (is_int(value) or isinstance(value, str)) and str(value).isdecimal() and int(value) >= _FIRST_PROCESS
    if not (process or (isinstance(value, str) and value in ("lead", "deal", "contact"))):
        yield Fault("not_entity")


_FIRST_PROCESS = 31
"""31 is the smart invoice; smart processes follow from 128 on."""


def user_or_role(value: Any, settings: Settings) -> Iterator[Fault]:
    """A role, or a user of the portal."""
    if not ((isinstance(value, str) and value in ("line", "answered", "owner")) or (is_int(value) and value > 0)):
        yield Fault("not_user_or_role")


def field_values(value: Any, settings: Settings) -> Iterator[Fault]:
    """Field names of Bitrix24 -> values; texts in them are templates."""
    if not isinstance(value, dict):
        yield Fault("not_field_values")
    elif not all(isinstance(name, str) and name for name in value):
        yield Fault("not_field_name")
    else:
        for name, item in value.items():
            yield from (fault.at(f".{name}") for text in _nested_texts(item) for fault in templates.find_faults(text))


def _nested_texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | dict):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _nested_texts(item)
