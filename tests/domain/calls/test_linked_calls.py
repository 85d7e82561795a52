"""Which entry continues which, and whose the client is then; times in seconds after noon, B is the later one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bx24app.domain.calls import decision as fold
from bx24app.domain.calls.commands import AddTodo, CreateRecord, Reassign, Register
from bx24app.domain.calls.linked_calls import (
    LONGEST_SECONDS,
    Continued,
    Stretch,
    continued,
    handed_to,
    made_later,
    touched,
)
from tests.support.scenarios import FIXTURES, Scenario
from tests.support.transcript import Answers, Play

A = Stretch(1, 1, "E1", "in", started=0, answered=10, ended=100, talker=11, responsible=21)
B = Stretch(2, 2, "E1", "in", started=50, answered=None, ended=None)


@pytest.mark.parametrize(("started", "found"), [(9, False), (10, True), (100, True), (115, True), (116, False)])
def test_within_the_talk_or_fifteen_seconds_after_it(started: float, found: bool) -> None:
    assert (continued(replace(B, started=started), [A]) is not None) == found


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (A, replace(B, pbx=1)),  # one PBX tells of its own transfers itself
        (replace(A, answered=None), B),
        (replace(A, direction="internal"), B),
        (A, replace(B, direction="out")),
        (A, replace(B, direction="callback")),
        (replace(A, ended=None), replace(B, started=11 + LONGEST_SECONDS)),
        (replace(A, started=50, answered=50, call=3), B),  # both began at once: only one of them can be the first
    ],
)
def test_what_is_no_continuation(first: Stretch, second: Stretch) -> None:
    assert continued(second, [first]) is None


@pytest.mark.parametrize("direction", ["in", "out", "callback"])
def test_a_talk_of_any_direction_may_be_continued(direction: str) -> None:
    assert continued(B, [replace(A, direction=direction)]) == Continued(1, "E1", 21)


def test_a_talk_that_goes_on_is_continued() -> None:
    assert continued(B, [replace(A, ended=None)]) is not None


def test_of_three_offices_the_third_continues_the_second() -> None:
    second = replace(B, answered=55, talker=12, continues=1)
    third = Stretch(3, 3, "E1", "in", started=90, answered=95, ended=None, talker=13, continues=2)
    found = continued(third, [A, second])
    assert found is not None
    assert found.call == 2
    second = replace(second, handed_to=handed_to(2, [A, third]))
    assert handed_to(1, [second, third]) == 13


def test_who_did_not_talk_has_nothing() -> None:
    missed = replace(B, continues=1)
    unmapped = replace(B, call=3, answered=60, continues=1)
    assert handed_to(1, [missed, unmapped]) is None
    assert handed_to(1, [missed, unmapped, replace(B, call=4, answered=58, talker=12, continues=1)]) == 12
    assert handed_to(1, [replace(B, answered=60, talker=12)]) is None, "it continues nothing"


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
    assert not made(told(scenario, known, continues=Continued(7, "E7", 21)))
    play = told(scenario, continues=Continued(7, "E7", 21))
    assert not made(play)
    assert play.decision is not None
    talker = play.decision.journal["users"][-1:] or [21]
    assert [play.decision.journal["responsible_id"]] == talker


def told(scenario: Scenario, answers: Answers | None = None, **known: object) -> Play:
    play = Play(scenario.policy(), scenario.entry_id, answers, **known)
    for second, notice in enumerate(scenario.notices):
        for event in notice.events():
            play.hear(event, float(second))
    while play.tick():
        pass
    return play


def test_records_made_before_it_was_known_follow_once() -> None:
    """The other PBX was heard late: the record stands already. It goes to the talker, and a further look changes nothing."""
    play = told(Scenario(FIXTURES / "incoming_answered_line_responsible"))
    play.known = fold.Known(entry_id=play.known.entry_id, continues=Continued(7, "E7", 99), parts=play.known.parts)
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
    now = replace(A, continues=9)
    others = [
        B,
        Stretch(3, 2, "E3", "in", started=50 + 3600, answered=None, ended=None),
        Stretch(4, 1, "E4", "in", started=50, answered=None, ended=None),
        Stretch(5, 3, "E5", "in", started=5000, answered=5001, ended=None, continues=1),
        Stretch(8, 2, "E8", "in", started=-100, answered=-90, ended=-20),
        Stretch(9, 2, "E9", "in", started=-100, answered=-90, ended=-10),
    ]
    assert touched(A, A, others) == frozenset()
    assert touched(replace(A, answered=None), A, others) == {2, 5}
    assert touched(A, now, others) == touched(now, A, others) == {2, 5, 9}


def test_the_record_of_an_entry_that_was_heard_first_is_enough() -> None:
    """The second office was told first and has made the record: the first one makes none, whoever knows of whom by now."""
    maker = replace(B, makes=True)
    assert made_later(A, [replace(maker, continues=1)])
    assert made_later(A, [maker]), "it will continue this one as soon as it is asked"
    assert not made_later(A, [B])
    assert not made_later(A, [replace(maker, continues=5)])
    assert not made_later(A, [replace(maker, started=5000)])
    assert not made(told(Scenario(FIXTURES / "incoming_answered_becomes_contact"), made_later=True))
