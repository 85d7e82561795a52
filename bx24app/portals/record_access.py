"""May the viewer of a placement read a CRM record?

The portal is asked with the viewer's own token, at the lowest priority.
"""

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
    """The record, and its contacts and company that the viewer may read too; empty: the portal refuses the record.

    Args:
        client: on the viewer's token.

    Raises:
        bx24app.bitrix24.errors.PortalError: the portal cannot be asked now.
    """
    params = {"entityTypeId": ENTITY_TYPE_IDS[entity], "id": number}
    answer = client.batch([("record", "crm.item.get", params)], priority=Priority.VIEW).get("record")
    if isinstance(answer, errors.Later):
        raise answer
    item = answer.result.get("item") if isinstance(answer, RestResult) and isinstance(answer.result, dict) else None
    if not isinstance(item, dict) or str(item.get("id")) != str(number):
        return []
    return [(entity, number), *_related_records(client, entity, item)]


def _related_records(client: Bitrix24Client, entity: str, item: dict[str, Any]) -> list[RecordRef]:
    """The clients of a lead or a deal, whose calls mostly belong to it."""
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
    records: list[RecordRef] = []
    for name, answer in client.batch(commands, priority=Priority.VIEW).items():
        rows = (
            answer.result.get("items") if isinstance(answer, RestResult) and isinstance(answer.result, dict) else None
        )
        ids = _valid_ids({row.get("id") for row in rows or ()})
        records += [(name, number) for number in ids if number in wanted[name]]
    return records


def _valid_ids(values: set[Any]) -> list[int]:
    return sorted({int(value) for value in values if str(value or "").isdecimal() and int(value) > 0})[:MAX_RELATED]
