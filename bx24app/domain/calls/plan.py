"""The plan of a call: which rule holds for it, and what its actions become; asked at every fold, fixed once a rule is chosen."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Literal

from bx24app.domain import phone
from bx24app.domain.calls.call_view import End, View
from bx24app.domain.calls.ledger import Entry as LedgerEntry
from bx24app.domain.calls.rule_case import Case, Planned, by_default, plan
from bx24app.domain.rules import NEVER, Facts, ParsedRule, choose, parse_rules
from bx24app.domain.rules.actions import Create, Tell, Todo
from bx24app.domain.settings import Settings
from bx24app.domain.working_hours import is_open, weekday


@dataclass(frozen=True, slots=True)
class Plan:
    """`rule` None with `decided`: no rule matched, so `calls.*` hold. While undecided, nothing is to be made yet."""

    decided: bool
    rule: ParsedRule | None
    actions: tuple[Planned, ...]
    case: Case

    @property
    def records(self) -> tuple[Planned, ...]:
        """The actions that make a record."""
        return tuple(one for one in self.actions if isinstance(one.action, Create))

    @property
    def needs_turn(self) -> bool:
        """Will the line's next responsible be used? A place drawn and not used would make the turns unfair."""
        return self.decided and any(isinstance(one.action, Create | Todo) for one in self.actions)


@lru_cache(maxsize=512)
def _parsed(settings: _Same) -> tuple[ParsedRule, ...]:
    return parse_rules(settings.document)


class _Same:
    """Parsed documents are shared and never change: compared by identity, which costs nothing."""

    def __init__(self, document: Settings) -> None:
        self.document = document

    def __hash__(self) -> int:
        return id(self.document)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.document is self.document


def rules_of(settings: Settings) -> tuple[ParsedRule, ...]:
    """The parsed rules of a document, remembered."""
    return _parsed(_Same(settings)) if settings.rules else ()


def plan_of(view: View, end: End) -> Plan:
    """What this call makes, as far as it can be said now."""
    rules = rules_of(view.policy.settings)
    case = case_of(view, end, facts_of(view, end, rules))
    if view.known.chosen is not None:
        rule = next((one for one in rules if one.name == view.known.chosen), None)
        decided = True
    elif not (view.reached or end.complete or view.ledger.register() is not None):
        return Plan(False, None, (), case)  # too little is known: a choice is for good
    else:
        choice = choose(rules, case.facts)
        rule, decided = choice.rule, choice.decided
    if not decided:
        return Plan(False, None, (), case)
    actions = rule.actions if rule else by_default(case.facts, view.policy)
    if actions is None:  # no rule, and calls.* wait for the outcome
        return Plan(True, None, (), case)
    planned = plan(case, actions, view.policy)
    if view.known.continues is not None or view.known.made_later:  # the other call of the two has made the record
        planned = tuple(one for one in planned if isinstance(one.action, Tell))
    return Plan(True, rule, planned, case)


def facts_of(view: View, end: End, rules: tuple[ParsedRule, ...]) -> Facts:
    """The call as conditions see it now."""
    entry, policy, line = view.entry, view.policy, view.line
    at = datetime.fromtimestamp(entry.started_at, UTC)
    here = policy.settings.portal.timezone
    own = line.working_hours[0].timezone if line and line.working_hours else None
    raw = view.raw_line
    open_records = _open_records(view)
    waits = view.client is not None and (client_of(view) is None or (asks_for_open(rules) and open_records is None))
    outcome = end.outcome or ("answered" if end.answered else None)
    return Facts(
        moment="end" if end.complete and not (waits and _will_answer(view)) else ("answer" if end.answered else "ring"),
        direction="in" if view.direction == "in" else "out",
        outcome=outcome,
        pbx=policy.pbx.key,
        line=(phone.digits(line.number) or line.number) if line else (phone.digits(raw) or raw) if raw else None,
        number=view.client or "",
        client=client_of(view),
        hours="working" if line is None or is_open(line.working_hours, at, here) else "off",
        weekday=weekday(at, own or here),
        talk_seconds=entry.talk_seconds if end.complete else None,
        rang=_rang(view),
        open_records=open_records,
        minutes_since_last=_since(view),
    )


def asks_for_open(rules: tuple[ParsedRule, ...]) -> bool:
    """Does a rule want to know what the client has open, so that it must be asked?"""
    return any("client_has_open" in rule.when for rule in rules)


def asks_for_previous(rules: tuple[ParsedRule, ...]) -> bool:
    """Does a rule want to know when the client called before?"""
    return any("repeat_within_minutes" in rule.when for rule in rules)


def client_of(view: View) -> Literal["new", "known"] | None:
    """Has the client a record in the CRM? None: the portal has not said, or the caller is anonymous."""
    register = view.ledger.register()
    if register is None or register.state != "done" or view.client is None:
        return None
    return "known" if register.answer.get("record") else "new"


def _will_answer(view: View) -> bool:
    """Can the portal still tell who the client is?"""
    register = view.ledger.register()
    return register is None or register.state != "dead"


def _rang(view: View) -> frozenset[str]:
    rung = {ring.employee.extension or ring.employee.number for ring in view.entry.rings}
    groups = {step.group for leg in view.entry.legs for step in leg.steps}
    return frozenset(name for name in (*rung, *groups) if name)


def _since(view: View) -> float | None:
    previous = view.known.previous
    if previous is None:
        return None
    return NEVER if previous == float("-inf") else max(0.0, (view.entry.started_at - previous) / 60)


OPEN_KINDS = ("deal", "lead")
"""What `client_has_open` may ask for."""


def _open_records(view: View) -> frozenset[str] | None:
    """None as long as a look-up that was asked for has not been answered; refused ones count as nothing open."""
    client = client_of(view)
    if client == "new":
        return frozenset()
    found = {kind: answered(view.ledger.by_key(f"open-{kind}")) for kind in OPEN_KINDS}
    if client is None or any(answer is None for answer in found.values()):
        return None
    register = view.ledger.register()
    record = (register.answer.get("record") if register else None) or {}
    kinds = {kind for kind, answer in found.items() if answer and answer.get("open")}
    return frozenset(kinds | ({"lead"} if record.get("entity") == "lead" else set()))


def answered(entry: LedgerEntry | None) -> dict[str, Any] | None:
    """The answer of a look-up; empty where it was refused; None: not asked, or still on its way."""
    if entry is None or entry.state in ("waiting", "sent"):
        return None
    return entry.answer if entry.state == "done" else {}


def case_of(view: View, end: End, facts: Facts) -> Case:
    """The call as templates and roles see it now."""
    entry = view.entry
    people = [talk.employee for talk in entry.talks] or [ring.employee for ring in entry.rings]
    last = people[-1] if entry.talks else (people[0] if people else None)
    found = (answered(view.ledger.by_key("find-client")) or {}).get("records") or []
    asked = {
        item.command.user_id: str((answered(item) or {}).get("day", ""))  # type: ignore[union-attr]
        for item in view.ledger
        if item.command.key.startswith("day-")
    }
    told = {item["responsible"]: item["day"] for item in found if item.get("responsible")}
    misses = 1 + max((todo.misses for todo in view.known.todos), default=0)
    return Case(
        facts=facts,
        entry_id=view.known.entry_id,
        number=view.client,
        client_name=str(found[0].get("name") or "") if found else "",
        line=view.line,
        raw_line=view.raw_line,
        started_at=entry.started_at,
        answered_at=entry.talk_at,
        ended_at=entry.ended_at if end.complete else None,
        reason=view.policy.words.reason(entry.reason) if end.complete and not end.answered and entry.reason else "",
        extension=(last.extension or last.number or "") if last else "",
        talker=end.user,
        responsible=end.responsible,
        transferred_to=end.transferred_to,
        owner=next((item["responsible"] for item in found if item.get("responsible")), None),
        days={**view.known.days, **told, **asked},
        pick=view.known.pick,
        misses=misses,
        complete=end.complete,
    )
