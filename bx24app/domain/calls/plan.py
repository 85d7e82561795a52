"""The plan of a call: which rule holds for it, and what the rule's actions become.

The decision makes a plan at every fold. Once a rule is chosen, later folds keep it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from bx24app.domain.calls.call_view import CallView, Outcome
from bx24app.domain.calls.ledger import LedgerEntry as LedgerEntry
from bx24app.domain.calls.rule_case import PlannedAction, RuleCase, default_actions, plan_actions
from bx24app.domain.rules import (
    CallSnapshot,
    ParsedRule,
    RuleFacts,
    choose_rule,
    compute_facts,
    get_parsed_rules,
    minutes_between,
    uses_fact,
)
from bx24app.domain.rules.actions import CreateAction, NotifyAction, TodoAction


@dataclass(frozen=True, slots=True)
class CallPlan:
    """What a call makes. `rule` None with `is_decided`: no rule holds, so `calls.*` do. Before the decision nothing
    is made."""

    is_decided: bool
    rule: ParsedRule | None
    actions: tuple[PlannedAction, ...]
    case: RuleCase

    @property
    def record_actions(self) -> tuple[PlannedAction, ...]:
        """The actions that make a record."""
        return tuple(planned for planned in self.actions if isinstance(planned.action, CreateAction))

    @property
    def needs_pick(self) -> bool:
        """Will the line's next responsible get something? To draw a place in the line's turns and not use it would
        make them unfair."""
        has_user = any(isinstance(planned.action, CreateAction | TodoAction) for planned in self.actions)
        return self.is_decided and has_user


def make_plan(view: CallView, end: Outcome) -> CallPlan:
    """What this call makes, as far as it is known now."""
    rules = get_parsed_rules(view.policy.settings)
    case = make_rule_case(view, end, make_rule_facts(view, end, rules))
    if view.context.chosen_rule is not None:
        rule = next((rule for rule in rules if rule.name == view.context.chosen_rule), None)
        is_decided = True
    elif not (view.has_rung or end.is_complete or view.ledger.register_entry() is not None):
        return CallPlan(False, None, (), case)  # a choice is final, and too little is known for one
    else:
        choice = choose_rule(rules, case.facts)
        rule, is_decided = choice.rule, choice.is_decided
    if not is_decided:
        return CallPlan(False, None, (), case)
    actions = rule.actions if rule else default_actions(case.facts, view.policy)
    if actions is None:  # no rule, and calls.* wait for the outcome
        return CallPlan(True, None, (), case)
    planned_actions = plan_actions(case, actions, view.policy)
    if view.context.continued_call is not None or view.context.has_linked_record:  # that call makes the records
        planned_actions = tuple(planned for planned in planned_actions if isinstance(planned.action, NotifyAction))
    return CallPlan(True, rule, planned_actions, case)


def make_rule_facts(view: CallView, end: Outcome, rules: tuple[ParsedRule, ...]) -> RuleFacts:
    """The call as conditions see it now."""
    return compute_facts(_take_snapshot(view, end, rules))


def _take_snapshot(view: CallView, end: Outcome, rules: tuple[ParsedRule, ...]) -> CallSnapshot:
    status, open_records = client_status(view), _find_open_records(view)
    is_unsettled = status is None or (needs_open_records(rules) and _awaits_open_records(view))
    awaits_client = view.crm_number is not None and is_unsettled and _may_portal_answer(view)
    is_over = end.is_complete and not awaits_client
    return CallSnapshot(
        moment="end" if is_over else ("answer" if end.is_answered else "ring"),
        started_at=datetime.fromtimestamp(view.entry.started_at, UTC),
        timezone=view.policy.settings.portal.timezone,
        pbx_key=view.policy.pbx.key,
        line=view.line,
        raw_line=view.raw_line,
        direction="in" if view.direction == "in" else "out",
        outcome=end.result or ("answered" if end.is_answered else None),
        client_number=view.client_number,
        client=status,
        talk_seconds=view.entry.talk_seconds if end.is_complete else None,
        rang=_rung_names(view),
        open_records=open_records,
        minutes_since_last=minutes_between(view.context.previous_call_at, view.entry.started_at),
    )


def needs_open_records(rules: tuple[ParsedRule, ...]) -> bool:
    """Does a rule depend on what the client has open, so that the portal must be asked?"""
    return uses_fact(rules, "open_records")


def needs_previous_call(rules: tuple[ParsedRule, ...]) -> bool:
    """Does a rule depend on when the client called before, so that the journal must be asked?"""
    return uses_fact(rules, "minutes_since_last")


def client_status(view: CallView) -> Literal["new", "known"] | None:
    """Has the client a record in the CRM? None: the portal has not answered yet, or the CRM has no number to look for.
    """
    register = view.ledger.register_entry()
    if register is None or register.state != "done" or view.crm_number is None:
        return None
    return "known" if register.answer.get("record") else "new"


def _may_portal_answer(view: CallView) -> bool:
    """Can the portal still answer who the client is?"""
    register = view.ledger.register_entry()
    return register is None or register.state != "dead"


def _rung_names(view: CallView) -> frozenset[str]:
    rung = {ring.employee.extension or ring.employee.number for ring in view.entry.rings}
    groups = {step.group for leg in view.entry.legs for step in leg.steps}
    return frozenset(name for name in (*rung, *groups) if name)


OPEN_KINDS = ("deal", "lead")
"""What `client_has_open` may ask for."""


def _awaits_open_records(view: CallView) -> bool:
    """Is a look-up of open records still to be answered, or refused?"""
    entries = [view.ledger.find_by_key(f"open-{kind}") for kind in OPEN_KINDS]
    return client_status(view) != "new" and any(get_lookup_answer(entry) is None for entry in entries)


def _find_open_records(view: CallView) -> frozenset[str] | None:
    """None until every look-up is answered, and for good if one was refused: what is open is then not known."""
    status = client_status(view)
    if status == "new":
        return frozenset()
    entries = {kind: view.ledger.find_by_key(f"open-{kind}") for kind in OPEN_KINDS}
    if status is None or any(entry is None or entry.state != "done" for entry in entries.values()):
        return None
    register = view.ledger.register_entry()
    record = (register.answer.get("record") if register else None) or {}
    kinds = {kind for kind, entry in entries.items() if entry and entry.answer.get("open")}
    return frozenset(kinds | ({"lead"} if record.get("entity") == "lead" else set()))


def get_lookup_answer(entry: LedgerEntry | None) -> dict[str, Any] | None:
    """The answer of a look-up. Empty: the portal refused it; None: it was not asked, or is on its way.

    Before a record is created, `is_lookup_refused` tells a refusal from the answer that there is none.
    """
    if entry is None or entry.state in ("waiting", "sent"):
        return None
    return entry.answer if entry.state == "done" else {}


def is_lookup_refused(entry: LedgerEntry | None) -> bool:
    """Was the look-up refused, so that what it asked for is not known?"""
    return entry is not None and entry.state == "dead"


def make_rule_case(view: CallView, end: Outcome, facts: RuleFacts) -> RuleCase:
    """The call as templates and roles see it now."""
    entry = view.entry
    people = [talk.employee for talk in entry.talks] or [ring.employee for ring in entry.rings]
    last = people[-1] if entry.talks else (people[0] if people else None)
    records = (get_lookup_answer(view.ledger.find_by_key("find-client")) or {}).get("records") or []
    day_answers = {
        item.command.user_id: str((get_lookup_answer(item) or {}).get("day", ""))  # type: ignore[union-attr]
        for item in view.ledger
        if item.command.key.startswith("day-")
    }
    manager_days = {record["responsible"]: record["day"] for record in records if record.get("responsible")}
    misses = 1 + max((todo.misses for todo in view.context.open_todos), default=0)
    reason = entry.end_reason if end.is_complete and not end.is_answered else None
    return RuleCase(
        facts=facts,
        entry_id=view.context.entry_id,
        client_number=view.client_number,
        client_name=str(records[0].get("name") or "") if records else "",
        line=view.line,
        raw_line=view.raw_line,
        started_at=entry.started_at,
        answered_at=entry.talk_at,
        ended_at=entry.ended_at if end.is_complete else None,
        reason_text=view.policy.texts.describe_reason(reason) if reason else "",
        extension=(last.extension or last.number or "") if last else "",
        talker_id=end.user_id,
        responsible_id=end.responsible_id,
        transferred_to=end.transferred_to,
        manager_id=next((record["responsible"] for record in records if record.get("responsible")), None),
        day_statuses={**view.context.day_statuses, **manager_days, **day_answers},
        pick=view.context.pick,
        misses=misses,
        is_complete=end.is_complete,
    )
