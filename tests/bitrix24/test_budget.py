"""One bucket a portal in a real Valkey: priorities, penalties, many processes at once, and a server that is gone."""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from bx24app.bitrix24.budget import MARGIN_SECONDS, Priority, RequestBudget
from tests.support.servers import free_port


@pytest.fixture
def client(valkey_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(valkey_url) as client:
        client.flushall()
        yield client


def drained(budget: RequestBudget, priority: Priority) -> int:
    """How many requests leave at once."""
    taken = 0
    while budget.acquire(priority) == 0.0:
        taken += 1
    return taken


def test_a_rested_portal_takes_a_burst_a_little_below_its_limit(client: redis.Redis) -> None:
    budget = RequestBudget(client, "portal")
    assert budget.available_requests() == pytest.approx(50 - 2 * MARGIN_SECONDS)
    assert 45 <= drained(budget, Priority.CARD) <= 49
    wait = budget.acquire(Priority.CARD)
    assert 0 < wait <= 0.5
    assert budget.available_requests() < 1


def test_it_fills_again_by_the_servers_clock(client: redis.Redis) -> None:
    budget = RequestBudget(client, "portal", rate=50.0, capacity=100.0)
    assert drained(budget, Priority.CARD) >= 25
    until = time.monotonic() + 20
    while budget.available_requests() < 5:
        assert time.monotonic() < until
        time.sleep(0.02)
    assert budget.acquire(Priority.CARD) == 0.0


def test_what_is_less_urgent_leaves_a_reserve(client: redis.Redis) -> None:
    budget = RequestBudget(client, "portal", rate=0.01, capacity=50.0)
    left = []
    for priority in (Priority.VIEW, Priority.BACKGROUND, Priority.RECORD, Priority.FINISH, Priority.CARD):
        drained(budget, priority)
        left.append(budget.available_requests())
    assert left == sorted(left, reverse=True)
    assert left[0] >= 19
    assert left[1] >= 11
    assert left[2] >= 5
    assert 0 <= left[3] < 3
    assert left[4] < 1


def test_portals_do_not_share(client: redis.Redis) -> None:
    drained(RequestBudget(client, "one"), Priority.CARD)
    assert RequestBudget(client, "other").acquire(Priority.CARD) == 0.0


def test_all_that_name_a_portal_share(client: redis.Redis) -> None:
    drained(RequestBudget(client, "one"), Priority.CARD)
    assert RequestBudget(client, "one").acquire(Priority.CARD) > 0


def test_a_penalty_holds_everybody_back(client: redis.Redis) -> None:
    budget = RequestBudget(client, "portal")
    budget.block_for(2.0)
    assert budget.available_requests() == 0.0
    assert 1.5 < RequestBudget(client, "portal").acquire(Priority.CARD) <= 2.0
    assert budget.acquire(Priority.VIEW) > 2.0


def test_enterprise_has_more_and_a_server_of_ones_own_has_no_limit(client: redis.Redis) -> None:
    assert RequestBudget(client, "large", 5.0, 250.0).available_requests() > 240
    own = RequestBudget(client, "own", rate=0)
    own.block_for(60)
    assert all(own.acquire(Priority.VIEW) == 0.0 for _ in range(300))
    assert own.available_requests() > 100


def test_one_round_trip(client: redis.Redis) -> None:
    budget = RequestBudget(client, "portal")
    budget.acquire()

    def calls() -> int:
        stats: dict[str, Any] = client.info("commandstats")  # type: ignore[assignment]
        return int(stats["cmdstat_evalsha"]["calls"]), int(stats.get("cmdstat_eval", {"calls": 0})["calls"])  # type: ignore[return-value]

    before: Any = calls()
    for _ in range(10):
        budget.acquire()
    after: Any = calls()
    assert (after[0] - before[0], after[1] - before[1]) == (10, 0)


def test_without_redis_a_process_keeps_the_pace_alone() -> None:
    gone = redis.Redis(port=free_port(), socket_connect_timeout=0.2)
    budget = RequestBudget(gone, "portal")
    assert 0 < budget.available_requests() <= 12.5
    assert 10 <= drained(budget, Priority.CARD) <= 14
    budget.block_for(5)
    assert budget.acquire(Priority.CARD) > 4
    gone.close()


def test_without_redis_each_priority_still_leaves() -> None:
    """The store is smaller then, so the reserves are too: background work goes on, a card still goes first."""
    gone = redis.Redis(port=free_port(), socket_connect_timeout=0.2)
    budget = RequestBudget(gone, "portal", rate=0.01)
    left = []
    for priority in (Priority.VIEW, Priority.BACKGROUND, Priority.RECORD, Priority.FINISH):
        assert drained(budget, priority) >= 1, priority
        left.append(budget.available_requests())
    assert left == sorted(left, reverse=True)
    gone.close()


def test_a_lost_redis_is_asked_again_but_not_by_every_request() -> None:
    """A server that hangs would otherwise cost each request its time-out."""
    asked = []

    class Hanging(redis.Redis):
        def execute_command(self, *args: Any, **options: Any) -> Any:
            asked.append(args[0])
            raise redis.TimeoutError("hangs")

    client = Hanging()
    budget = RequestBudget(client, "portal")
    for _ in range(20):
        budget.acquire()
    assert len(asked) == 1
    client.close()


class CountingPortal:
    """Bitrix24's own counter: fills by one a request, drains by `rate` a second, overflows at `capacity`."""

    def __init__(self, rate: float, capacity: float) -> None:
        self.rate, self.capacity = rate, capacity
        self.filled, self.at, self.taken, self.refused = 0.0, time.monotonic(), 0, 0
        self.lock = threading.Lock()

    def take(self) -> None:
        with self.lock:
            now = time.monotonic()
            self.filled = max(0.0, self.filled - self.rate * (now - self.at))
            self.at = now
            if self.filled + 1 > self.capacity:
                self.refused += 1
            else:
                self.filled, self.taken = self.filled + 1, self.taken + 1


def _hammer(url: str, portal: Any, rate: float, capacity: float, seconds: float) -> None:
    from random import random

    with redis.Redis.from_url(url) as client:
        budget = RequestBudget(client, "hammered", rate, capacity)
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            wait = budget.acquire(Priority.CARD)
            if wait:
                time.sleep(min(wait, 0.05))
                continue
            time.sleep(random() * 0.2)  # the network
            portal.send(b"x")


def test_four_processes_never_overflow_the_portals_own_counter(valkey_url: str, client: redis.Redis) -> None:
    rate, capacity, seconds = 10.0, 50.0, 3.0
    portal = CountingPortal(rate, capacity)
    context = multiprocessing.get_context("spawn")
    pipes, processes = [], []
    for _ in range(4):
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=_hammer, args=(valkey_url, theirs, rate, capacity, seconds))
        process.start()
        theirs.close()
        pipes.append(ours)
        processes.append(process)
    while pipes:
        for pipe in multiprocessing.connection.wait(pipes, timeout=60):
            try:
                pipe.recv_bytes()  # type: ignore[union-attr]
                portal.take()
            except EOFError:
                pipes.remove(pipe)  # type: ignore[arg-type]
    for process in processes:
        process.join(30)
    assert [process.exitcode for process in processes] == [0, 0, 0, 0]
    assert portal.refused == 0
    assert portal.taken >= 35 + rate * (seconds - 2)


def test_a_wait_is_told_without_taking_anything(client: redis.Redis) -> None:
    budget = RequestBudget(client, "portal")
    assert budget.seconds_until_free(Priority.RECORD) == 0.0
    drained(budget, Priority.RECORD)
    began = time.monotonic()
    told, level = budget.seconds_until_free(Priority.RECORD), budget.available_requests()
    assert 0 < told <= budget.acquire(Priority.RECORD) + time.monotonic() - began + 0.001
    drained_since = budget.rate * (time.monotonic() - began)
    assert level <= budget.available_requests() <= level + drained_since + 0.2
    assert RequestBudget(client, "on-premise", rate=0).seconds_until_free(Priority.VIEW) == 0.0


def test_an_ample_budget_is_estimated_and_a_short_one_is_asked_for(client: redis.Redis) -> None:
    """Others' requests are seen a second later, its own at once; what is short, or blocked, is exact."""
    mine, theirs = RequestBudget(client, "estimated"), RequestBudget(client, "estimated")
    whole = mine.estimate_requests()
    assert whole == pytest.approx(mine.available_requests(), abs=1)
    for _ in range(5):
        theirs.acquire()
    assert mine.estimate_requests() == whole
    for _ in range(3):
        mine.acquire()
    assert mine.estimate_requests() == whole - 3
    mine._estimate = mine._estimate[0], 0.0
    assert mine.estimate_requests() == pytest.approx(whole - 8, abs=2)
    for _ in range(25):
        mine.acquire()
    theirs.acquire()
    assert mine.estimate_requests() == pytest.approx(mine.available_requests(), abs=1), "less than half is left"
    mine.block_for(30)
    assert mine.estimate_requests() == 0
