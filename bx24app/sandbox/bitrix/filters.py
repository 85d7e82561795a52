"""Filters, sorting and pages of REST lists.

Filter keys carry the prefixes of Bitrix24 (`>=`, `!`, `%` …), values may be lists, and conditions nest with `logic`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any

from bx24app.sandbox import clock
from bx24app.sandbox.bitrix import php
from bx24app.sandbox.bitrix.registry import ListPage

PAGE_SIZE = 50
RowData = dict[str, Any]
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


def split_key(key: str) -> tuple[str, str]:
    """Splits a filter key into prefix and field."""
    bare = key.lstrip("!<>=%@?")
    return key[: len(key) - len(bare)], bare


def _comparable_value(value: Any) -> Any:
    """A value in a form in which numbers, numeric strings and times compare."""
    if isinstance(value, bool):
        return "Y" if value else "N"
    if isinstance(value, int | float):
        return float(value)
    text = "" if value is None else str(value)
    if re.fullmatch(r"-?\d{1,15}(\.\d+)?", text):
        return float(text)
    if _DATE.match(text):
        at = clock.parse_time(text)
        return text if at is None else at
    return text


def _is_equal(left: Any, right: Any) -> bool:
    if isinstance(left, list):
        return any(_is_equal(item, right) for item in left)
    first, second = _comparable_value(left), _comparable_value(right)
    if isinstance(first, str) and isinstance(second, str):
        return first.lower() == second.lower()
    return bool(first == second)


def _compare_values(left: Any, right: Any) -> int | None:
    first, second = _comparable_value(left), _comparable_value(right)
    if isinstance(first, str) is not isinstance(second, str) or left is None:
        return None
    return int(first > second) - int(first < second)


def _contains_text(left: Any, pattern: Any) -> bool:
    return str(pattern).strip("%").lower() in str(left or "").lower()


def _is_between(left: Any, ends: Any) -> bool:
    low, high = [*php.array_values(ends), None, None][:2]
    return (_compare_values(left, low) or 0) >= 0 and (_compare_values(left, high) or 0) <= 0


def _negate_test(test: Callable[[Any, Any], bool], left: Any, right: Any) -> bool:
    return not test(left, right)


_TESTS: dict[str, Callable[[Any, Any], bool]] = {
    "": lambda left, right: any(_is_equal(left, item) for item in (php.array_values(right) if right != "" else [""])),
    ">": lambda left, right: _compare_values(left, right) == 1,
    ">=": lambda left, right: _compare_values(left, right) in (0, 1),
    "<": lambda left, right: _compare_values(left, right) == -1,
    "<=": lambda left, right: _compare_values(left, right) in (0, -1),
    "><": _is_between,
    "%": lambda left, right: any(_contains_text(left, item) for item in php.array_values(right)),
}
_TESTS["="] = _TESTS["@"] = _TESTS["=="] = _TESTS[""]
_TESTS["?"] = _TESTS["%="] = _TESTS["=%"] = _TESTS["%"]
for _name in ("", "=", "@", "%", "><", "=%", "%="):
    _TESTS["!" + _name] = partial(_negate_test, _TESTS[_name])
PREFIXES = frozenset(_TESTS)


def matches_filter(row: RowData, wanted: dict[str, Any]) -> bool:
    """Whether a row passes a filter. The caller has removed keys that name no field of the row."""
    logic = str(wanted.get("logic") or wanted.get("LOGIC") or "AND").upper()
    results: list[bool] = []
    for key, value in wanted.items():
        if key in ("logic", "LOGIC"):
            continue
        if isinstance(value, dict) and (key.isdigit() or not split_key(key)[1]):
            results.append(matches_filter(row, value))
            continue
        prefix, name = split_key(key)
        results.append(_TESTS.get(prefix, _TESTS[""])(row.get(name), value))
    return (any(results) if results else True) if logic == "OR" else all(results)


def sort_rows(rows: list[RowData], order: Any) -> list[RowData]:
    """Sorts by {field: ASC|DESC}; the first key is the most significant."""
    pairs = list(order.items()) if isinstance(order, dict) else []
    for name, direction in reversed(pairs):
        rows = sorted(rows, key=lambda row: _sort_key(row.get(name)), reverse=str(direction).upper() == "DESC")
    return rows


def _sort_key(value: Any) -> tuple[int, Any]:
    plain = _comparable_value(value)
    return (1, plain) if isinstance(plain, str) else (0, plain)


def make_page(rows: list[Any], start: Any, wrap: Callable[[list[Any]], Any] = lambda rows: rows) -> ListPage:
    """A page of 50 rows from `start`, with `next` and `total`. start=-1 returns the first page without both."""
    offset = php.to_int(start)
    if offset < 0:
        return ListPage(wrap(rows[:PAGE_SIZE]))
    after = offset + PAGE_SIZE
    return ListPage(wrap(rows[offset:after]), len(rows), after if after < len(rows) else None)
