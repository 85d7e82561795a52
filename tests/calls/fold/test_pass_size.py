"""A pass of a fold takes as many calls as it has time for, and of each call all that is there."""

from __future__ import annotations

import pytest
from flask import Flask

from bx24app.calls.fold import pass_size
from bx24app.calls.fold.pass_size import MIN_CALLS, PASS_SECONDS, SHARED_SECONDS, PassSizes, choose_calls, take_first
from bx24app.calls.giving_way import DrainSteps
from bx24app.infra.runtime import runtime
from bx24app.models import Notification


def notification(entry: str | None, pbx_id: int = 1, command: str | None = None) -> Notification:
    return Notification(pbx_id=pbx_id, entry_id=entry, command_id=command)


def test_the_first_calls_are_taken_whole_and_in_their_order() -> None:
    rows = [notification(entry) for entry in ("a", "b", "a", "c", "b", "a")]
    assert [row.entry_id for row in take_first(rows, 2)] == ["a", "b", "a", "b", "a"]
    assert take_first(rows, 3) == rows


def test_clicks_are_always_taken() -> None:
    """A person waits for the telephone to ring."""
    click = notification(None, pbx_id=0)
    rows = [notification("a"), notification("b"), click, notification("a", pbx_id=2)]
    assert take_first(rows, 1) == [rows[0], click]


def test_a_process_learns_how_long_a_call_takes() -> None:
    sizes = PassSizes()
    for _ in range(50):
        sizes.note(10, 0.2)
    assert sizes.count_calls(0.2) in (9, 10)
    for _ in range(50):
        sizes.note(1, 5)
    assert sizes.count_calls(0.2) == MIN_CALLS, "a few are taken however long they take"
    sizes.note(0, 9)


def test_passes_are_shorter_while_other_portals_have_work(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pass_size, "FIRST_GUESS", 0.001)
    runtime().get(PassSizes)._seconds_a_call = 0.001
    steps = runtime().get(DrainSteps)
    with steps.step(1):
        steps.declare_size(1)
    assert choose_calls(1) == int(PASS_SECONDS / 0.001), "it is alone"
    assert choose_calls(2) == int(SHARED_SECONDS / 0.001)
