"""Which entry continues which, and whose the client is then; times in seconds after noon, B is the later one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bx24app.domain.calls import decision as fold
from bx24app.domain.calls.commands import AddTodo, CreateRecord, Reassign, Register
from bx24app.domain.calls.linked_calls import (
    MAX_TALK_SECONDS,
    ContinuedCall,
    LinkedCall,
    find_affected_calls,
    find_continued_call,
    find_last_talker,
    has_linked_record,
)
from tests.support.scenarios import FIXTURES, Scenario
from tests.support.transcript import Answers, Play

A = LinkedCall(1, 1, "E1", "in", started_at=0, answered_at=10, ended_at=100, talker_id=11, responsible_id=21)
B = LinkedCall(2, 2, "E1", "in", started_at=50, answered_at=None, ended_at=None)


@pytest.mark.parametrize(("started", "found"), [(9, False), (10, True), (100, True), (115, True), (116, False)])
def test_within_the_talk_or_fifteen_seconds_after_it(started: float, found: bool) -> None:
    assert (find_continued_call(replace(B, started_at=started), [A]) is not None) == found


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (A, replace(B, pbx_id=1)),  # one PBX tells of its own transfers itself
        (replace(A, answered_at=None), B),
        (replace(A, direction="internal"), B),
        (A, replace(B, direction="out")),
        (A, replace(B, direction="callback")),
        (replace(A, ended_at=None), replace(B, started_at=11 + MAX_TALK_SECONDS)),
        (
            replace(A, started_at=50, answered_at=50, call_id=3),
            B,
        ),  # both began at once: only one of them can be the first
    ],
)
def test_what_is_no_continuation(first: LinkedCall, second: LinkedCall) -> None:
    assert find_continued_call(second, [first]) is None


@pytest.mark.parametrize("direction", ["in", "out", "callback"])
def test_a_talk_of_any_direction_may_be_continued(direction: str) -> None:
    assert find_continued_call(B, [replace(A, direction=direction)]) == ContinuedCall(1, "E1", 21)


def test_a_talk_that_goes_on_is_continued() -> None:
    assert find_continued_call(B, [replace(A, ended_at=None)]) is not None


def test_of_three_offices_the_third_continues_the_second() -> None:
    second = replace(B, answered_at=55, talker_id=12, continued_call_id=1)
    third = LinkedCall(
        3, 3, "E1", "in", started_at=90, answered_at=95, ended_at=None, talker_id=13, continued_call_id=2
    )
    found = find_continued_call(third, [A, second])
    assert found is not None
    assert found.call_id == 2
    second = replace(second, handed_to=find_last_talker(2, [A, third]))
    assert find_last_talker(1, [second, third]) == 13


def test_who_did_not_talk_has_nothing() -> None:
    missed = replace(B, continued_call_id=1)
    unmapped = replace(B, call_id=3, answered_at=60, continued_call_id=1)
    assert find_last_talker(1, [missed, unmapped]) is None
    assert (
        find_last_talker(
            1, [missed, unmapped, replace(B, call_id=4, answered_at=58, talker_id=12, continued_call_id=1)]
        )
        == 12
    )
    assert find_last_talker(1, [replace(B, answered_at=60, talker_id=12)]) is None, "it continues nothing"


def made(play: Play) -> list[type]:
    return [
        type(e.command)
        for e in play.ledger
        if isinstance(e.command, CreateRecord | AddTodo) or (isinstance(e.command, Register) and e.command.create)
    ]


@pytest.mark.parametrize(
    "name", ["incoming_answered_by_group", "incoming_answered_becomes_contact", "incoming_missed_as_activity"]
)
def test_a_continuation_makes_nothing(name: str) -> None:
    scenario = Scenario(FIXTURES / name)
    assert made(scenario.play())
    known = Answers({"+79160000001": ("lead", 5)})  # what the first entry made
    assert not made(told(scenario, known, continued_call=ContinuedCall(7, "E7", 21)))
    play = told(scenario, continued_call=ContinuedCall(7, "E7", 21))
    assert not made(play)
    assert play.decision is not None
    talker = play.decision.journal["users"][-1:] or [21]
    assert [play.decision.journal["responsible_id"]] == talker


def told(scenario: Scenario, answers: Answers | None = None, **known: object) -> Play:
    play = Play(scenario.policy(), scenario.entry_id, answers, **known)
    for second, notice in enumerate(scenario.notices):
        for event in notice.events():
            play.receive(event, float(second))
    while play.tick():
        pass
    return play


def test_records_made_before_it_was_known_follow_once() -> None:
    """The other PBX was heard late: the record stands already. It goes to the talker, and a further look changes
    nothing.
    """
    play = told(Scenario(FIXTURES / "incoming_answered_line_responsible"))
    play.known = fold.FoldContext(
        entry_id=play.known.entry_id,
        continued_call=ContinuedCall(7, "E7", 99),
        recording_parts=play.known.recording_parts,
    )
    for _ in range(2):
        play.drain()
    talker = play.decision.journal["users"][-1] if play.decision else 0
    assert [e.command.user_id for e in play.ledger if isinstance(e.command, Reassign)][-1] == talker
    length = len(play.ledger)
    play.drain()
    assert len(play.ledger) == length


@pytest.mark.parametrize(("mode", "holder"), [("created", 13), ("always", 13), ("never", 11)])
@pytest.mark.parametrize("known", [{}, {"+79160000001": ("contact", 77)}], ids=["new", "known"])
def test_what_it_made_goes_to_the_talker_of_the_next(mode: str, holder: int, known: dict[str, tuple[str, int]]) -> None:
    scenario = Scenario(FIXTURES / "incoming_recording_too_short")
    scenario.config["settings"] = {"calls": {"transfer_responsible": mode}}
    play = told(scenario, handed_to=13, answers=Answers(known))
    assert play.decision is not None
    assert play.decision.journal["responsible_id"] == holder
    assert play.decision.journal["user_id"] == 11, "who talked in this call has talked"
    given = [(e.command.record.entity, e.command.user_id) for e in play.ledger if isinstance(e.command, Reassign)]
    if known:
        assert given == ([("contact", 13)] if mode == "always" else [])
    else:
        assert given == ([("lead", 13)] if mode != "never" else [])


def test_only_what_overlaps_is_decided_again() -> None:
    now = replace(A, continued_call_id=9)
    others = [
        B,
        LinkedCall(3, 2, "E3", "in", started_at=50 + 3600, answered_at=None, ended_at=None),
        LinkedCall(4, 1, "E4", "in", started_at=50, answered_at=None, ended_at=None),
        LinkedCall(5, 3, "E5", "in", started_at=5000, answered_at=5001, ended_at=None, continued_call_id=1),
        LinkedCall(8, 2, "E8", "in", started_at=-100, answered_at=-90, ended_at=-20),
        LinkedCall(9, 2, "E9", "in", started_at=-100, answered_at=-90, ended_at=-10),
    ]
    assert find_affected_calls(A, A, others) == frozenset()
    assert find_affected_calls(replace(A, answered_at=None), A, others) == {2, 5}
    assert find_affected_calls(A, now, others) == find_affected_calls(now, A, others) == {2, 5, 9}


def test_the_record_of_an_entry_that_was_heard_first_is_enough() -> None:
    """The second office was told first and has made the record: the first one makes none, whoever knows of whom by now.
    """
    maker = replace(B, has_made_record=True)
    assert has_linked_record(A, [replace(maker, continued_call_id=1)])
    assert has_linked_record(A, [maker]), "it will continue this one as soon as it is asked"
    assert not has_linked_record(A, [B])
    assert not has_linked_record(A, [replace(maker, continued_call_id=5)])
    assert not has_linked_record(A, [replace(maker, started_at=5000)])
    assert not made(told(Scenario(FIXTURES / "incoming_answered_becomes_contact"), has_linked_record=True))
