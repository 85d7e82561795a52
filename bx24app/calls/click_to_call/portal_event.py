"""What the portal asks for: ONEXTERNALCALLSTART and ONEXTERNALCALLBACKSTART, read once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bx24app.domain import phone


@dataclass(frozen=True, slots=True)
class Asked:
    """`call_id` and `user_id` are those of a click; a form callback has neither. `number`: E.164, None where `raw` cannot be dialled."""

    call_id: str
    user_id: int
    raw: str
    number: str | None
    line: str
    """LINE_NUMBER; "" where the portal chose none."""
    mobile: bool
    record: dict[str, Any] | None
    created: list[dict[str, Any]]
    """Records that the portal made when it registered the click."""


def read(data: Mapping[str, Any]) -> Asked:
    """One event's data.

    Raises:
        ValueError: a field is not what it has to be; the message names it.
    """
    raw = _text(data, "PHONE_NUMBER")
    created = _created(data.get("CRM_CREATED_ENTITIES"))
    record = _entity("CRM_ENTITY_TYPE", data.get("CRM_ENTITY_TYPE"), data.get("CRM_ENTITY_ID"))
    return Asked(
        call_id=_text(data, "CALL_ID"),
        user_id=_number("USER_ID", data.get("USER_ID") or 0),
        raw=raw,
        number=phone.normal(_text(data, "PHONE_NUMBER_INTERNATIONAL")) or phone.normal(raw),
        line=_text(data, "LINE_NUMBER"),
        mobile=_text(data, "IS_MOBILE") == "1",
        record=None if record in created else record,
        created=created,
    )


def _text(data: Mapping[str, Any], name: str) -> str:
    value = data.get(name)
    if isinstance(value, dict | list):
        raise ValueError(f"{name} is not a text")
    return "" if value is None else str(value).strip()


def _number(name: str, value: object) -> int:
    try:
        return int(str(value))
    except ValueError:
        raise ValueError(f"{name} is not a number") from None


def _entity(name: str, kind: object, number: object) -> dict[str, Any] | None:
    if not kind or not number or str(number) == "0":
        return None
    return {"entity": str(kind).lower(), "id": _number(name, number)}


def _created(value: object) -> list[dict[str, Any]]:
    items = list(value.values()) if isinstance(value, dict) else value or []
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise ValueError("CRM_CREATED_ENTITIES is not a list of records")
    found = (_entity("CRM_CREATED_ENTITIES", item.get("ENTITY_TYPE"), item.get("ENTITY_ID")) for item in items)
    return [record for record in found if record is not None]
