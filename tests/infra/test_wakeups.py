"""Wake-ups said together: none is lost, and many share one."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from flask import Flask

from bx24app.infra import queue, wakeups


def test_a_lone_one_is_said_before_it_returns(app: Flask) -> None:
    wakeups.wake(7)
    assert app.extensions["bx24app"].redis.get("wake:7")


def test_those_who_come_meanwhile_share_the_next_round(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[int] = []
    begun, go_on = threading.Event(), threading.Event()

    def wake(portal_id: int) -> bool:
        said.append(portal_id)
        begun.set()
        return go_on.wait(30)

    monkeypatch.setattr(queue, "wake_portal", wake)
    made = wakeups.WakeupBatcher()
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(made.wake, 1)
        assert begun.wait(30)
        second = pool.submit(made.wake, 1)  # too late for the first round: the drain may have looked
        while made._next_round is None:
            pass
        for portal in (2, 1, 2):
            made.wake(portal)  # the second says theirs; nobody waits
        assert said == [1]
        go_on.set()
        first.result(30)
        second.result(30)
    assert said[0] == 1
    assert sorted(said[1:]) == [1, 2]


def test_none_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks is served by a round that begins after it asked."""
    clock, lock = [0], threading.Lock()
    asked, served = dict[int, int](), dict[int, int]()

    def tick() -> int:
        with lock:
            clock[0] += 1
            return clock[0]

    monkeypatch.setattr(queue, "wake_portal", lambda portal_id: not served.__setitem__(portal_id, tick()))
    made = wakeups.WakeupBatcher()

    def work(number: int) -> None:
        for _ in range(200):
            asked[number % 3] = max(asked.get(number % 3, 0), tick())
            made.wake(number % 3)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert all(served[portal] > asked[portal] for portal in range(3))


def test_what_a_silent_redis_did_not_take_is_taken_by_the_next_round(monkeypatch: pytest.MonkeyPatch) -> None:
    taken, answers = list[int](), [False, True, True]

    def wake(portal_id: int) -> bool:
        taken.append(portal_id)
        return answers.pop(0)

    monkeypatch.setattr(queue, "wake_portal", wake)
    monkeypatch.setattr(wakeups, "SILENCE_SECONDS", 60)
    made = wakeups.WakeupBatcher()
    made.wake(1)
    made.wake(2)
    assert taken == [1], "Redis is silent: the second does not wait for it"
    monkeypatch.setattr(wakeups, "SILENCE_SECONDS", 0)
    made.wake(2)
    assert sorted(taken) == [1, 1, 2]
