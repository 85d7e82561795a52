"""Reading the ledger: what the portal said of the client, and which records this call made."""

from __future__ import annotations

from typing import Any

from bx24app.domain.calls.call_view import CallView
from bx24app.domain.calls.commands import CreateRecord, Record, Ref
from bx24app.domain.calls.ledger import USER_INACTIVE, LedgerEntry
from bx24app.domain.calls.plan import get_lookup_answer

FIND_CLIENT_KEY = "find-client"
"""Key of the look-up by number that a rule asks for before it makes anything."""


def get_done_answer(entry: LedgerEntry | None) -> dict[str, Any] | None:
    """The answer of a command that was carried out."""
    return entry.answer if entry is not None and entry.state == "done" else None


def find_client_record(view: CallView) -> Record | None:
    """The client's own record: known at register, made by it, or found by its number since then."""
    said = get_done_answer(view.ledger.register_entry()) or {}
    found = said.get("record")
    if found is None:
        found = next((made for made in said.get("created", []) if made["entity"] != "deal"), None)
    if found is None:
        found = next(iter((get_lookup_answer(view.ledger.find_by_key(FIND_CLIENT_KEY)) or {}).get("records") or ()), None)
    return Record(found["entity"], int(found["id"])) if found else None


def is_client_unknown(view: CallView) -> bool | None:
    """Is there no record of this client? None: the portal has not answered yet."""
    if get_done_answer(view.ledger.register_entry()) is None:
        return None
    return find_client_record(view) is None and not (get_done_answer(view.ledger.register_entry()) or {}).get("created")


def base_key(key: str) -> str:
    """The key without the number of the attempt."""
    return key.partition("~")[0]


def find_attempts(view: CallView, key: str) -> list[LedgerEntry]:
    """All attempts to make one record, oldest first."""
    return [entry for entry in view.ledger if isinstance(entry.command, CreateRecord) and base_key(entry.command.key) == key]


def find_live_attempt(view: CallView, key: str) -> LedgerEntry | None:
    """The attempt that was not refused."""
    return next((entry for entry in find_attempts(view, key) if entry.state != "dead"), None)


def count_refusals(view: CallView, key: str) -> int:
    """How often the record itself was refused; a dismissed user is another matter: somebody else gets it."""
    return sum(1 for entry in find_attempts(view, key) if entry.state == "dead" and entry.code != USER_INACTIVE)


def list_created_records(view: CallView) -> list[tuple[Record, CreateRecord]]:
    """Records that commands of ours make or made."""
    found: list[tuple[Record, CreateRecord]] = []
    for entry in view.ledger:
        if isinstance(entry.command, CreateRecord) and entry.state != "dead":
            number = entry.answer.get("id")
            target: int | Ref = int(number) if number else Ref(base_key(entry.command.key), "id")
            found.append((Record(entry.command.entity, target), entry.command))
    return found


def list_portal_records(view: CallView) -> list[Record]:
    """Records that register made by CRM_CREATE."""
    said = get_done_answer(view.ledger.register_entry()) or {}
    return [Record(item["entity"], int(item["id"])) for item in said.get("created", [])]


def is_same_record(view: CallView, left: Record, right: Record) -> bool:
    """Is it one record, whether by its number or by the command that makes it?"""

    def resolved_id(record: Record) -> object:
        if isinstance(record.id, Ref):
            entry = find_live_attempt(view, record.id.key)
            return entry.answer.get("id") if entry and entry.answer.get("id") else record.id
        return record.id

    return left.entity == right.entity and str(resolved_id(left)) == str(resolved_id(right))
