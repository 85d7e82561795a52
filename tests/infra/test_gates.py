"""Places in gates: per party, over all, over all kinds; a turn; who was too slow; who passes freely."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from flask import Flask

from bx24app.bitrix24.request_deadline import seconds_left
from bx24app.infra import gates, page_threads
from bx24app.infra.gate_kinds import ACTION, KINDS, MAX_TAKEN, PAGE_SECONDS, TAB, GateKind
from bx24app.infra.gates import GateClosed, Gates
from bx24app.infra.runtime import runtime

SLOW = GateKind("slow", 2, 4, 0.2)


@pytest.fixture
def page(app: Flask) -> Iterator[None]:
    """This thread answers a page of one portal."""
    page_threads.begin_page(ACTION, "192.0.2.1")
    page_threads.name_party("portal")
    yield
    page_threads.end_page()


def enter(held: Gates, kind: GateKind, party: str, count: int) -> int:
    """How many of `count` threads get a place."""
    entered = 0
    for _ in range(count):
        try:
            held.enter_gate(kind, party)
        except GateClosed:
            continue
        entered += 1
    return entered


def test_one_party_takes_its_share_and_all_take_theirs() -> None:
    held = Gates()
    assert [enter(held, ACTION, party, 5) for party in ("a", "b", "c")] == [2, 2, 0]
    held.leave_gate(ACTION, "a")
    assert enter(held, ACTION, "c", 5) == 1


def test_threads_remain_for_pages_that_ask_nobody() -> None:
    held = Gates()
    entered = sum(enter(held, GateKind(f"kind {number}", 2, 4, 1.0), party, 2) for number in range(9) for party in "ab")
    assert entered == MAX_TAKEN < 16
    assert sum(kind.over_all for kind in KINDS) > MAX_TAKEN, "else the bound over all kinds would bound nothing"


def test_a_thread_waits_for_its_turn_and_no_longer() -> None:
    held, kind = Gates(), GateKind("patient", 1, 1, 1.0, queue_seconds=5.0)
    held.enter_gate(kind, "a")
    threading.Timer(0.2, held.leave_gate, (kind, "a")).start()
    held.enter_gate(kind, "b")
    started = time.monotonic()
    with pytest.raises(GateClosed):
        held.enter_gate(GateKind("patient", 1, 1, 1.0, queue_seconds=0.2), "c")
    assert time.monotonic() - started < 4


def test_who_uses_up_the_time_is_left_alone_longer_each_time(page: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gates, "SLOW_SECONDS", 0.1)
    monkeypatch.setattr(gates, "FIRST_PAUSE", 0.3)
    pauses = []
    for _ in range(3):
        with gates.pass_gate(SLOW):
            time.sleep(0.2)
        with pytest.raises(GateClosed) as closed, gates.pass_gate(SLOW):
            pass
        with gates.pass_gate(SLOW, "another"):
            pass
        pauses.append(closed.value.retry_after or 0)
        time.sleep(pauses[-1] + 0.01)
    assert pauses[0] < 0.31 < pauses[1] < 0.61 < pauses[2]
    with gates.pass_gate(SLOW):
        pass
    assert runtime().get(Gates)._pauses == {}, "an answer in time ends it"


def test_what_is_asked_inside_is_bounded_and_so_is_the_page(page: None) -> None:
    assert seconds_left(100) == 100
    with gates.pass_gate(TAB):
        assert seconds_left(100) <= TAB.seconds
        with gates.pass_gate(ACTION):
            assert runtime().get(Gates).count_taken()["action"] == 0, "inside a gate one passes freely"
    current = page_threads.current_page()
    assert current is not None
    current.until = time.monotonic() + 0.5
    with gates.pass_gate(TAB):
        assert seconds_left(100) <= 0.5
    assert max(kind.seconds for kind in KINDS if kind.name != "export") <= PAGE_SECONDS


def test_a_page_that_asks_without_a_gate_is_a_mistake(page: None) -> None:
    with pytest.raises(RuntimeError):
        page_threads.require_gate()
    with gates.pass_gate():
        page_threads.require_gate()
    page_threads.end_page()
    page_threads.require_gate()


def test_a_worker_passes_freely(app: Flask) -> None:
    with ExitStack() as stack:
        for _ in range(100):
            stack.enter_context(gates.pass_gate(TAB, "a"))
        assert runtime().get(Gates).count_taken()["tab"] == 0
