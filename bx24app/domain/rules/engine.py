"""Rules: checked at saving, parsed, chosen. The worker and the dry run call the same `choose`.

A call is asked about more than once: at the ring, at the answer, at its end. What is not known yet (the outcome while it rings) is neither true nor
false; a rule above whose turn depends on it keeps the rules below from being chosen too early.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from bx24app.domain.faults import Fault
from bx24app.domain.rules import actions
from bx24app.domain.rules.actions import Action
from bx24app.domain.rules.checks import is_int
from bx24app.domain.rules.table import ACTIONS, CONDITIONS, WILDCARD_VALUES
from bx24app.domain.settings import Day, Rule, Settings

__all__ = ["ACTIONS", "CONDITIONS", "ConditionTrace", "ParsedRule", "RuleChoice", "RuleFacts", "RuleTrace", "choose_rule", "find_faults", "parse_rules", "referenced_users"]

NEVER = float("inf")
"""`Facts.minutes_since_last` of a client who has not called before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleFacts:
    """What is known of a call at a moment. None: not known yet; at the end, None fulfils no condition."""

    moment: Literal["ring", "answer", "end"]
    direction: Literal["in", "out"] | None = None
    outcome: Literal["answered", "missed", "failed"] | None = None
    pbx: str | None = None
    line: str | None = None
    """Digits of the line as the PBX names it."""
    number: str | None = None
    """The client's, E.164; empty: anonymous."""
    client: Literal["new", "known"] | None = None
    hours: Literal["working", "off"] | None = None
    weekday: Day | None = None
    talk_seconds: int | None = None
    """Not before the end."""
    rang: frozenset[str] = frozenset()
    """Extensions and groups; grows until the end."""
    open_records: frozenset[str] | None = None
    """Of deal and lead, those of which the client has an open one."""
    minutes_since_last: float | None = None
    """Since the same client's previous call; `NEVER`: none."""


def facts_to_json(facts: RuleFacts) -> dict[str, Any]:
    """As plain data, for the call's row; what is not known is left out."""
    held = {name: getattr(facts, name) for name in facts.__slots__}
    held["rang"] = sorted(facts.rang)
    held["open_records"] = sorted(facts.open_records) if facts.open_records is not None else None
    if facts.minutes_since_last == NEVER:
        held["minutes_since_last"] = "never"
    return {name: value for name, value in held.items() if value is not None}


def facts_from_json(held: dict[str, Any]) -> RuleFacts:
    """The facts back from the call's row."""
    values = dict(held)
    values["rang"] = frozenset(values.get("rang") or ())
    if values.get("open_records") is not None:
        values["open_records"] = frozenset(values["open_records"])
    if values.get("minutes_since_last") == "never":
        values["minutes_since_last"] = NEVER
    return RuleFacts(**values)


@dataclass(frozen=True, slots=True)
class ParsedRule:
    """One rule, ready to be tried on many calls."""

    name: str
    actions: tuple[Action, ...]
    simple_conditions: tuple[tuple[str, frozenset[Any]], ...]
    """(fact, values of which it must be one): cheap, tried first."""
    other_conditions: tuple[tuple[str, Any], ...]
    """(key of the table, what is expected)."""
    when: dict[str, Any] = field(default_factory=dict, hash=False)
    """As it was written: for the trace."""


@dataclass(frozen=True, slots=True)
class ConditionTrace:
    """One condition of a trace. `ok` None: not known yet."""

    condition: str
    expected: Any
    actual: Any
    is_fulfilled: bool | None


@dataclass(frozen=True, slots=True)
class RuleTrace:
    """One rule of a trace with all its conditions. `verdict`: matched, passed (over), undecided, behind (a rule above decides)."""

    rule: str
    verdict: Literal["matched", "passed", "undecided", "behind"]
    conditions: tuple[ConditionTrace, ...]


@dataclass(frozen=True)
class RuleChoice:
    """`rule`: the one that matches; None: no rule, or, while not `decided`, none yet."""

    rule: ParsedRule | None
    is_decided: bool
    rules: tuple[ParsedRule, ...] = field(repr=False)
    facts: RuleFacts = field(repr=False)

    @cached_property
    def trace(self) -> tuple[RuleTrace, ...]:
        """Every rule with every condition: what was expected and what was seen. Made when somebody looks."""
        found: list[RuleTrace] = []
        closed = False
        for rule in self.rules:
            seen = tuple(_trace_condition(key, value, rule, self.facts) for key, value in rule.when.items())
            verdict: Literal["matched", "passed", "undecided", "behind"]
            if any(one.is_fulfilled is False for one in seen):
                verdict = "passed"
            elif closed:
                verdict = "behind"
            else:
                closed = True
                verdict = "undecided" if any(one.is_fulfilled is None for one in seen) else "matched"
            found.append(RuleTrace(rule.name, verdict, seen))
        return tuple(found)


def choose_rule(rules: tuple[ParsedRule, ...], facts: RuleFacts) -> RuleChoice:
    """The first rule from the top whose conditions all hold."""
    for rule in rules:
        held = _rule_holds(rule, facts)
        if held:
            return RuleChoice(rule, True, rules, facts)
        if held is None:
            return RuleChoice(None, False, rules, facts)
    return RuleChoice(None, True, rules, facts)


def _rule_holds(rule: ParsedRule, facts: RuleFacts) -> bool | None:
    """All conditions; False as soon as one cannot hold any more, else None as long as one is open. Quick: tried for each call on every rule."""
    unknown = False
    for fact, values in rule.simple_conditions:
        seen = getattr(facts, fact)
        if seen is None:
            unknown = True
        elif seen not in values:
            return False
    for key, expected in rule.other_conditions:
        held = _condition_holds(key, expected, facts)
        if held is None:
            unknown = True
        elif not held:
            return False
    if not unknown:
        return True
    return False if facts.moment == "end" else None


def _condition_holds(key: str, expected: Any, facts: RuleFacts) -> bool | None:
    condition = CONDITIONS[key]
    seen = getattr(facts, condition.fact)
    if seen is None or condition.holds is None:
        return None
    return condition.holds(expected, seen)


def _trace_condition(key: str, value: Any, rule: ParsedRule, facts: RuleFacts) -> ConditionTrace:
    """One condition by itself, as `_holds` judges it."""
    if WILDCARD_VALUES.get(key) in _as_list(key, value):
        return ConditionTrace(key, value, getattr(facts, CONDITIONS[key].fact), True)
    fact = CONDITIONS[key].fact
    alone = ParsedRule(
        "", (), tuple(one for one in rule.simple_conditions if one[0] == fact), tuple(one for one in rule.other_conditions if one[0] == key)
    )
    seen = getattr(facts, fact)
    return ConditionTrace(key, value, sorted(seen) if isinstance(seen, frozenset) else seen, _rule_holds(alone, facts))


def _as_list(key: str, value: Any) -> list[Any]:
    return value if isinstance(value, list) and CONDITIONS[key].accepts_list else [value]


# --- the document's rules --------------------------------------------------------------------------------------------


def parse_rules(settings: Settings) -> tuple[ParsedRule, ...]:
    """The rules of a document that has been checked, in their order."""
    return tuple(_compile_rule(rule, settings) for rule in settings.rules)


def _compile_rule(rule: Rule, settings: Settings) -> ParsedRule:
    plain: list[tuple[str, frozenset[Any]]] = []
    others: list[tuple[str, Any]] = []
    for key, value in rule.when.items():
        condition = CONDITIONS[key]
        values = _as_list(key, value)
        if WILDCARD_VALUES.get(key) in values:
            continue
        wanted = [condition.prepare(item, settings) for item in values]
        if condition.holds is None:
            plain.append((condition.fact, frozenset(wanted)))
        else:
            others.append((key, frozenset(wanted) if condition.accepts_list else wanted[0]))
    return ParsedRule(
        rule.name, tuple(actions.parse(one) for one in rule.do), tuple(plain), tuple(others), dict(rule.when)
    )


def find_faults(settings: Settings) -> Iterator[Fault]:
    """What is wrong with the rules of a document."""
    for index, rule in enumerate(settings.rules):
        for key, value in rule.when.items():
            for fault in _condition_faults(key, value, settings):
                yield fault.at(f"rules[{index}].when.{key}")
        if not rule.do:
            yield Fault("no_action").at(f"rules[{index}].do")
        elif len(rule.do) > 1 and any("nothing" in action for action in rule.do):
            yield Fault("nothing_not_alone").at(f"rules[{index}].do")
        for place, action in enumerate(rule.do):
            yield from _action_faults(f"rules[{index}].do[{place}]", action, settings)


def _condition_faults(key: str, value: Any, settings: Settings) -> Iterator[Fault]:
    condition = CONDITIONS.get(key)
    if condition is None:
        yield Fault("unknown_condition", {"known": tuple(CONDITIONS)})
    elif value == []:
        yield Fault("empty_list")
    else:
        for item in _as_list(key, value):
            yield from condition.check(item, settings)


def _action_faults(path: str, action: dict[str, Any], settings: Settings) -> Iterator[Fault]:
    if len(action) != 1:
        yield Fault("not_one_action").at(path)
        return
    [(name, parts)] = action.items()
    table = ACTIONS.get(name)
    if table is None:
        yield Fault("unknown_action", {"known": tuple(ACTIONS)}).at(f"{path}.{name}")
    elif not isinstance(parts, dict | None):
        yield Fault("not_mapping").at(f"{path}.{name}")
    else:
        parts = parts or {}
        unknown = Fault("unknown_action_part", {"known": tuple(table) or ("none",)})
        for key, value in parts.items():
            for fault in table[key].check(value, settings) if key in table else (unknown,):
                yield fault.at(f"{path}.{name}.{key}")
        for key in table:
            if table[key].is_required and key not in parts:
                yield Fault("missing").at(f"{path}.{name}.{key}")


def referenced_users(settings: Settings) -> Iterator[tuple[str, int]]:
    """(path, user id) of everybody whom the rules name."""
    for index, rule in enumerate(settings.rules):
        for place, action in enumerate(rule.do):
            for name, parts in action.items():
                for key in ("responsible", "user"):
                    value = parts.get(key) if isinstance(parts, dict) else None
                    if is_int(value):
                        yield f"rules[{index}].do[{place}].{name}.{key}", value
