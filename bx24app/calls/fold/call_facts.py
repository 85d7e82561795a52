"""What a call stores for rules and pages: the facts that may be read later without asking the portal."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from bx24app.domain.calls.commands import CreateRecord, ReadClient, ReadDeals, Register
from bx24app.domain.calls.entry import CallEntry
from bx24app.domain.calls.ledger import Ledger
from bx24app.domain.calls.policy import Policy
from bx24app.domain.working_hours import is_open
from bx24app.models import Call


def update_facts(call: Call, entry: CallEntry, policy: Policy, ledger: Ledger) -> dict[str, Any]:
    """The facts of a call after a fold; also sets `call.crm` and `call.unmapped`."""
    facts = dict(call.facts)
    register = ledger.register_entry()
    if register is not None and register.state == "done" and isinstance(register.command, Register):
        record = register.answer.get("record")
        facts["client"] = "known" if record else "new"
        facts["record"] = record
    read = next((e for e in ledger if isinstance(e.command, ReadClient) and e.state == "done"), None)
    if read is not None:
        facts["records"] = read.answer.get("records", [])
    deals = next((e for e in ledger if isinstance(e.command, ReadDeals) and e.state == "done"), None)
    if deals is not None:
        facts["deals"] = deals.answer.get("deals", [])
    rang = [ring.employee.extension or ring.employee.number for ring in entry.rings]
    facts["rang"] = list(dict.fromkeys(name for name in rang if name))
    facts["groups"] = list(dict.fromkeys(s.group for leg in entry.legs for s in leg.steps if s.group))
    line = policy.find_line(entry.line)
    if line is not None:
        at = datetime.fromtimestamp(entry.started_at, UTC)
        facts["open"] = is_open(line.working_hours, at, policy.settings.portal.timezone)
    strangers = {
        r.employee.extension for r in entry.rings if r.employee.extension and policy.find_user(r.employee) is None
    }
    facts["unmapped"] = sorted(name for name in strangers if name)
    call.unmapped = ",".join(facts["unmapped"]) or None
    call.crm = _crm_records(ledger)
    return facts


def _crm_records(ledger: Ledger) -> list[dict[str, Any]]:
    """Section 8: the records of the call, each with whether this call made it."""
    found: dict[tuple[str, int], bool] = {}
    for entry in ledger:
        if entry.state != "done" or entry.command.part != 1:
            continue
        for made in entry.answer.get("created", []):
            found[made["entity"], made["id"]] = True
        if isinstance(entry.command, CreateRecord) and entry.answer.get("id"):
            found[entry.command.entity, int(entry.answer["id"])] = True
        record = entry.answer.get("record")
        if record:
            found.setdefault((record["entity"], record["id"]), False)
    return [{"entity": entity, "id": number, "created": made} for (entity, number), made in found.items()]
