"""Questions to the ledger about CRM records: what the portal answered about the client, and which records this call
creates."""

from __future__ import annotations

from typing import Any

from bx24app.domain.calls.call_view import CallView
from bx24app.domain.calls.commands import CreateRecord, Record, Ref
from bx24app.domain.calls.ledger import USER_INACTIVE, LedgerEntry
from bx24app.domain.calls.plan import get_lookup_answer

FIND_CLIENT_KEY = "find-client"
"""Key of the ReadClient that is sent before a rule creates a record."""


def get_done_answer(entry: LedgerEntry | None) -> dict[str, Any] | None:
    """The answer to a command that was carried out; None: it was not, or not yet."""
    return entry.answer if entry is not None and entry.state == "done" else None


def find_client_record(view: CallView) -> Record | None:
    """The client's own record: Register found or created it, or ReadClient found it by the number since then."""
    answer = get_done_answer(view.ledger.register_entry()) or {}
    record = answer.get("record")
    if record is None:
        record = next((created for created in answer.get("created", []) if created["entity"] != "deal"), None)
    if record is None:
        lookup = get_lookup_answer(view.ledger.find_by_key(FIND_CLIENT_KEY)) or {}
        record = next(iter(lookup.get("records") or ()), None)
    return Record(record["entity"], int(record["id"])) if record else None


def is_client_unknown(view: CallView) -> bool | None:
    """Whether the CRM has no record of this client; None: the portal has not answered yet."""
    if get_done_answer(view.ledger.register_entry()) is None:
        return None
    return find_client_record(view) is None and not (get_done_answer(view.ledger.register_entry()) or {}).get("created")


def base_key(key: str) -> str:
    """The key without the number of the attempt."""
    return key.partition("~")[0]


def find_attempts(view: CallView, key: str) -> list[LedgerEntry]:
    """All attempts to create one record, oldest first."""
    created = (entry for entry in view.ledger if isinstance(entry.command, CreateRecord))
    return [entry for entry in created if base_key(entry.command.key) == key]


def find_live_attempt(view: CallView, key: str) -> LedgerEntry | None:
    """The attempt that was not refused; None: all were."""
    return next((entry for entry in find_attempts(view, key) if entry.state != "dead"), None)


def count_refusals(view: CallView, key: str) -> int:
    """How often the portal refused the record itself. Refusals because of a dismissed user do not count: another user
    gets the record."""
    return sum(1 for entry in find_attempts(view, key) if entry.state == "dead" and entry.code != USER_INACTIVE)


def list_created_records(view: CallView) -> list[tuple[Record, CreateRecord]]:
    """Records that our commands create or have created, each with its command."""
    records: list[tuple[Record, CreateRecord]] = []
    for entry in view.ledger:
        if isinstance(entry.command, CreateRecord) and entry.state != "dead":
            number = entry.answer.get("id")
            target: int | Ref = int(number) if number else Ref(base_key(entry.command.key), "id")
            records.append((Record(entry.command.entity, target), entry.command))
    return records


def list_portal_records(view: CallView) -> list[Record]:
    """Records that the portal created with Register (CRM_CREATE)."""
    answer = get_done_answer(view.ledger.register_entry()) or {}
    return [Record(item["entity"], int(item["id"])) for item in answer.get("created", [])]


def is_same_record(view: CallView, left: Record, right: Record) -> bool:
    """Whether both are one record, by its id or by the command that creates it."""

    def resolved_id(record: Record) -> object:
        if isinstance(record.id, Ref):
            entry = find_live_attempt(view, record.id.key)
            return entry.answer.get("id") if entry and entry.answer.get("id") else record.id
        return record.id

    return left.entity == right.entity and str(resolved_id(left)) == str(resolved_id(right))
