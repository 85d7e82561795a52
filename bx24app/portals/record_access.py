"""May this person read this record of the CRM? The portal is asked with their own token, when everything more urgent has been asked."""

from __future__ import annotations

from typing import Any, Final

from bx24app.bitrix24 import errors
from bx24app.bitrix24.budget import Priority
from bx24app.bitrix24.client import Bitrix24Client, RestResult

ENTITY_TYPE_IDS: Final = {"lead": 1, "deal": 2, "contact": 3, "company": 4}
"""Name -> entityTypeId (official page "crm.item", object types)."""
MAX_RELATED: Final = 50
RecordRef = tuple[str, int]


def readable_records(client: Bitrix24Client, entity: str, number: int) -> list[RecordRef]:
    """The record, and those of its contacts and its company that the viewer may read as well; empty: the portal refuses the record.

    `client`: with the viewer's token.

    Raises:
        bx24app.bitrix24.errors.PortalError: the portal cannot be asked now.
    """
    asked = {"entityTypeId": ENTITY_TYPE_IDS[entity], "id": number}
    met = client.batch([("record", "crm.item.get", asked)], priority=Priority.VIEW).get("record")
    if isinstance(met, errors.Later):
        raise met
    item = met.result.get("item") if isinstance(met, RestResult) and isinstance(met.result, dict) else None
    if not isinstance(item, dict) or str(item.get("id")) != str(number):
        return []
    return [(entity, number), *_related_records(client, entity, item)]


def _related_records(client: Bitrix24Client, entity: str, item: dict[str, Any]) -> list[RecordRef]:
    """Clients of a lead or a deal: its calls are mostly theirs."""
    if entity not in ("lead", "deal"):
        return []
    contacts = {*(item.get("contactIds") or ()), item.get("contactId")}
    wanted = {"contact": _valid_ids(contacts), "company": _valid_ids({item.get("companyId")})}
    commands: list[tuple[str, str, dict[str, Any]]] = [
        (name, "crm.item.list", {"entityTypeId": ENTITY_TYPE_IDS[name], "filter": {"@id": ids}, "select": ["id"]})
        for name, ids in wanted.items()
        if ids
    ]
    if not commands:
        return []
    said = client.batch(commands, priority=Priority.VIEW)
    found: list[RecordRef] = []
    for name, met in said.items():
        rows = met.result.get("items") if isinstance(met, RestResult) and isinstance(met.result, dict) else None
        found += [(name, number) for number in _valid_ids({row.get("id") for row in rows or ()}) if number in wanted[name]]
    return found


def _valid_ids(values: set[Any]) -> list[int]:
    return sorted({int(value) for value in values if str(value or "").isdecimal() and int(value) > 0})[:MAX_RELATED]
