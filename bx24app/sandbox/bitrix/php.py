"""PHP semantics that Bitrix24's REST inherits: bracket keys in forms, both ways, and conversions of values.

The modules of the fake use these functions wherever a real portal would let PHP interpret a parameter.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import parse_qsl, quote_plus

_KEY = re.compile(r"\[([^\[\]]*)\]")


def decode_pairs(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Pairs like `a[b][]=1` as nested maps. Maps with the keys 0, 1, 2 … become lists, as `json_encode` shows them."""
    root: dict[Any, Any] = {}
    for key, value in pairs:
        _put_value(root, key, value)
    return {name: to_lists(value) for name, value in root.items()}


def parse_query(query: str) -> dict[str, Any]:
    """Parses a query string or form body."""
    return decode_pairs(parse_qsl(query, keep_blank_values=True))


def _put_value(root: dict[Any, Any], key: str, value: Any) -> None:
    head, bracket, _ = key.partition("[")
    path: list[str] = [head]
    if bracket and head:
        path += _KEY.findall(key[len(head) :])
    spot = root
    for step in path[:-1]:
        key_here = _next_index(spot) if step == "" else step
        if not isinstance(spot.get(key_here), dict):
            spot[key_here] = {}
        spot = spot[key_here]
    last = path[-1]
    spot[_next_index(spot) if last == "" else last] = value


def _next_index(spot: dict[Any, Any]) -> str:
    numbers = [int(key) for key in spot if str(key).isdigit()]
    return str(max(numbers) + 1 if numbers else 0)


def to_lists(value: Any) -> Any:
    """Turns maps with the keys 0 … n-1, in order, into lists, at every depth."""
    if not isinstance(value, dict):
        return value
    if value and list(value) == [str(number) for number in range(len(value))]:
        return [to_lists(item) for item in value.values()]
    return {key: to_lists(item) for key, item in value.items()}


def encode_form(fields: dict[str, Any]) -> str:
    """A form body with bracket keys. As in http_build_query, nulls and empty lists are absent, booleans are 1 and 0."""
    return "&".join(f"{quote_plus(key)}={quote_plus(value)}" for key, value in flatten_fields(fields))


def flatten_fields(fields: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The pairs of `encode_form`, unquoted."""
    for key, value in fields.items():
        yield from _flatten_value(str(key), value)


def _flatten_value(key: str, value: Any) -> Iterator[tuple[str, str]]:
    if value is None:
        return
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _flatten_value(f"{key}[{name}]", item)
    elif isinstance(value, list | tuple):
        for number, item in enumerate(value):
            yield from _flatten_value(f"{key}[{number}]", item)
    else:
        yield key, str(int(value)) if isinstance(value, bool) else str(value)


def is_true(value: Any) -> bool:
    """PHP's (bool): "0", "", 0, null and empty arrays are false; "N" and "false" are TRUE."""
    return bool(value) and value != "0"


def to_int(value: Any) -> int:
    """PHP's (int): the leading digits, or 0 without any."""
    if isinstance(value, bool | int | float):
        return int(value)
    match = re.match(r"\s*[-+]?\d+", str(value or ""))
    return int(match.group()) if match else 0


def array_values(value: Any) -> list[Any]:
    """The values of a PHP array (list or map). A scalar counts as a list of one, null as an empty list."""
    if isinstance(value, dict):
        return list(value.values())
    if isinstance(value, list | tuple):
        return list(value)
    return [] if value is None else [value]
