"""Rules: checked at saving, parsed, chosen. The worker and the dry run call the same `choose`."""

from bx24app.domain.rules.engine import (
    ACTIONS,
    CONDITIONS,
    NEVER,
    Choice,
    Facts,
    ParsedRule,
    Seen,
    Trial,
    choose,
    facts_from_json,
    facts_to_json,
    faults,
    parse_rules,
    users,
)

__all__ = ['ACTIONS', 'CONDITIONS', 'NEVER', 'Choice', 'Facts', 'ParsedRule', 'Seen', 'Trial', 'choose', 'facts_from_json', 'facts_to_json', 'faults', 'parse_rules', 'users']
