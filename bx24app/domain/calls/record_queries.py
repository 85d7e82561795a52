"""Reading the ledger: what the portal said of the client, and which records this call made."""

from __future__ import annotations

from typing import Any

from bx24app.domain.calls.call_view import View
from bx24app.domain.calls.commands import CreateRecord, Record, Ref
from bx24app.domain.calls.ledger import USER_INACTIVE, Entry
from bx24app.domain.calls.plan import answered

FOUND = "find-client"
"""Key of the look-up by number that a rule asks for before it makes anything."""


def facts(entry: Entry | None) -> dict[str, Any] | None:
    """The answer of a command that was carried out."""
    return entry.answer if entry is not None and entry.state == "done" else None


def client_record(view: View) -> Record | None:
    """The client's own record: known at register, made by it, or found by its number since then."""
    said = facts(view.ledger.register()) or {}
    found = said.get("record")
    if found is None:
        found = next((made for made in said.get("created", []) if made["entity"] != "deal"), None)
    if found is None:
        found = next(iter((answered(view.ledger.by_key(FOUND)) or {}).get("records") or ()), None)
    return Record(found["entity"], int(found["id"])) if found else None


def unknown(view: View) -> bool | None:
    """Is there no record of this client? None: the portal has not answered yet."""
    if facts(view.ledger.register()) is None:
        return None
    return client_record(view) is None and not (facts(view.ledger.register()) or {}).get("created")


def base(key: str) -> str:
    """The key without the number of the attempt."""
    return key.partition("~")[0]


def attempts(view: View, key: str) -> list[Entry]:
    """All attempts to make one record, oldest first."""
    return [entry for entry in view.ledger if isinstance(entry.command, CreateRecord) and base(entry.command.key) == key]


def alive(view: View, key: str) -> Entry | None:
    """The attempt that was not refused."""
    return next((entry for entry in attempts(view, key) if entry.state != "dead"), None)


def refusals(view: View, key: str) -> int:
    """How often the record itself was refused; a dismissed user is another matter: somebody else gets it."""
    return sum(1 for entry in attempts(view, key) if entry.state == "dead" and entry.code != USER_INACTIVE)


def made(view: View) -> list[tuple[Record, CreateRecord]]:
    """Records that commands of ours make or made."""
    found: list[tuple[Record, CreateRecord]] = []
    for entry in view.ledger:
        if isinstance(entry.command, CreateRecord) and entry.state != "dead":
            number = entry.answer.get("id")
            target: int | Ref = int(number) if number else Ref(base(entry.command.key), "id")
            found.append((Record(entry.command.entity, target), entry.command))
    return found


def by_portal(view: View) -> list[Record]:
    """Records that register made by CRM_CREATE."""
    said = facts(view.ledger.register()) or {}
    return [Record(item["entity"], int(item["id"])) for item in said.get("created", [])]


def same(view: View, left: Record, right: Record) -> bool:
    """Is it one record, whether by its number or by the command that makes it?"""

    def number(record: Record) -> object:
        if isinstance(record.id, Ref):
            entry = alive(view, record.id.key)
            return entry.answer.get("id") if entry and entry.answer.get("id") else record.id
        return record.id

    return left.entity == right.entity and str(number(left)) == str(number(right))
