"""The store of the CRM: records by type, and the index by phone and e-mail.

The REST methods and the telephony both read and write records here. The index follows every change of a record's
values.
"""

from __future__ import annotations

import re
from collections import defaultdict
from functools import lru_cache
from typing import Any

from bx24app.sandbox.bitrix.state import COMPANY, CONTACT, DEAL, LEAD, Multi, Record

_FIRST_ID = {LEAD: 1001, DEAL: 2001, CONTACT: 3001, COMPANY: 4001}
"""The ids of different types never overlap, so a test notices when code mixes types up."""


@lru_cache(maxsize=65536)
def normalise_phone(phone: str) -> str:
    """The indexed form of a phone: only digits; a Russian 8… of eleven digits becomes 7… (S: NormalizePhone)."""
    number = re.sub(r"\D", "", phone)
    return "7" + number[1:] if len(number) == 11 and number[0] == "8" and number[1] not in "012" else number


def index_key(kind: str, value: str) -> str:
    """A phone or e-mail in the form in which the duplicate index compares it."""
    return normalise_phone(value) if kind == "PHONE" else value.strip().lower()


class CrmStore:
    """All records of a portal."""

    def __init__(self) -> None:
        self.records: defaultdict[int, dict[int, Record]] = defaultdict(dict)
        self._index: defaultdict[tuple[str, str], list[Record]] = defaultdict(list)
        self._next_ids: dict[int, int] = dict(_FIRST_ID)
        self._multi_count = 0

    def add_record(self, type_id: int, fields: dict[str, Any], multi: list[dict[str, Any]] | None = None) -> Record:
        """Stores a new record. `multi` holds its phones and e-mails: maps with typeId, valueType and value."""
        number = self._next_ids.setdefault(type_id, 50001 + 100 * (type_id % 1000))
        self._next_ids[type_id] += 1
        record = Record(type_id, number, {"id": number, **fields})
        self.records[type_id][number] = record
        for item in multi or []:
            self.attach_value(record, str(item["typeId"]), str(item.get("valueType") or "WORK"), str(item["value"]))
        return record

    def attach_value(self, record: Record, kind: str, value_type: str, value: str) -> Multi:
        """Adds a phone or e-mail to a record."""
        self._multi_count += 1
        item = Multi(self._multi_count, kind, value_type, value)
        record.multi.append(item)
        self._index[kind, index_key(kind, value)].append(record)
        return item

    def detach_value(self, record: Record, item: Multi) -> None:
        """Removes a phone or e-mail from a record."""
        record.multi.remove(item)
        self._index[item.type_id, index_key(item.type_id, item.value)].remove(record)

    def delete_record(self, record: Record) -> None:
        """Removes a record and its index entries."""
        for item in list(record.multi):
            self.detach_value(record, item)
        del self.records[record.type_id][record.id]

    def get_record(self, type_id: int, number: int) -> Record | None:
        return self.records[type_id].get(number)

    def find_records(self, kind: str, value: str, *types: int) -> list[Record]:
        """The records with this phone or e-mail, in the order of `types`, then of creation."""
        wanted = index_key(kind, value)
        if not wanted:
            return []
        indexed = self._index.get((kind, wanted), [])
        unique = {record.key: record for record in indexed}
        return [unique[key] for type_id in types for key in sorted(unique) if key[0] == type_id]

    def open_deals_of(self, record: Record) -> list[Record]:
        """The open deals of a contact or company."""
        return [
            deal
            for deal in self.records[DEAL].values()
            if deal.fields.get("stageSemanticId") == "P"
            and (
                (record.type_id == CONTACT and record.id in deal.contact_ids)
                or (record.type_id == COMPANY and deal.company_id == record.id)
            )
        ]
