"""A flooded portal's drains wait one at a time, and none of what they were rung for is missed."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from bx24app import doors, drain
from bx24app.doors import Door


def until(true: Callable[[], bool]) -> None:
    end = threading.Event()
    for _ in range(1000):
        if true():
            return
        end.wait(0.01)
    raise AssertionError("it never happened")


def test_one_waits_and_the_others_hear_of_it() -> None:
    door, inside, go = Door(), threading.Event(), threading.Event()
    assert not door.somebody_waits

    def first() -> None:
        with door.passed():
            inside.set()
            go.wait(10)

    def second() -> None:
        with door.passed():
            pass

    threads = [threading.Thread(target=one, daemon=True) for one in (first, second)]
    threads[0].start()
    assert inside.wait(10)
    assert not door.somebody_waits, "who is inside may have read already"
    threads[1].start()
    until(lambda: door.somebody_waits)
    go.set()
    for thread in threads:
        thread.join(10)
    assert not door.somebody_waits


def test_a_failure_leaves_the_door_open() -> None:
    door = Door()
    with pytest.raises(ValueError, match="x"), door.passed():
        raise ValueError("x")
    with door.passed():
        assert not door.somebody_waits


@pytest.mark.usefixtures("app")
def test_a_drain_behind_a_waiting_one_ends_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[int] = []
    nothing = drain._Step([], [])
    monkeypatch.setattr(drain, "_step", lambda portal_id, *_, **__: steps.append(portal_id) or nothing)  # type: ignore[func-returns-value]
    drain.drain(7)
    monkeypatch.setattr(doors.of_portal(7), "_waiting", 1)
    drain.drain(7)
    drain.drain(8)
    assert steps == [7, 8]
