"""`DocumentError`, which holds every fault of a settings document; pydantic's errors as faults."""

from __future__ import annotations

from typing import Any

from bx24app.domain.faults import Fault


class DocumentError(Exception):
    """The document cannot be used; `faults` holds every reason."""

    def __init__(self, faults: list[Fault]) -> None:
        super().__init__("\n".join(str(fault) for fault in faults))
        self.faults = faults


CODES = {
    "missing": "missing",
    "extra_forbidden": "unknown_key",
    "invalid_key": "unknown_key",
    "int_parsing": "not_integer",
    "int_type": "not_integer",
    "int_from_float": "not_integer",
    "string_type": "not_text",
    "greater_than": "too_small",
    "greater_than_equal": "below_minimum",
    "less_than_equal": "above_maximum",
    "string_too_short": "empty",
    "string_too_long": "too_long",
    "literal_error": "not_allowed",
    "bool_type": "not_boolean",
    "tuple_type": "not_list",
    "list_type": "not_list",
    "dict_type": "not_mapping",
    "model_type": "not_mapping",
    "model_attributes_type": "not_mapping",
    "date_from_datetime_parsing": "not_date",
    "date_parsing": "not_date",
    "date_type": "not_date",
}
"""Type of pydantic's error (https://docs.pydantic.dev/latest/errors/validation_errors/) -> code of the fault."""


def from_pydantic(item: Any) -> Fault:
    """One of pydantic's errors (`ValidationError.errors()`) as a fault."""
    kind, path, value = item["type"], format_path(item["loc"]), item.get("input")
    if kind == "string_pattern_mismatch":
        code = "not_pbx_key" if path.endswith(".key") else "not_time"
    else:
        code = CODES.get(kind, "bad_value")
    params = dict(item.get("ctx", {}))
    if code == "bad_value":
        params = {"reason": str(item["msg"]).removeprefix("Value error, ")}
    if isinstance(value, str | int | float) and code not in ("missing", "unknown_key"):
        params["value"] = str(value)[:60]
    return Fault(code, params, path)


def format_path(loc: tuple[Any, ...]) -> str:
    """`("pbxs", 0, "lines", 1, "number")` -> `pbxs[0].lines[1].number`."""
    path = ""
    for piece in loc:
        if piece == "[key]":  # pydantic's word for "the key itself"
            continue
        path += f"[{piece}]" if isinstance(piece, int) else (f".{piece}" if path else str(piece))
    return path
