"""How large a settings document may be: entries of each list, values in all, length of a text, depth.

`parse` asks first, before any other check looks at the document, so that no document costs more than it may. What a
portal has already (from before these bounds) may still be saved, but not grow.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from bx24app.domain.faults import Fault

MAX_RULES, MAX_PBXS, MAX_LINES, MAX_EMPLOYEES = 500, 100, 2_000, 20_000
"""Of a portal; lines and employees of all its PBXs together."""
MAX_ENTRIES = 500
"""Of any other list, such as the values of a condition, and of any mapping, such as the fields of a record."""
MAX_ACTIONS = 50
"""Of one rule."""
MAX_VALUES = 250_000
"""Texts, numbers, lists and mappings of a document; 20,000 employees with two mobiles each have 140,000."""
MAX_TEXT = 50_000
"""Characters of one text."""
MAX_DEPTH = 40
"""Levels; the format itself has nine."""

_LIMITS = (
    (re.compile(r"rules"), MAX_RULES),
    (re.compile(r"rules\[\d+\]\.do"), MAX_ACTIONS),
    (re.compile(r"pbxs"), MAX_PBXS),
    (re.compile(r"pbxs\[\d+\]\.lines"), MAX_LINES),
    (re.compile(r"pbxs\[\d+\]\.employees"), MAX_EMPLOYEES),
)
"""Paths of lists that have a limit of their own."""


def find_size_faults(data: dict[str, Any], base: dict[str, Any]) -> list[Fault]:
    """What is too large, at its path.

    Args:
        data: the document as it came, any plain data.
        base: the present document, as `dump` gives it.
    """
    faults = list(_walk(data, base))
    for name, most in (("lines", MAX_LINES), ("employees", MAX_EMPLOYEES)):
        if _count_of_all_pbxs(data, name) > max(most, _count_of_all_pbxs(base, name)):
            faults.append(Fault("too_many", {"most": most}, "pbxs"))
    return list(dict.fromkeys(faults))


def _walk(data: dict[str, Any], base: dict[str, Any]) -> Iterator[Fault]:
    """Visit every value once; a list that is too long, and all that is too deep, is not entered."""
    places: list[tuple[Any, Any, str, int]] = [(data, base, "", 0)]
    visited = 0
    while places:
        value, present, path, depth = places.pop()
        visited += 1
        if visited > MAX_VALUES:
            yield Fault("too_many_values", {"most": MAX_VALUES})
            return
        if isinstance(value, str):
            if len(value) > MAX_TEXT and value != present:
                yield Fault("too_long", {"max_length": MAX_TEXT}, path)
        elif isinstance(value, dict | list):
            most = _limit_of(path)
            if len(value) > max(most, len(present) if isinstance(present, dict | list) else 0):
                yield Fault("too_many", {"most": most}, path)
            elif depth >= MAX_DEPTH:
                yield Fault("too_deep", path=path)
            else:
                places += _parts(value, present, path, depth + 1)


def _parts(value: Any, present: Any, path: str, depth: int) -> Iterator[tuple[Any, Any, str, int]]:
    if isinstance(value, dict):
        known = present if isinstance(present, dict) else {}
        for key, part in value.items():
            yield part, known.get(key), f"{path}.{key}" if path else str(key), depth
    else:
        stored = present if isinstance(present, list) else []
        for index, part in enumerate(value):
            yield part, stored[index] if index < len(stored) else None, f"{path}[{index}]", depth


def _limit_of(path: str) -> int:
    return next((most for pattern, most in _LIMITS if pattern.fullmatch(path)), MAX_ENTRIES)


def _count_of_all_pbxs(document: dict[str, Any], name: str) -> int:
    pbxs = document.get("pbxs")
    lists = [pbx.get(name) for pbx in pbxs if isinstance(pbx, dict)] if isinstance(pbxs, list) else []
    return sum(len(entries) for entries in lists if isinstance(entries, list))
