"""What a fold writes into `CallFacts`: all of it in `update_facts`, called once in each fold."""

from __future__ import annotations

from datetime import UTC, datetime

from bx24app.calls.fold.related_calls import RelatedCalls
from bx24app.domain import rules
from bx24app.domain.calls.commands import Command, CreateRecord, ReadClient, ReadDeals, Register
from bx24app.domain.calls.entry import CallEntry
from bx24app.domain.calls.ledger import Ledger, LedgerEntry
from bx24app.domain.calls.plan import CallPlan
from bx24app.domain.calls.policy import Policy
from bx24app.domain.working_hours import is_open
from bx24app.models.call_facts import CallFacts, StoredCase


def update_facts(
    facts: CallFacts, entry: CallEntry, policy: Policy, ledger: Ledger, plan: CallPlan | None, related: RelatedCalls
) -> None:
    """Set every fact that a fold knows. The three parts set different fields, so their order does not matter.

    Args:
        plan: of the fold's decision, None for a call that is none of the portal's business.
    """
    _set_call_facts(facts, entry, policy)
    _set_answers(facts, ledger)
    if plan is not None:
        _set_plan(facts, plan)
    facts.continued_call_id = related.continues.call_id if related.continues else None
    facts.handed_to = related.handed_to
    facts.has_made_record = related.is_made_later or _creates_record(ledger)


def _set_call_facts(facts: CallFacts, entry: CallEntry, policy: Policy) -> None:
    names = [ring.employee.extension or ring.employee.number for ring in entry.rings]
    facts.rang_extensions = list(dict.fromkeys(name for name in names if name))
    facts.groups = list(dict.fromkeys(step.group for leg in entry.legs for step in leg.steps if step.group))
    line = policy.find_line(entry.line)
    if line is not None:
        began = datetime.fromtimestamp(entry.started_at, UTC)
        facts.is_working_time = is_open(line.working_hours, began, policy.settings.portal.timezone)
    unmapped = {ring.employee.extension for ring in entry.rings if policy.find_user(ring.employee) is None}
    facts.unmapped_extensions = sorted(extension for extension in unmapped if extension)


def _set_answers(facts: CallFacts, ledger: Ledger) -> None:
    register = ledger.register_entry()
    if register is not None and register.state == "done" and isinstance(register.command, Register):
        facts.record = register.answer.get("record")
        facts.client_status = "known" if facts.record else "new"
    client = _first_answer(ledger, ReadClient)
    if client is not None:
        facts.client_records = client.answer.get("records", [])
    deals = _first_answer(ledger, ReadDeals)
    if deals is not None:
        facts.client_deals = deals.answer.get("deals", [])


def _first_answer(ledger: Ledger, kind: type[Command]) -> LedgerEntry | None:
    return next((entry for entry in ledger if isinstance(entry.command, kind) and entry.state == "done"), None)


def _set_plan(facts: CallFacts, plan: CallPlan) -> None:
    if plan.is_decided:
        facts.chosen_rule = plan.rule.name if plan.rule else ""
    case = plan.case
    facts.rule_facts = rules.facts_to_json(case.facts)
    facts.rule_case = StoredCase(
        raw_line=case.raw_line,
        extension=case.extension,
        transferred_to=case.transferred_to,
        owner=case.manager_id,
        client_name=case.client_name,
        pick=case.pick,
        days={str(user): day for user, day in case.day_statuses.items() if day},
        misses=case.misses,
    )


def _creates_record(ledger: Ledger) -> bool:
    return any(
        isinstance(entry.command, CreateRecord) or (isinstance(entry.command, Register) and entry.command.create)
        for entry in ledger
        if entry.state != "dead"
    )
