"""What is wrong with a settings document: faults with their paths, in plain words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class DocumentFault:
    """One thing that is wrong: `pbxs[0].lines[1].number`, and a sentence."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


class DocumentError(Exception):
    """The document cannot be used; `faults` holds every reason."""

    def __init__(self, faults: list[DocumentFault]) -> None:
        super().__init__("\n".join(str(fault) for fault in faults))
        self.faults = faults


_MESSAGES = {
    "missing": "is missing",
    "extra_forbidden": "is not a known key",
    "invalid_key": "is not a known key",
    "int_parsing": "must be a whole number",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "string_type": "must be a text",
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "string_too_short": "must not be empty",
    "string_too_long": "is longer than {max_length} characters",
    "literal_error": "must be one of {expected}",
    "tuple_type": "must be a list",
    "list_type": "must be a list",
    "dict_type": "must be a mapping",
    "model_type": "must be a mapping",
    "model_attributes_type": "must be a mapping",
    "date_from_datetime_parsing": "must be a valid date such as 2026-01-31",
    "date_parsing": "must be a valid date such as 2026-01-31",
    "date_type": "must be a valid date such as 2026-01-31",
}
"""Types of pydantic's errors -> sentence."""


def from_pydantic(item: Any) -> DocumentFault:
    """One of pydantic's errors as a fault."""
    kind, path, held = item["type"], format_path(item["loc"]), item.get("input")
    if kind == "string_pattern_mismatch":
        key = path.endswith(".key")
        message = "is a key of up to 20 letters a-z, digits and -" if key else "must be a time such as 09:00"
    else:
        words = _MESSAGES.get(kind)
        message = words.format(**item.get("ctx", {})) if words else str(item["msg"]).removeprefix("Value error, ")
    if isinstance(held, str | int | float) and kind not in ("missing", "extra_forbidden", "invalid_key"):
        message += f", not {str(held)[:60]!r}"
    return DocumentFault(path, message)


def format_path(loc: tuple[Any, ...]) -> str:
    """`("pbxs", 0, "lines", 1, "number")` -> `pbxs[0].lines[1].number`."""
    path = ""
    for piece in loc:
        if piece == "[key]":  # pydantic's word for "the key itself"
            continue
        path += f"[{piece}]" if isinstance(piece, int) else (f".{piece}" if path else str(piece))
    return path
