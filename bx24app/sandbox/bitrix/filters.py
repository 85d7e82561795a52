"""Filters, sorting and paging of REST lists: prefixes on keys, lists as values, nested logic."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any

from bx24app.sandbox import clock
from bx24app.sandbox.bitrix import php
from bx24app.sandbox.bitrix.registry import Page

SIZE = 50
Row = dict[str, Any]
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


def split(key: str) -> tuple[str, str]:
    """A filter key as (prefix, field)."""
    bare = key.lstrip("!<>=%@?")
    return key[: len(key) - len(bare)], bare


def _plain(value: Any) -> Any:
    """A value in a form in which numbers, numeric texts and times compare."""
    if isinstance(value, bool):
        return "Y" if value else "N"
    if isinstance(value, int | float):
        return float(value)
    text = "" if value is None else str(value)
    if re.fullmatch(r"-?\d{1,15}(\.\d+)?", text):
        return float(text)
    if _DATE.match(text):
        at = clock.parse(text)
        return text if at is None else at
    return text


def _same(left: Any, right: Any) -> bool:
    if isinstance(left, list):
        return any(_same(one, right) for one in left)
    one, other = _plain(left), _plain(right)
    if isinstance(one, str) and isinstance(other, str):
        return one.lower() == other.lower()
    return bool(one == other)


def _order(left: Any, right: Any) -> int | None:
    one, other = _plain(left), _plain(right)
    if isinstance(one, str) is not isinstance(other, str) or left is None:
        return None
    return int(one > other) - int(one < other)


def _like(left: Any, pattern: Any) -> bool:
    return str(pattern).strip("%").lower() in str(left or "").lower()


def _between(left: Any, ends: Any) -> bool:
    low, high = [*php.items(ends), None, None][:2]
    return (_order(left, low) or 0) >= 0 and (_order(left, high) or 0) <= 0


def _not(test: Callable[[Any, Any], bool], left: Any, right: Any) -> bool:
    return not test(left, right)


_TESTS: dict[str, Callable[[Any, Any], bool]] = {
    "": lambda left, right: any(_same(left, one) for one in php.items(right)) if right != "" else _same(left, ""),
    ">": lambda left, right: _order(left, right) == 1,
    ">=": lambda left, right: _order(left, right) in (0, 1),
    "<": lambda left, right: _order(left, right) == -1,
    "<=": lambda left, right: _order(left, right) in (0, -1),
    "><": _between,
    "%": lambda left, right: any(_like(left, one) for one in php.items(right)),
}
_TESTS["="] = _TESTS["@"] = _TESTS["=="] = _TESTS[""]
_TESTS["?"] = _TESTS["%="] = _TESTS["=%"] = _TESTS["%"]
for _name in ("", "=", "@", "%", "><", "=%", "%="):
    _TESTS["!" + _name] = partial(_not, _TESTS[_name])
PREFIXES = frozenset(_TESTS)


def matches(row: Row, wanted: dict[str, Any]) -> bool:
    """Whether a row passes a filter. Fields that the row has not are for the caller to sort out before."""
    logic = str(wanted.get("logic") or wanted.get("LOGIC") or "AND").upper()
    results: list[bool] = []
    for key, value in wanted.items():
        if key in ("logic", "LOGIC"):
            continue
        if isinstance(value, dict) and (key.isdigit() or not split(key)[1]):
            results.append(matches(row, value))
            continue
        prefix, name = split(key)
        results.append(_TESTS.get(prefix, _TESTS[""])(row.get(name), value))
    return (any(results) if results else True) if logic == "OR" else all(results)


def sort(rows: list[Row], order: Any) -> list[Row]:
    """Sorts by {field: ASC|DESC}, the last key first."""
    pairs = list(order.items()) if isinstance(order, dict) else []
    for name, direction in reversed(pairs):
        rows = sorted(rows, key=lambda row: _rank(row.get(name)), reverse=str(direction).upper() == "DESC")
    return rows


def _rank(value: Any) -> tuple[int, Any]:
    plain = _plain(value)
    return (1, plain) if isinstance(plain, str) else (0, plain)


def page(rows: list[Any], start: Any, wrap: Callable[[list[Any]], Any] = lambda rows: rows) -> Page:
    """Fifty rows from `start`, with `next` and `total`; start=-1 leaves both out and counts nothing."""
    offset = php.integer(start)
    if offset < 0:
        return Page(wrap(rows[:SIZE]))
    after = offset + SIZE
    return Page(wrap(rows[offset:after]), len(rows), after if after < len(rows) else None)
