"""What may the viewer of a placement read in the CRM?

The portal is asked with the viewer's own token, at the lowest priority. A telephone number is proven only by a record
that the viewer may read and that carries the number itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from bx24app.bitrix24 import errors
from bx24app.bitrix24.budget import Priority
from bx24app.bitrix24.client import Bitrix24Client, RestResult
from bx24app.domain import phone

ENTITY_TYPE_IDS: Final = {"lead": 1, "deal": 2, "contact": 3, "company": 4}
"""Name -> entityTypeId (official page "crm.item", object types)."""
MAX_RECORDS = 50
"""Of each kind, besides the record itself: a page of `crm.item.list`."""
RecordRef = tuple[str, int]
_Answer = RestResult | errors.PortalError | None


@dataclass(frozen=True, slots=True)
class ReadableRecords:
    """`records`: the wanted record, then others of the same client that the viewer may read; empty: none may be read.

    `proof`: the one of them that carries the number; None: no such record, so the number proves nothing.
    """

    records: tuple[RecordRef, ...] = ()
    proof: RecordRef | None = None


def load_records(client: Bitrix24Client, entity: str, record_id: int, number: str = "") -> ReadableRecords:
    """The record, its contacts and company, and other records with the number, as far as the viewer may read them.

    Args:
        client: on the viewer's token.
        number: E.164; empty: no number has to be proven.

    Raises:
        bx24app.bitrix24.errors.PortalError: the portal cannot be asked now.
    """
    wanted = (entity, record_id)
    commands: list[tuple[str, str, dict[str, Any]]] = [
        ("record", "crm.item.get", {"entityTypeId": ENTITY_TYPE_IDS[entity], "id": record_id})
    ]
    if number:
        commands.append(("carriers", "crm.duplicate.findbycomm", {"type": "PHONE", "values": [number]}))
    answers = client.batch(commands, priority=Priority.VIEW)
    item = _read_item(answers.get("record"))
    if item is None or str(item.get("id")) != str(record_id):
        return ReadableRecords()
    # The search names records that the viewer may not read, too: each is read with the viewer's token below.
    carriers = _read_carriers(answers.get("carriers"))
    if number and _has_phone(item, number):
        carriers.add(wanted)
    others = _load_readable(client, (_related_records(entity, item) | carriers) - {wanted})
    records = (wanted, *others)
    return ReadableRecords(records, next((record for record in records if record in carriers), None))


def _read_item(answer: _Answer) -> dict[str, Any] | None:
    if isinstance(answer, errors.Later):
        raise answer
    item = answer.result.get("item") if isinstance(answer, RestResult) and isinstance(answer.result, dict) else None
    return item if isinstance(item, dict) else None


def _read_carriers(answer: _Answer) -> set[RecordRef]:
    ids_by_type = answer.result if isinstance(answer, RestResult) and isinstance(answer.result, dict) else {}
    entities = {str(name).lower(): ids for name, ids in ids_by_type.items() if isinstance(ids, list)}
    return {(entity, number) for entity, ids in entities.items() if entity in ENTITY_TYPE_IDS for number in _valid(ids)}


def _has_phone(item: dict[str, Any], number: str) -> bool:
    rows = item.get("fm")
    phones = (row for row in rows or () if isinstance(row, dict) and row.get("typeId") == "PHONE")
    return any(phone.normalise(str(row.get("value") or "")) == number for row in phones)


def _related_records(entity: str, item: dict[str, Any]) -> set[RecordRef]:
    """The clients of a lead or a deal, whose calls mostly belong to it."""
    if entity not in ("lead", "deal"):
        return set()
    contacts = item.get("contactIds")
    contact_ids = _valid([*(contacts if isinstance(contacts, list) else ()), item.get("contactId")])
    company_ids = _valid([item.get("companyId")])
    return {("contact", number) for number in contact_ids} | {("company", number) for number in company_ids}


def _load_readable(client: Bitrix24Client, wanted: set[RecordRef]) -> list[RecordRef]:
    """Those of the records that the portal lets the viewer read."""
    ids_by_entity: dict[str, list[int]] = {}
    for entity, number in sorted(wanted):
        ids_by_entity.setdefault(entity, []).append(number)
    commands: list[tuple[str, str, dict[str, Any]]] = [
        (
            entity,
            "crm.item.list",
            {"entityTypeId": ENTITY_TYPE_IDS[entity], "filter": {"@id": ids[:MAX_RECORDS]}, "select": ["id"]},
        )
        for entity, ids in ids_by_entity.items()
    ]
    if not commands:
        return []
    readable: list[RecordRef] = []
    for entity, answer in client.batch(commands, priority=Priority.VIEW).items():
        rows = answer.result.get("items") if isinstance(answer, RestResult) and isinstance(answer.result, dict) else ()
        ids = _valid(row.get("id") for row in rows or () if isinstance(row, dict))
        readable += [(entity, number) for number in ids if (entity, number) in wanted]
    return readable


def _valid(values: Iterable[Any]) -> list[int]:
    ids = {int(value) for value in values if str(value or "").isdecimal() and len(str(value)) < 10}
    return sorted(ids - {0})[:MAX_RECORDS]
