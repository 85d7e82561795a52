"""The wake-up list and the threads that serve it: each portal once, the longest waiting first, none beyond the threads.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from flask import Flask
from rq import Worker
from rq.serializers import JSONSerializer

from bx24app import jobs
from bx24app.infra import queue, wake_list
from bx24app.infra.keyed_redis import KeyedRedis
from bx24app.infra.portal_worker import PortalWorker
from bx24app.infra.runtime import runtime
from tests.support.stack import until


class Serving:
    """What portals are being served, and were."""

    def __init__(self) -> None:
        self.began, self.ended = list[int](), list[int]()
        self.go_on = threading.Event()

    def serve(self, portal_id: int) -> None:
        self.began.append(portal_id)
        assert self.go_on.wait(30)
        self.ended.append(portal_id)
        if portal_id == 13:
            raise ValueError("x")


@pytest.fixture
def serving(monkeypatch: pytest.MonkeyPatch) -> Iterator[Serving]:
    made = Serving()
    monkeypatch.setattr(jobs, "serve_calls", made.serve)
    yield made
    made.go_on.set()


Start = Callable[..., PortalWorker]


@pytest.fixture
def start(app: Flask, serving: Serving) -> Iterator[Start]:
    """Starts a worker with so many threads, over connections of its own."""
    workers, threads = list[PortalWorker](), list[threading.Thread]()

    def begin(count: int, **options: Any) -> PortalWorker:
        plain = redis.Redis.from_url(runtime().config.redis_url)
        client = KeyedRedis(plain, runtime().key_names)
        worker = PortalWorker(
            app, "calls", count, client, connection=plain, serializer=JSONSerializer, worker_ttl=16,
            name=f"test-{len(workers)}", **options,
        )  # fmt: skip
        workers.append(worker)
        threads.append(threading.Thread(target=worker.work, kwargs={"logging_level": "ERROR"}, daemon=True))
        threads[-1].start()
        return worker

    yield begin
    serving.go_on.set()
    for worker in workers:
        worker._stop_requested = True
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()


def test_a_portal_is_in_the_list_once_and_the_longest_waiting_is_first(app: Flask) -> None:
    for portal_id in (3, 1, 3, 2, 1):
        queue.wake_portal(portal_id)
    assert [wake_list.take(runtime().redis, "calls", 0.1) for _ in range(4)] == [3, 1, 2, None]


def test_threads_serve_as_many_portals_and_the_rest_waits_in_redis(serving: Serving, start: Start) -> None:
    worker = start(2)
    for portal_id in (1, 2, 3):
        queue.wake_portal(portal_id)
    until(lambda: len(serving.began) == 2, "they were not served", 20)
    assert (serving.began, wake_list.count("calls"), worker.is_busy) == ([1, 2], 1, True)
    queue.wake_portal(1)  # while it is served: it will be served again
    serving.go_on.set()
    until(lambda: len(serving.ended) == 4, "the rest was not served", 20)
    assert sorted(serving.ended) == [1, 1, 2, 3]
    until(lambda: not worker.is_busy, "a thread is still busy", 20)
    assert worker.jobs_done == 4


def test_a_portal_that_fails_leaves_its_thread_free(serving: Serving, start: Start) -> None:
    serving.go_on.set()
    start(1)
    for portal_id in (13, 7):
        queue.wake_portal(portal_id)
    until(lambda: serving.ended == [13, 7], "the thread is lost", 20)


def test_what_waits_for_a_busy_process_is_taken_by_another(serving: Serving, start: Start) -> None:
    start(1)
    queue.wake_portal(1)
    until(lambda: serving.began == [1], "it was not served", 20)
    queue.wake_portal(2)
    start(1)
    until(lambda: serving.began == [1, 2], "it waits for the busy process", 20)


def test_rq_shows_the_worker_and_what_it_does(serving: Serving, start: Start) -> None:
    start(1)

    def states() -> list[str]:
        found = Worker.all(connection=runtime().queue_redis, serializer=JSONSerializer)
        return [worker.get_state() for worker in found if worker.queue_names() == ["calls"]]

    until(lambda: states() == ["idle"], "`rq info` does not show it", 20)
    queue.wake_portal(1)
    until(lambda: states() == ["busy"], "`rq info` does not show that it works", 20)
    serving.go_on.set()
    until(lambda: states() == ["idle"], "`rq info` does not show that it is done", 20)


def test_a_redis_that_comes_back_is_served_again(
    serving: Serving, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    serving.go_on.set()
    take, answers = wake_list.take, [True, True]

    def fail_twice(*args: Any) -> int | None:
        if answers:
            answers.pop()
            raise redis.ConnectionError
        return take(*args)

    monkeypatch.setattr(wake_list, "take", fail_twice)
    start(1)
    queue.wake_portal(4)
    until(lambda: serving.ended == [4], "the worker has given up", 30)


def test_a_worker_that_stops_gives_back_what_it_has_just_taken(
    serving: Serving, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would fold and send nothing; another process serves the portal at once."""
    take = wake_list.take

    def take_and_stop(*args: Any) -> int | None:
        portal_id = take(*args)
        if portal_id is not None:
            worker.request_end()
        return portal_id

    monkeypatch.setattr(wake_list, "take", take_and_stop)
    worker = start(1)
    queue.wake_portal(4)
    until(lambda: wake_list.count("calls") == 1 and worker._stop_requested, "it keeps the portal", 20)
    assert not serving.began
