"""The engine of rules: checks them at saving, parses them, chooses the one that holds for a call.

The worker and the dry run call the same `choose_rule`. A call is tried more than once: when it rings, when it is
answered, when it ends. A fact that is not known yet (the outcome while the call rings) makes its condition neither true
nor false, and a rule that waits for such a fact keeps the rules below it from being chosen too early.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any, Literal

from bx24app.domain.faults import Fault
from bx24app.domain.rules import actions
from bx24app.domain.rules.action_parts import ACTIONS
from bx24app.domain.rules.actions import Action
from bx24app.domain.rules.checks import is_int
from bx24app.domain.rules.conditions import CONDITIONS
from bx24app.domain.rules.facts import RuleFacts
from bx24app.domain.settings import Rule, Settings


@dataclass(frozen=True, slots=True)
class ParsedRule:
    """One rule, ready to be tried on many calls."""

    name: str
    actions: tuple[Action, ...]
    simple_conditions: tuple[tuple[str, frozenset[Any]], ...]
    """(fact, values one of which it must be): cheap, so they are tried first."""
    other_conditions: tuple[tuple[str, Any], ...]
    """(key of the table, expected value)."""
    when: dict[str, Any] = field(default_factory=dict, hash=False)
    """The conditions as they were written, for the trace."""


@dataclass(frozen=True, slots=True)
class ConditionTrace:
    """One condition of a trace. `is_fulfilled` None: not known yet."""

    condition: str
    expected: Any
    actual: Any
    is_fulfilled: bool | None


Verdict = Literal["matched", "passed", "undecided", "behind"]
"""Of a rule: it decides, it does not hold, it is not known yet, a rule above it decides."""


@dataclass(frozen=True, slots=True)
class RuleTrace:
    """One rule of a trace with all its conditions."""

    rule: str
    verdict: Verdict
    conditions: tuple[ConditionTrace, ...]


@dataclass(frozen=True)
class RuleChoice:
    """`rule`: the one that holds. None: no rule does, or, while `is_decided` is false, none does yet."""

    rule: ParsedRule | None
    is_decided: bool
    rules: tuple[ParsedRule, ...] = field(repr=False)
    facts: RuleFacts = field(repr=False)

    @cached_property
    def trace(self) -> tuple[RuleTrace, ...]:
        """Every rule with every condition, its expected value and the fact. Computed at the first access: most
        choices need none."""
        traces: list[RuleTrace] = []
        is_closed = False
        for rule in self.rules:
            conditions = tuple(_trace_condition(key, value, rule, self.facts) for key, value in rule.when.items())
            verdict = _judge_rule(conditions, is_closed)
            is_closed = is_closed or verdict != "passed"
            traces.append(RuleTrace(rule.name, verdict, conditions))
        return tuple(traces)


def _judge_rule(conditions: tuple[ConditionTrace, ...], is_closed: bool) -> Verdict:
    """`is_closed`: a rule above has decided, or waits to."""
    if any(condition.is_fulfilled is False for condition in conditions):
        return "passed"
    if is_closed:
        return "behind"
    return "undecided" if any(condition.is_fulfilled is None for condition in conditions) else "matched"


def choose_rule(rules: tuple[ParsedRule, ...], facts: RuleFacts) -> RuleChoice:
    """The first rule from the top whose conditions all hold."""
    for rule in rules:
        holds = _rule_holds(rule, facts)
        if holds:
            return RuleChoice(rule, True, rules, facts)
        if holds is None:
            return RuleChoice(None, False, rules, facts)
    return RuleChoice(None, True, rules, facts)


def _rule_holds(rule: ParsedRule, facts: RuleFacts) -> bool | None:
    """Do all conditions hold? False as soon as one cannot hold any more; None while one is not known yet.

    This runs for each fold of a call on every rule above the chosen one, so it is kept fast.
    """
    is_unknown = False
    for fact, values in rule.simple_conditions:
        actual = getattr(facts, fact)
        if actual is None:
            is_unknown = True
        elif actual not in values:
            return False
    for key, expected in rule.other_conditions:
        holds = _condition_holds(key, expected, facts)
        if holds is None:
            is_unknown = True
        elif not holds:
            return False
    if not is_unknown:
        return True
    return False if facts.moment == "end" else None


def _condition_holds(key: str, expected: Any, facts: RuleFacts) -> bool | None:
    condition = CONDITIONS[key]
    actual = getattr(facts, condition.fact)
    if actual is None or condition.holds is None:
        return None
    return condition.holds(expected, actual)


def _trace_condition(key: str, value: Any, rule: ParsedRule, facts: RuleFacts) -> ConditionTrace:
    """One condition by itself, judged as `_rule_holds` judges it."""
    condition = CONDITIONS[key]
    actual = getattr(facts, condition.fact)
    if _has_wildcard(key, value):
        return ConditionTrace(key, value, actual, True)
    simple = tuple(pair for pair in rule.simple_conditions if pair[0] == condition.fact)
    other = tuple(pair for pair in rule.other_conditions if pair[0] == key)
    shown = sorted(actual) if isinstance(actual, frozenset) else actual
    return ConditionTrace(key, value, shown, _rule_holds(ParsedRule("", (), simple, other), facts))


def _as_list(key: str, value: Any) -> list[Any]:
    return value if isinstance(value, list) and CONDITIONS[key].accepts_list else [value]


def _has_wildcard(key: str, value: Any) -> bool:
    wildcard = CONDITIONS[key].wildcard
    return wildcard is not None and wildcard in _as_list(key, value)


# --- the document's rules --------------------------------------------------------------------------------------------


def parse_rules(settings: Settings) -> tuple[ParsedRule, ...]:
    """The rules of a document that has been checked, in their order. Nothing is cached: for drafts."""
    return tuple(_compile_rule(rule, settings) for rule in settings.rules)


def get_parsed_rules(settings: Settings) -> tuple[ParsedRule, ...]:
    """The parsed rules of a saved document, from the cache."""
    return _parse_cached(_SettingsIdentity(settings)) if settings.rules else ()


class _SettingsIdentity:
    """A document as a cache key. Saved documents are shared and never change, so they are compared by identity,
    which is cheap."""

    def __init__(self, document: Settings) -> None:
        self.document = document

    def __hash__(self) -> int:
        return id(self.document)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _SettingsIdentity) and other.document is self.document


@lru_cache(maxsize=512)
def _parse_cached(key: _SettingsIdentity) -> tuple[ParsedRule, ...]:
    return parse_rules(key.document)


def _compile_rule(rule: Rule, settings: Settings) -> ParsedRule:
    simple: list[tuple[str, frozenset[Any]]] = []
    other: list[tuple[str, Any]] = []
    for key, value in rule.when.items():
        if _has_wildcard(key, value):
            continue
        condition = CONDITIONS[key]
        expected = [condition.prepare(item, settings) for item in _as_list(key, value)]
        if condition.holds is None:
            simple.append((condition.fact, frozenset(expected)))
        else:
            other.append((key, frozenset(expected) if condition.accepts_list else expected[0]))
    parsed_actions = tuple(actions.parse(action) for action in rule.do)
    return ParsedRule(rule.name, parsed_actions, tuple(simple), tuple(other), dict(rule.when))


def uses_fact(rules: Iterable[ParsedRule], fact: str) -> bool:
    """Does a condition of these rules look at this fact?"""
    return any(CONDITIONS[key].fact == fact for rule in rules for key in rule.when)


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
        for position, action in enumerate(rule.do):
            yield from _action_faults(f"rules[{index}].do[{position}]", action, settings)


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


def referenced_users(settings: Settings) -> Iterator[tuple[int, str, int]]:
    """(position of the rule, path, user id) of every user that the rules name."""
    for index, rule in enumerate(settings.rules):
        for position, action in enumerate(rule.do):
            for name, parts in action.items():
                for key in ("responsible", "user"):
                    value = parts.get(key) if isinstance(parts, dict) else None
                    if is_int(value):
                        yield index, f"rules[{index}].do[{position}].{name}.{key}", value
