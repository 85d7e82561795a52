"""Whole calls over many portals whose notifications were all accepted before the clock runs.

`program` measures the program, `baseline` the jobs of `job_a_notice`.
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import redis
import requests

from benchmarks.job_a_notice import queue
from benchmarks.memory import tree
from benchmarks.rig import ROOT, Rig, call, post, until
from bx24app.infra.processes.child_process import die_with_parent
from bx24app.models import db
from tests.support.servers import valkey

PATIENCE = 1800.0
"""Seconds after which a backlog counts as stuck."""


@contextmanager
def halted(pids: list[int]) -> Iterator[None]:
    """Stops these processes inside the block."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def workers(made: Rig) -> list[int]:
    """The worker processes of an installation."""
    pids = [pid for pid in tree(made.pid) if b"bx24app: worker" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    if not pids:
        raise RuntimeError("the installation has no process named worker")
    return pids


@contextmanager
def resting(made: Rig) -> Iterator[None]:
    """Stops the workers inside the block, none of them in a transaction, because that would lock SQLite for other
    writers.
    """
    with ExitStack() as stack:
        until(partial(_halt, made, stack), "the workers never let go of the database")
        yield


def _halt(made: Rig, stack: ExitStack) -> bool:
    with ExitStack() as tried:
        tried.enter_context(halted(workers(made)))
        with made.app.app_context():
            file = db.engine.url.database or ""
            if db.engine.dialect.name != "sqlite":  # a stopped writer blocks nobody there
                stack.enter_context(tried.pop_all())
                return True
        with closing(sqlite3.connect(file, isolation_level=None, timeout=0.3)) as connection:
            try:
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                return False
            connection.execute("ROLLBACK")
        stack.enter_context(tried.pop_all())
    return True


def landed(made: Rig, portals: int) -> int:
    return sum(made.cloud.ask("landed", number)[0] for number in range(portals))


def program(made: Rig, portals: int, each: int) -> tuple[float, float]:
    """Calls a second by the workers alone, and with the acceptance of their notifications. `each`: calls of each
    portal.
    """
    before, count = landed(made, portals), portals * each

    def send_calls(number: int) -> None:
        with requests.Session() as session:
            calls = [call() for _ in range(each)]
            for same in zip(*(one.notices for one in calls), strict=True):
                for notice in same:
                    post(session, made.hooks[number], notice)

    with resting(made):
        started = time.monotonic()
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(send_calls, range(portals)))
        accepted = time.monotonic()
    until(lambda: landed(made, portals) >= before + count, "the calls never came to the portals", PATIENCE)
    ended = time.monotonic()
    made.settle(PATIENCE)
    return count / (ended - accepted), count / (ended - started)


def baseline(made: Rig, kind: str, processes: int, count: int) -> float:
    """Calls a second of `job_a_notice` with this number of workers of a kind. The program is stopped meanwhile."""
    at = [made.cloud.ask("grant", number) for number in range(len(made.hooks))]
    with TemporaryDirectory() as place, valkey(Path(place)) as url, halted(tree(made.pid)):
        (Path(place) / "portals.json").write_text(json.dumps(at))
        connection = redis.Redis.from_url(url)
        command = [sys.executable, "-m", "benchmarks.job_a_notice", kind, url, place]
        started = [
            subprocess.Popen(command, cwd=ROOT, preexec_fn=partial(die_with_parent, os.getpid()))
            for _ in range(processes)
        ]
        try:
            until(
                lambda: int(connection.get("ready") or 0) >= processes, "the baseline's workers never began", PATIENCE
            )  # type: ignore[arg-type]
            _naive(made, connection, len(at), processes, [one.pid for one in started])  # warm
            return _naive(made, connection, len(at), count, [one.pid for one in started])
        finally:
            for one in started:
                one.terminate()
                one.wait(20)


def _naive(made: Rig, connection: redis.Redis, portals: int, count: int, pids: list[int]) -> float:
    before = landed(made, portals)
    calls = [call() for _ in range(count)]
    with halted(pids):
        for same in zip(*(one.notices for one in calls), strict=True):
            for number, notice in enumerate(same):
                queue(connection).enqueue(
                    "benchmarks.job_a_notice.handle_notification",
                    number % portals,
                    notice.name,
                    notice.raw,
                    result_ttl=0,
                )
        started = time.monotonic()
    until(lambda: landed(made, portals) >= before + count, "the baseline's calls never came to the portals", PATIENCE)
    rate = count / (time.monotonic() - started)
    until(lambda: not len(queue(connection)), "the baseline's queue was never empty")
    return rate
