"""Rules: checked at saving, parsed, chosen. The worker and the dry run call the same `choose`."""

from bx24app.domain.rules.engine import (
    ACTIONS,
    CONDITIONS,
    NEVER,
    ConditionTrace,
    ParsedRule,
    RuleChoice,
    RuleFacts,
    RuleTrace,
    choose_rule,
    facts_from_json,
    facts_to_json,
    find_faults,
    parse_rules,
    referenced_users,
)

__all__ = ["ACTIONS", "CONDITIONS", "NEVER", "ConditionTrace", "ParsedRule", "RuleChoice", "RuleFacts", "RuleTrace", "choose_rule", "facts_from_json", "facts_to_json", "find_faults", "parse_rules", "referenced_users"]
