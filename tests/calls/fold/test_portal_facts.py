"""When the next call is due by itself, from what a pass has read and changed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from bx24app.calls.fold.portal_facts import FIRST_DUE, PortalFacts

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def facts(*minutes: int) -> PortalFacts:
    """Calls 1, 2, … that are due so many minutes after noon."""
    due = [(number, NOON + timedelta(minutes=minute)) for number, minute in enumerate(minutes, 1)]
    return PortalFacts(tuple(due), frozenset())


def test_the_soonest_of_the_others_and_of_the_folded_calls_counts() -> None:
    later = NOON + timedelta(minutes=9)
    assert facts(1, 5).next_due_at({1}, [later]) == (NOON + timedelta(minutes=5), True)
    assert facts(1).next_due_at({1}, [later]) == (later, True)
    assert facts().next_due_at({1}, [None]) == (None, True)


def test_where_all_that_was_read_has_changed_the_table_must_be_asked() -> None:
    many = facts(*range(FIRST_DUE))
    assert many.next_due_at(set(range(1, FIRST_DUE + 1)), [NOON + timedelta(hours=9)])[1] is False
    assert many.next_due_at(set(range(1, FIRST_DUE)), [None])[1] is True
