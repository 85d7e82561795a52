"""The columns of a call in the journal, written after each fold."""

from __future__ import annotations

from typing import Any

from bx24app.calls.fold.related_calls import RelatedCalls
from bx24app.domain.calls.commands import CreateRecord
from bx24app.domain.calls.decision import Decision
from bx24app.domain.calls.ledger import Ledger
from bx24app.models import Call, Delivery
from bx24app.models.call_facts import CallFacts
from bx24app.models.calls import join_extensions


def write_journal_columns(
    call: Call, decision: Decision, facts: CallFacts, ledger: Ledger, deliveries: list[Delivery], related: RelatedCalls
) -> None:
    """Write the decision, the facts and the portal's answers into the columns of the call.

    Args:
        facts: as they are after this fold.
        deliveries: of the call, those included that `Ledger` no longer holds.
    """
    journal: dict[str, Any] = dict(decision.journal)
    is_complete = journal.pop("complete")
    for name, value in journal.items():
        if getattr(call, name) != value:
            setattr(call, name, value)
    register, finish = ledger.register_entry(), ledger.finish_entry()
    if register is not None and register.state == "done":
        call.bitrix_call_id = register.answer.get("call_id")
    is_finished = finish is not None and finish.state == "done"
    if finish is not None and is_finished:
        call.activity_id = finish.answer.get("activity_id")
    if decision.plan is not None and decision.plan.is_decided:
        call.rule = facts.chosen_rule or None
    call.unmapped = join_extensions(facts.unmapped_extensions or ())
    call.crm = _crm_records(ledger)
    # The journal names the entry, the facts name the row: an entry id may occur at two PBXs.
    call.continues = related.continues.entry_id if related.continues else None
    if any(entry is not None and entry.state == "dead" for entry in (register, finish)):
        dead = next((row for row in deliveries if row.state == "dead" and row.kind in ("Register", "Finish")), None)
        call.state = "dead"
        call.problem, call.problem_delivery = (dead.reason, dead.key) if dead else (None, None)
    elif is_finished or (is_complete and register is None and not decision.commands):
        call.state = "finished"
    else:
        call.state = "open"


def _crm_records(ledger: Ledger) -> list[dict[str, Any]]:
    """The CRM records of the call, each with whether this call created it."""
    records: dict[tuple[str, int], bool] = {}
    for entry in ledger:
        if entry.state != "done" or entry.command.part != 1:
            continue
        for created in entry.answer.get("created", []):
            records[created["entity"], created["id"]] = True
        if isinstance(entry.command, CreateRecord) and entry.answer.get("id"):
            records[entry.command.entity, int(entry.answer["id"])] = True
        record = entry.answer.get("record")
        if record:
            records.setdefault((record["entity"], record["id"]), False)
    return [{"entity": entity, "id": number, "created": created} for (entity, number), created in records.items()]
