"""Rules: conditions and actions, checked at saving, parsed, chosen for a call, described in words."""

from bx24app.domain.rules.action_parts import ACTIONS
from bx24app.domain.rules.conditions import CONDITIONS, compute_facts
from bx24app.domain.rules.engine import (
    ConditionTrace,
    ParsedRule,
    RuleChoice,
    RuleTrace,
    choose_rule,
    find_faults,
    get_parsed_rules,
    parse_rules,
    referenced_users,
    uses_fact,
)
from bx24app.domain.rules.facts import (
    NEVER,
    CallSnapshot,
    RuleFacts,
    facts_to_json,
    minutes_between,
    snapshot_from_json,
)

__all__ = [
    "ACTIONS",
    "CONDITIONS",
    "NEVER",
    "CallSnapshot",
    "ConditionTrace",
    "ParsedRule",
    "RuleChoice",
    "RuleFacts",
    "RuleTrace",
    "choose_rule",
    "compute_facts",
    "facts_to_json",
    "find_faults",
    "get_parsed_rules",
    "minutes_between",
    "parse_rules",
    "referenced_users",
    "snapshot_from_json",
    "uses_fact",
]
