"""A step that folds many calls lets the steps of other portals pass that fold few, and rests for them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from flask import Flask
from sqlalchemy import update

from bx24app.calls import drain, giving_way
from bx24app.calls.fold import portal_fold
from bx24app.calls.giving_way import LARGE_CALLS, MOST_WAITING, DrainSteps
from bx24app.infra.runtime import runtime
from bx24app.models import Call, Portal, db, utcnow
from tests.calls.test_drain_budget import ring
from tests.support.stack import until

FLOODED, SMALL = 1, 100


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch) -> Iterator[ThreadPoolExecutor]:
    monkeypatch.setattr(giving_way, "PATIENCE_SECONDS", 30.0)
    monkeypatch.setattr(giving_way, "REST_TIMES", 0.0)
    with ThreadPoolExecutor(8) as made:
        yield made


class Small:
    """A small step under way, until `end`."""

    def __init__(self, steps: DrainSteps, pool: ThreadPoolExecutor) -> None:
        self._steps, self._end, began = steps, threading.Event(), threading.Event()
        self.future = pool.submit(self._work, began)
        assert began.wait(10)

    def _work(self, began: threading.Event) -> None:
        with self._steps.step(SMALL):
            self._steps.declare_size(1)
            began.set()
            assert self._end.wait(20)

    def end(self) -> None:
        self._end.set()
        self.future.result(10)


def fold(steps: DrainSteps, portal_id: int, folded: list[int], calls: int = LARGE_CALLS) -> None:
    """A step as `portal_fold` makes it."""
    with steps.step(portal_id):
        steps.declare_size(calls)
        for _ in range(calls):
            steps.let_small_pass()
            folded.append(portal_id)


def test_a_large_step_goes_on_when_the_small_one_is_done(pool: ThreadPoolExecutor) -> None:
    steps, folded = DrainSteps(), list[int]()
    small = Small(steps, pool)
    large = pool.submit(fold, steps, FLOODED, folded)
    until(lambda: steps._waiting == 1, "it does not wait", 10)
    assert not folded
    fold(steps, 2, folded, LARGE_CALLS - 1)
    assert folded == [2] * (LARGE_CALLS - 1), "a small step waits for nobody"
    small.end()
    large.result(10)
    assert folded[LARGE_CALLS - 1 :] == [FLOODED] * LARGE_CALLS


def test_the_next_step_of_a_flooded_portal_waits_before_it_takes_a_slot(pool: ThreadPoolExecutor) -> None:
    steps, folded = DrainSteps(), list[int]()
    fold(steps, FLOODED, folded)
    small, begun = Small(steps, pool), threading.Event()

    def next_step() -> None:
        with steps.step(FLOODED):
            begun.set()

    large = pool.submit(next_step)
    until(lambda: steps._waiting == 1, "it does not wait", 10)
    assert not begun.is_set()
    small.end()
    large.result(10)
    assert begun.is_set()


def test_large_steps_do_not_wait_for_each_other_and_leave_a_slot_to_small_ones(pool: ThreadPoolExecutor) -> None:
    steps, folded = DrainSteps(), list[int]()
    for portal_id in (1, 2, 3):
        fold(steps, portal_id, folded)
    assert len(folded) == 3 * LARGE_CALLS
    small = Small(steps, pool)
    waiting: list[Future[None]] = []
    for portal_id in range(1, MOST_WAITING + 1):
        waiting.append(pool.submit(fold, steps, portal_id, folded))
        until(lambda: steps._waiting == len(waiting), "it does not wait", 10)
    fold(steps, 3, folded)
    assert folded[-LARGE_CALLS:] == [3] * LARGE_CALLS, "all fold slots are held by steps that wait for a small one"
    small.end()
    for large in waiting:
        large.result(10)


def test_a_large_step_waits_only_so_long(pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(giving_way, "PATIENCE_SECONDS", 0.05)
    steps, folded = DrainSteps(), list[int]()
    small = Small(steps, pool)
    fold(steps, FLOODED, folded)
    assert len(folded) == LARGE_CALLS
    small.end()


@pytest.mark.parametrize(
    ("calls", "has_more", "others", "rests"),
    [
        (LARGE_CALLS, False, True, True),
        (LARGE_CALLS, False, False, False),
        (LARGE_CALLS, True, True, True),
        (1, True, True, True),
        (LARGE_CALLS - 1, False, True, False),
    ],
)
def test_a_flooded_portal_rests_while_other_portals_are_about(
    app: Flask, monkeypatch: pytest.MonkeyPatch, calls: int, has_more: bool, others: bool, rests: bool
) -> None:
    steps, rested = DrainSteps(), list[float]()
    monkeypatch.setattr(runtime().stop_event, "wait", rested.append)
    monkeypatch.setattr(giving_way, "REST_TIMES", 1e9)
    monkeypatch.setattr(giving_way, "BUSY_REST_TIMES", 1e9)
    if others:
        with steps.step(SMALL):
            pass
    with steps.step(FLOODED):
        steps.declare_size(calls, has_more)
    with steps.step(FLOODED):
        pass
    assert len(rested) == rests
    assert all(0 < seconds <= giving_way.REST_SECONDS for seconds in rested)


@pytest.mark.parametrize(("is_sqlite", "times"), [(True, 0), (False, 2)])
def test_a_fold_says_how_many_calls_it_has_and_asks_between_them(
    app: Flask, portal: Portal, monkeypatch: pytest.MonkeyPatch, is_sqlite: bool, times: int
) -> None:
    """While a transaction of SQLite lasts nobody else can write, so it does not wait there."""
    portal_id, steps, asked = portal.id, runtime().get(DrainSteps), list[bool]()
    sizes: list[tuple[int, int, bool]] = []

    def declare_size(calls: int, has_more: bool) -> None:
        sizes.append((steps._local.step.portal_id, calls, has_more))

    monkeypatch.setattr(steps, "declare_size", declare_size)
    monkeypatch.setattr(giving_way, "let_small_pass", lambda: asked.append(True))
    monkeypatch.setattr(portal_fold, "is_sqlite", lambda: is_sqlite)
    for _ in range(3):
        ring(portal_id)
    db.session.execute(update(Call).values(due_at=utcnow()))
    db.session.commit()
    with steps.step(portal_id):
        drain._run_step(portal_id, [], None)
    assert sizes == [(portal_id, 3, False)]
    assert len(asked) == times * 3


def test_a_drain_marks_each_step(app: Flask, portal: Portal, monkeypatch: pytest.MonkeyPatch) -> None:
    portal_id, steps, under_way = portal.id, runtime().get(DrainSteps), list[int]()

    def run_step(*_: object) -> drain._DrainStep:
        under_way.append(steps._local.step.portal_id)
        return drain._DrainStep([], [], has_more=len(under_way) < 2)

    monkeypatch.setattr(drain, "_run_step", run_step)
    drain.drain(portal_id)
    assert under_way == [portal_id] * 2
    assert not steps._small
