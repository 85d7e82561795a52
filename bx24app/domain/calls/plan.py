"""The plan of a call: which rule holds for it, and what its actions become; asked at every fold, fixed once a rule is chosen."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Literal

from bx24app.domain import phone
from bx24app.domain.calls.call_view import CallView, Outcome
from bx24app.domain.calls.ledger import LedgerEntry as LedgerEntry
from bx24app.domain.calls.rule_case import PlannedAction, RuleCase, default_actions, plan_actions
from bx24app.domain.rules import NEVER, ParsedRule, RuleFacts, choose_rule, parse_rules
from bx24app.domain.rules.actions import CreateAction, NotifyAction, TodoAction
from bx24app.domain.settings import Settings
from bx24app.domain.working_hours import is_open, weekday_name


@dataclass(frozen=True, slots=True)
class CallPlan:
    """`rule` None with `decided`: no rule matched, so `calls.*` hold. While undecided, nothing is to be made yet."""

    is_decided: bool
    rule: ParsedRule | None
    actions: tuple[PlannedAction, ...]
    case: RuleCase

    @property
    def record_actions(self) -> tuple[PlannedAction, ...]:
        """The actions that make a record."""
        return tuple(one for one in self.actions if isinstance(one.action, CreateAction))

    @property
    def needs_pick(self) -> bool:
        """Will the line's next responsible be used? A place drawn and not used would make the turns unfair."""
        return self.is_decided and any(isinstance(one.action, CreateAction | TodoAction) for one in self.actions)


@lru_cache(maxsize=512)
def _parse_cached(settings: _SettingsIdentity) -> tuple[ParsedRule, ...]:
    return parse_rules(settings.document)


class _SettingsIdentity:
    """Parsed documents are shared and never change: compared by identity, which costs nothing."""

    def __init__(self, document: Settings) -> None:
        self.document = document

    def __hash__(self) -> int:
        return id(self.document)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _SettingsIdentity) and other.document is self.document


def get_parsed_rules(settings: Settings) -> tuple[ParsedRule, ...]:
    """The parsed rules of a document, remembered."""
    return _parse_cached(_SettingsIdentity(settings)) if settings.rules else ()


def make_plan(view: CallView, end: Outcome) -> CallPlan:
    """What this call makes, as far as it can be said now."""
    rules = get_parsed_rules(view.policy.settings)
    case = make_rule_case(view, end, make_rule_facts(view, end, rules))
    if view.context.chosen_rule is not None:
        rule = next((one for one in rules if one.name == view.context.chosen_rule), None)
        decided = True
    elif not (view.has_rung or end.is_complete or view.ledger.register_entry() is not None):
        return CallPlan(False, None, (), case)  # too little is known: a choice is for good
    else:
        choice = choose_rule(rules, case.facts)
        rule, decided = choice.rule, choice.is_decided
    if not decided:
        return CallPlan(False, None, (), case)
    actions = rule.actions if rule else default_actions(case.facts, view.policy)
    if actions is None:  # no rule, and calls.* wait for the outcome
        return CallPlan(True, None, (), case)
    planned = plan_actions(case, actions, view.policy)
    if view.context.continued_call is not None or view.context.has_linked_record:  # the other call of the two has made the record
        planned = tuple(one for one in planned if isinstance(one.action, NotifyAction))
    return CallPlan(True, rule, planned, case)


def make_rule_facts(view: CallView, end: Outcome, rules: tuple[ParsedRule, ...]) -> RuleFacts:
    """The call as conditions see it now."""
    entry, policy, line = view.entry, view.policy, view.line
    at = datetime.fromtimestamp(entry.started_at, UTC)
    here = policy.settings.portal.timezone
    own = line.working_hours[0].timezone if line and line.working_hours else None
    raw = view.raw_line
    open_records = _find_open_records(view)
    waits = view.client_number is not None and (client_status(view) is None or (needs_open_records(rules) and open_records is None))
    outcome = end.result or ("answered" if end.is_answered else None)
    return RuleFacts(
        moment="end" if end.is_complete and not (waits and _may_portal_answer(view)) else ("answer" if end.is_answered else "ring"),
        direction="in" if view.direction == "in" else "out",
        outcome=outcome,
        pbx=policy.pbx.key,
        line=(phone.digits_only(line.number) or line.number) if line else (phone.digits_only(raw) or raw) if raw else None,
        number=view.client_number or "",
        client=client_status(view),
        hours="working" if line is None or is_open(line.working_hours, at, here) else "off",
        weekday=weekday_name(at, own or here),
        talk_seconds=entry.talk_seconds if end.is_complete else None,
        rang=_rung_names(view),
        open_records=open_records,
        minutes_since_last=_minutes_since_previous(view),
    )


def needs_open_records(rules: tuple[ParsedRule, ...]) -> bool:
    """Does a rule want to know what the client has open, so that it must be asked?"""
    return any("client_has_open" in rule.when for rule in rules)


def needs_previous_call(rules: tuple[ParsedRule, ...]) -> bool:
    """Does a rule want to know when the client called before?"""
    return any("repeat_within_minutes" in rule.when for rule in rules)


def client_status(view: CallView) -> Literal["new", "known"] | None:
    """Has the client a record in the CRM? None: the portal has not said, or the caller is anonymous."""
    register = view.ledger.register_entry()
    if register is None or register.state != "done" or view.client_number is None:
        return None
    return "known" if register.answer.get("record") else "new"


def _may_portal_answer(view: CallView) -> bool:
    """Can the portal still tell who the client is?"""
    register = view.ledger.register_entry()
    return register is None or register.state != "dead"


def _rung_names(view: CallView) -> frozenset[str]:
    rung = {ring.employee.extension or ring.employee.number for ring in view.entry.rings}
    groups = {step.group for leg in view.entry.legs for step in leg.steps}
    return frozenset(name for name in (*rung, *groups) if name)


def _minutes_since_previous(view: CallView) -> float | None:
    previous = view.context.previous_call_at
    if previous is None:
        return None
    return NEVER if previous == float("-inf") else max(0.0, (view.entry.started_at - previous) / 60)


OPEN_KINDS = ("deal", "lead")
"""What `client_has_open` may ask for."""


def _find_open_records(view: CallView) -> frozenset[str] | None:
    """None as long as a look-up that was asked for has not been answered; refused ones count as nothing open."""
    client = client_status(view)
    if client == "new":
        return frozenset()
    found = {kind: get_lookup_answer(view.ledger.find_by_key(f"open-{kind}")) for kind in OPEN_KINDS}
    if client is None or any(answer is None for answer in found.values()):
        return None
    register = view.ledger.register_entry()
    record = (register.answer.get("record") if register else None) or {}
    kinds = {kind for kind, answer in found.items() if answer and answer.get("open")}
    return frozenset(kinds | ({"lead"} if record.get("entity") == "lead" else set()))


def get_lookup_answer(entry: LedgerEntry | None) -> dict[str, Any] | None:
    """The answer of a look-up; empty where it was refused; None: not asked, or still on its way."""
    if entry is None or entry.state in ("waiting", "sent"):
        return None
    return entry.answer if entry.state == "done" else {}


def make_rule_case(view: CallView, end: Outcome, facts: RuleFacts) -> RuleCase:
    """The call as templates and roles see it now."""
    entry = view.entry
    people = [talk.employee for talk in entry.talks] or [ring.employee for ring in entry.rings]
    last = people[-1] if entry.talks else (people[0] if people else None)
    found = (get_lookup_answer(view.ledger.find_by_key("find-client")) or {}).get("records") or []
    asked = {
        item.command.user_id: str((get_lookup_answer(item) or {}).get("day", ""))  # type: ignore[union-attr]
        for item in view.ledger
        if item.command.key.startswith("day-")
    }
    told = {item["responsible"]: item["day"] for item in found if item.get("responsible")}
    misses = 1 + max((todo.misses for todo in view.context.open_todos), default=0)
    return RuleCase(
        facts=facts,
        entry_id=view.context.entry_id,
        client_number=view.client_number,
        client_name=str(found[0].get("name") or "") if found else "",
        line=view.line,
        raw_line=view.raw_line,
        started_at=entry.started_at,
        answered_at=entry.talk_at,
        ended_at=entry.ended_at if end.is_complete else None,
        reason_text=view.policy.texts.describe_reason(entry.end_reason) if end.is_complete and not end.is_answered and entry.end_reason else "",
        extension=(last.extension or last.number or "") if last else "",
        talker_id=end.user_id,
        responsible_id=end.responsible_id,
        transferred_to=end.transferred_to,
        manager_id=next((item["responsible"] for item in found if item.get("responsible")), None),
        day_statuses={**view.context.day_statuses, **told, **asked},
        pick=view.context.pick,
        misses=misses,
        is_complete=end.is_complete,
    )
