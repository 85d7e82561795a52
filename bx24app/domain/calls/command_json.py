"""Commands as JSON: how the outbox stores them (`delivery.kind`, `delivery.command`) and reads them back."""

from __future__ import annotations

import dataclasses
from typing import Any, get_args

from bx24app.domain.calls.commands import AnyCommand, Record, Ref

KINDS: dict[str, type[AnyCommand]] = {kind.__name__: kind for kind in get_args(AnyCommand)}
"""Value of `delivery.kind` -> class of the command."""


def to_json(command: AnyCommand) -> dict[str, Any]:
    """The fields of a command as a JSON document; a `Ref` becomes ``{"$ref": [key, fact]}``."""
    values = {field.name: _to_plain(getattr(command, field.name)) for field in dataclasses.fields(command)}
    if not values.get("final_stages", True):
        del values["final_stages"]  # workers of 0.2.0 do not know the field
    return values


def _to_plain(value: Any) -> Any:
    if isinstance(value, Ref):
        return {"$ref": [value.key, value.fact]}
    if isinstance(value, Record):
        return {"entity": value.entity, "id": _to_plain(value.id)}
    if isinstance(value, tuple):
        return [_to_plain(item) for item in value]
    return value


def from_json(kind: str, document: dict[str, Any]) -> AnyCommand:
    """The command that `to_json` made of a command of this kind.

    Raises:
        KeyError: no command of this version has that name.
        TypeError: the document has a field that the command does not have, or lacks one.
    """
    values = dict(document)
    if isinstance(values.get("record"), dict):
        values["record"] = Record(values["record"]["entity"], _restore_ref(values["record"]["id"]))
    if "contact" in values:
        values["contact"] = _restore_ref(values["contact"])
    for name in ("users", "final_stages"):
        if name in values:
            values[name] = tuple(values[name])
    if "fields" in values:
        values["fields"] = tuple((key, value) for key, value in values["fields"])
    return KINDS[kind](**values)


def _restore_ref(value: Any) -> Any:
    if isinstance(value, dict) and "$ref" in value:
        key, fact = value["$ref"]
        return Ref(key, fact)
    return value
