"""Bounds of what a portal answers: facts that both databases can store, whatever the portal sent.

`commands.parse_answer` and the outbox's verifications pass each answer's facts through `bound_facts`. Names and texts
are cut; a number that no column holds makes the answer unreadable, since a cut id would name something else.
"""

from __future__ import annotations

from typing import Any

from bx24app.domain.bounds import MAX_CALL_ID, clean_text, is_whole

MAX_TEXT = 1000
"""Characters of a text in an answer: a name, a problem in words."""
MAX_ROWS = 500
"""Rows of a list in an answer: ten times a page of Bitrix24."""


def bound_facts(facts: dict[str, Any]) -> dict[str, Any]:
    """The facts of one answer, bounded.

    Raises:
        ValueError: a number or the id of the call is too large.
    """
    call_id = facts.get("call_id")
    if isinstance(call_id, str) and (len(call_id) > MAX_CALL_ID or clean_text(call_id, MAX_CALL_ID) != call_id):
        raise ValueError("CALL_ID is too long, or no text")
    bounded: dict[str, Any] = _bound(facts)
    return bounded


def _bound(value: Any) -> Any:
    if isinstance(value, str):
        return clean_text(value, MAX_TEXT)
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        if not is_whole(value):
            raise ValueError("a number is too large")
        return value
    if isinstance(value, dict):
        return {clean_text(str(key), MAX_TEXT): _bound(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_bound(part) for part in value[:MAX_ROWS]]
    return value
