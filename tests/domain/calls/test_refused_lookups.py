"""A look-up that the portal refuses never reads as "there is none"."""

from __future__ import annotations

import dataclasses

import pytest

from bx24app.domain.calls.commands import AddTodo, CreateRecord, ReadOpen, RetitleTodo
from bx24app.domain.calls.ledger import Ledger, LedgerEntry
from tests.support.scenarios import FIXTURES, Scenario, began_at, rest
from tests.support.transcript import Answers, Play


def play(folder: str, *refused: str) -> Play:
    """A scenario, after which the call is over; the portal refuses these kinds of look-ups."""
    scenario = Scenario(FIXTURES / folder)
    answers = dataclasses.replace(scenario.answers(), refused_kinds=frozenset(refused))
    past = scenario.past(began_at(scenario.notices))
    played = Play(scenario.policy(), scenario.entry_id, answers, **past)
    for notice in scenario.notices:
        played.receive_all(list(notice.events()), played.now + 0.01)
    rest(played)
    assert played.ledger.finish_entry() is not None, "the call itself goes on"
    return played


def kinds(played: Play, kind: type) -> list[LedgerEntry]:
    return [entry for entry in played.ledger if isinstance(entry.command, kind)]


@pytest.mark.parametrize("refused", [(), ("ReadOpen",)], ids=["answered", "refused"])
def test_a_record_is_held_back_where_the_portal_does_not_tell_what_is_open(refused: tuple[str, ...]) -> None:
    played = play("rule_duplicate_skip", *refused)
    assert not kinds(played, CreateRecord)
    [todo] = kinds(played, AddTodo)
    assert todo.command.record.entity == ("contact" if refused else "deal"), "the to-do still reaches the client"  # type: ignore[union-attr]


def test_a_record_that_was_held_back_is_created_once_the_look_up_is_answered() -> None:
    played = play("rule_duplicate_skip", "ReadOpen")
    retried = [_answered(entry) if isinstance(entry.command, ReadOpen) else entry for entry in played.ledger]
    played.ledger, played.answers = Ledger(retried), Answers()
    played.drain()
    played.drain()
    [created] = kinds(played, CreateRecord)
    assert (created.command.key, created.command.contact) == ("create-deal", 77)  # type: ignore[union-attr]
    assert "Bind key=bind-create-deal" in played.text()


def _answered(entry: LedgerEntry) -> LedgerEntry:
    return LedgerEntry(entry.command, "done", {"open": []})


def test_a_condition_on_open_records_is_unknown_and_the_call_does_not_wait_for_it() -> None:
    played = play("rule_client_has_open", "ReadOpen")
    assert played.decision is not None
    plan = played.decision.plan
    assert plan is not None
    assert plan.rule is not None
    assert plan.rule.name == "Others"
    assert plan.case.facts.open_records is None
    assert not kinds(played, CreateRecord), "the other rule's record is held back too"


def test_a_working_day_that_is_not_told_counts_as_open() -> None:
    def responsible(*refused: str) -> int:
        [created] = kinds(play("rule_if_absent", *refused), CreateRecord)
        return int(created.command.responsible)  # type: ignore[union-attr]

    assert responsible() == 22, "the manager and the first of the line are absent"
    assert responsible("ReadDay") == 21, "only of the manager it is known, from the client's record"


def test_a_client_who_is_not_told_is_nobody_in_the_rule() -> None:
    [created] = kinds(play("rule_if_absent", "ReadClient"), CreateRecord)
    assert created.command.responsible == 22, "no manager is known: the line's responsible who is at work"  # type: ignore[union-attr]
    assert created.command.contact == 77, "the client's record is known from register"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("refused", "renamed", "added"), [((), 1, 0), (("ReadTodo",), 0, 1)], ids=["answered", "refused"]
)
def test_a_miss_is_never_lost_where_the_portal_does_not_tell_whether_the_to_do_is_open(
    refused: tuple[str, ...], renamed: int, added: int
) -> None:
    played = play("rule_todo_again", *refused)
    assert (len(kinds(played, RetitleTodo)), len(kinds(played, AddTodo))) == (renamed, added)
