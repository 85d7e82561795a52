"""Wake-ups at a given time: none is early, the earliest of a portal counts, a silent Redis loses none."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
import redis
from flask import Flask

from bx24app.infra import queue, wake_list
from bx24app.infra.clock import utcnow
from bx24app.infra.runtime import runtime
from bx24app.infra.wake_timers import LONGEST_SECONDS, WakeTimers
from tests.support.stack import until


@pytest.fixture
def timers(app: Flask) -> Iterator[WakeTimers]:
    made, stopped = runtime().get(WakeTimers), threading.Event()
    made.start(app, stopped)
    yield made
    stopped.set()


def woken() -> list[int]:
    return [int(entry) for entry in runtime().redis.zrange("wakeups:calls", 0, -1)]  # type: ignore[union-attr]


def test_portals_are_woken_in_the_order_of_their_times(timers: WakeTimers) -> None:
    began = time.monotonic()
    for portal_id, seconds in ((1, 0.6), (2, 0.3), (1, 60), (3, 60)):
        assert timers.set_timer("calls", portal_id, seconds)
    until(lambda: woken() == [2, 1], "they were not woken", 20)
    assert time.monotonic() - began >= 0.6, "one was woken early"
    assert timers._earliest.keys() == {("calls", 3)}


def test_an_earlier_time_replaces_a_later_one(timers: WakeTimers) -> None:
    timers.set_timer("calls", 1, 60)
    timers.set_timer("calls", 1, 0.01)
    until(lambda: woken() == [1], "it waits for the later time", 20)
    assert not timers._earliest


@pytest.mark.parametrize("error", [redis.ConnectionError, RuntimeError])
def test_what_fails_is_tried_again(
    timers: WakeTimers, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    """A silent Redis, or whatever it is: one thread serves the timers of all portals."""
    add, tries = wake_list.add, list[int]()

    def fail_once(name: str, portal_id: int) -> None:
        tries.append(portal_id)
        if len(tries) == 1:
            raise error
        add(name, portal_id)

    monkeypatch.setattr(wake_list, "add", fail_once)
    timers.set_timer("calls", 5, 0.01)
    until(lambda: woken() == [5], "it was lost", 20)
    assert tries == [5, 5]


def test_a_time_far_away_and_one_of_a_process_without_timers_are_deferred_by_rq(app: Flask) -> None:
    soon, late = utcnow().timestamp() + 30, utcnow().timestamp() + LONGEST_SECONDS + 30
    assert not runtime().get(WakeTimers).set_timer("calls", 1, 0.01), "nobody serves timers here"
    queue.wake_at(1, utcnow().fromtimestamp(soon, utcnow().tzinfo))
    runtime().get(WakeTimers)._is_running = True
    queue.wake_at(2, utcnow().fromtimestamp(late, utcnow().tzinfo))
    queue.wake_at(3, utcnow().fromtimestamp(soon, utcnow().tzinfo))
    deferred = runtime().queue_redis.zcard("rq:scheduled:calls")
    assert (deferred, woken()) == (2, [])
    assert runtime().get(WakeTimers)._earliest.keys() == {("calls", 3)}
