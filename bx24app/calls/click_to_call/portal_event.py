"""Parsing of the portal's events ONEXTERNALCALLSTART (a click) and ONEXTERNALCALLBACKSTART (a form callback)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bx24app.domain import phone
from bx24app.domain.bounds import MAX_CALL_ID, MAX_NAME, clean_text, is_whole
from bx24app.models.call_facts import RecordRef

MAX_SHOWN_NUMBER = 64
"""Characters of a number that cannot be dialled, as the person who clicked reads it."""


@dataclass(frozen=True, slots=True)
class CallRequest:
    """One event of the portal."""

    call_id: str
    """CALL_ID, under which the portal has registered a click; "" for a form callback."""
    user_id: int
    """The user who clicked; 0 for a form callback."""
    raw_number: str
    """As it was typed, cut for display."""
    number: str | None
    """E.164, or a short number as it is; None: `raw_number` cannot be dialled."""
    line_number: str
    """LINE_NUMBER; "": the portal chose none."""
    is_mobile: bool
    """IS_MOBILE: the user clicked in the mobile app, so their mobile rings."""
    record: RecordRef | None
    """The client's CRM record, unless it is among `created_records`."""
    created_records: list[RecordRef]
    """Records that the portal created when it registered the click."""


def parse_event(data: Mapping[str, Any]) -> CallRequest:
    """The request in the data of an event.

    Raises:
        ValueError: a field is malformed; the message names it.
    """
    raw = _parse_text(data, "PHONE_NUMBER")
    created = _parse_created_records(data.get("CRM_CREATED_ENTITIES"))
    record = _parse_entity("CRM_ENTITY_TYPE", data.get("CRM_ENTITY_TYPE"), data.get("CRM_ENTITY_ID"))
    call_id = _parse_text(data, "CALL_ID")
    if len(call_id) > MAX_CALL_ID:
        raise ValueError("CALL_ID is too long")
    return CallRequest(
        call_id=call_id,
        user_id=_parse_integer("USER_ID", data.get("USER_ID") or 0),
        raw_number=clean_text(raw, MAX_SHOWN_NUMBER),
        number=_choose_number(raw, _parse_text(data, "PHONE_NUMBER_INTERNATIONAL")),
        line_number=clean_text(_parse_text(data, "LINE_NUMBER"), MAX_NAME),
        is_mobile=_parse_text(data, "IS_MOBILE") == "1",
        record=None if record in created else record,
        created_records=created,
    )


def _choose_number(raw: str, international: str) -> str | None:
    """The number to dial. The portal leaves its international form as it is where it cannot read the number."""
    if phone.read_number(raw).kind is phone.NumberKind.SHORT:
        return phone.number_to_dial(raw)
    return phone.number_to_dial(international) or phone.number_to_dial(raw)


def _parse_text(data: Mapping[str, Any], name: str) -> str:
    value = data.get(name)
    if isinstance(value, dict | list):
        raise ValueError(f"{name} is not a text")
    return "" if value is None else str(value).strip()


def _parse_integer(name: str, value: object) -> int:
    try:
        number = int(str(value))
    except ValueError:
        raise ValueError(f"{name} is not a number") from None
    if not is_whole(number):
        raise ValueError(f"{name} is too large")
    return number


def _parse_entity(name: str, kind: object, number: object) -> RecordRef | None:
    if not kind or not number or str(number) == "0":
        return None
    return RecordRef(entity=clean_text(str(kind).lower(), MAX_NAME), id=_parse_integer(name, number))


def _parse_created_records(value: object) -> list[RecordRef]:
    items = list(value.values()) if isinstance(value, dict) else value or []
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise ValueError("CRM_CREATED_ENTITIES is not a list of records")
    records = (_parse_entity("CRM_CREATED_ENTITIES", item.get("ENTITY_TYPE"), item.get("ENTITY_ID")) for item in items)
    return [record for record in records if record is not None]
