"""Wake-ups said together: none is lost, and many share one."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from flask import Flask

from bx24app.infra import queue, wakeups
from tests.support.stack import until


def test_a_lone_one_is_said_before_it_returns(app: Flask) -> None:
    wakeups.wake(7)
    assert app.extensions["bx24app"].redis.zscore("wakeups:calls", 7)


@pytest.fixture
def slow_queue(monkeypatch: pytest.MonkeyPatch) -> Iterator[SlowQueue]:
    made = SlowQueue()
    monkeypatch.setattr(queue, "wake_portal", made.wake)
    yield made
    made.go_on.set()


class SlowQueue:
    """Portal 1's wake-ups are taken when `go_on` is set, the others' at once."""

    def __init__(self) -> None:
        self.taken: list[int] = []
        self.begun, self.go_on = threading.Event(), threading.Event()

    def wake(self, portal_id: int) -> bool:
        self.taken.append(portal_id)
        self.begun.set()
        return portal_id != 1 or self.go_on.wait(30)


def test_those_who_come_meanwhile_share_the_next_round(slow_queue: SlowQueue) -> None:
    made = wakeups.WakeupBatcher()
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(made.wake, 1)
        assert slow_queue.begun.wait(30)
        second = pool.submit(made.wake, 1)  # too late for the first round: the drain may have looked
        until(lambda: made._rounds[1].has_next, "the second never waits", 30)
        for _ in range(3):
            made.wake(1)  # the second wakes it for them; nobody waits
        assert slow_queue.taken == [1]
        slow_queue.go_on.set()
        first.result(30)
        second.result(30)
    assert slow_queue.taken == [1, 1]


def test_a_flooded_portal_delays_no_other_ones_wake_up(slow_queue: SlowQueue) -> None:
    made = wakeups.WakeupBatcher()
    with ThreadPoolExecutor(2) as pool:
        flood = [pool.submit(made.wake, 1) for _ in range(2)]
        assert slow_queue.begun.wait(30)
        until(lambda: made._rounds[1].has_next, "the second never waits", 30)
        made.wake(2)
        assert slow_queue.taken == [1, 2], "it waits for the rounds of portal 1"
        slow_queue.go_on.set()
        for future in flood:
            future.result(30)


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
