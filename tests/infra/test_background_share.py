"""A tenant has one background job at a time in a process; each kind of work has threads of its own."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from flask import Flask

from bx24app import jobs
from bx24app.infra import queue, worker
from bx24app.infra.background_share import one_per_tenant
from bx24app.infra.queue import BACKGROUND, CALLS, RECORDINGS


@pytest.fixture
def queued(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = []
    monkeypatch.setattr(queue, "enqueue_background", lambda *args, when: rows.append(args))
    return rows


def test_a_second_job_of_a_tenant_is_put_off(app: Flask, queued: list[tuple[Any, ...]]) -> None:
    inside, go_on, ran = threading.Event(), threading.Event(), list[object]()

    @one_per_tenant
    def look(tenant: object, *_: object) -> None:
        ran.append(tenant)
        if not inside.is_set():
            inside.set()
            assert go_on.wait(20)

    def first() -> None:
        with app.app_context():
            look(7)

    thread = threading.Thread(target=first, daemon=True)
    thread.start()
    assert inside.wait(20)
    look(7, "more")
    assert queued == [("look", 7, "more")]
    look(8)
    look({"pbx_id": 7})
    assert ran == [7, 8, {"pbx_id": 7}]
    go_on.set()
    thread.join(20)
    look(7)
    assert ran[-1] == 7


def test_a_failed_job_leaves_its_place(app: Flask, queued: list[tuple[Any, ...]]) -> None:
    @one_per_tenant
    def fail(_: int) -> None:
        raise ValueError("x")

    for _ in range(2):
        with pytest.raises(ValueError, match="x"):
            fail(7)
    assert queued == []


def test_every_job_of_a_tenant_has_the_bound() -> None:
    own = {name for name, job in vars(jobs).items() if getattr(job, "__module__", "") == jobs.__name__}
    periodic = {name for name, *_ in (*worker.PERIODIC_JOBS, *worker.MACHINE_JOBS)}
    others = {"drain", "carry_recording", "carry_recordings", "serve_calls", "serve_recordings"}
    bound = {name for name in own if hasattr(getattr(jobs, name), "__wrapped__")}
    assert own - periodic - bound == others, "these have bounds of their own"


def test_each_kind_of_work_has_threads_of_its_own() -> None:
    assert (CALLS, CALLS, RECORDINGS, *[BACKGROUND] * worker.BACKGROUND_THREADS) == worker.THREAD_QUEUES
