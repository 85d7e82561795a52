"""The worker process and the cron process: portal threads, RQ workers in threads, the periodic jobs, the scheduler of
delayed jobs.

`cli.up` runs both in the process tree. A worker pushes the application's context around each job. On SIGTERM it
finishes the work in hand within eight seconds.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import redis
from flask import Flask, current_app
from rq import Queue
from rq.cron import CronJob, CronScheduler
from rq.job import Job
from rq.scheduler import RQScheduler
from rq.serializers import JSONSerializer
from rq.utils import import_attribute

from bx24app.infra import memory, redis_client
from bx24app.infra.keyed_redis import KeyedRedis
from bx24app.infra.logs import get_logger
from bx24app.infra.portal_worker import WAIT_SECONDS, PortalWorker
from bx24app.infra.queue import BACKGROUND, CALLS, JOB_TIMEOUT_SECONDS, QUEUES, RECORDINGS
from bx24app.infra.runtime import runtime
from bx24app.infra.thread_worker import ThreadWorker
from bx24app.infra.wake_timers import WakeTimers

_log = get_logger(__name__)


SWITCH_SECONDS = 0.0005
"""Seconds that a thread computes while another one waits for the interpreter. By Python's own 5 ms the drain of a card,
which asks the database thirty times, would wait 150 ms beside the fold of a flooded portal."""


IDLE_CHECK_SECONDS = 2.0
BACKGROUND_THREADS = 3
"""Of each worker process: a tenant that hangs holds one (`infra.background_share`)."""
THREAD_QUEUES = (CALLS, CALLS, RECORDINGS, *(BACKGROUND,) * BACKGROUND_THREADS)
"""The queue of each thread of a worker process that works off RQ's jobs. Of calls these are the sweep and the probes,
and wake-ups that RQ has deferred."""
_OPTIONS: dict[str, Any] = {"serializer": JSONSerializer, "worker_ttl": 75}


class JobScheduler(RQScheduler):
    """Moves delayed jobs into their queue when they are due. Two schedulers are harmless, since a job may run twice."""

    def __init__(self, connection: redis.Redis) -> None:
        super().__init__(list(QUEUES), connection, interval=1, logging_level="WARNING", serializer=JSONSerializer)
        self._acquired_locks = set(QUEUES)

    @property
    def should_reacquire_locks(self) -> bool:
        return False

    def run_until(self, stopped: threading.Event) -> None:
        """Check twice a second, until `stopped`."""
        while not stopped.wait(0.5):
            try:
                self.enqueue_scheduled_jobs()  # type: ignore[no-untyped-call]
            except redis.RedisError as error:
                _log.warning("job scheduler waits for Redis", error=type(error).__name__)
                stopped.wait(2)


class JsonCronJob(CronJob):
    """RQ's periodic job, queued as JSON: the workers read nothing pickled."""

    def enqueue(self, connection: redis.Redis) -> Job:
        queue = Queue(self.queue_name, connection=connection, serializer=JSONSerializer)
        return queue.enqueue(self.func_name, **self.job_options)


PERIODIC_JOBS: tuple[tuple[str, int, str], ...] = (
    ("sweep", 15, CALLS),
    ("probe_portals", 15, CALLS),
    ("reconcile", 15, BACKGROUND),
    ("look_after_portals", 60, BACKGROUND),
    ("count_figures", 60, BACKGROUND),
    ("watch", 300, BACKGROUND),
    ("close_silent", 900, BACKGROUND),
    ("prune", 3600, BACKGROUND),
)
"""(function of bx24app.jobs, seconds, queue) of everything that happens at intervals."""


MACHINE_JOBS: tuple[tuple[str, int], ...] = (("clean_spool", 300),)
"""(function of bx24app.jobs, seconds) of what each worker process does for its own machine: a queued job may run on any
machine."""


def list_periodic_jobs() -> list[tuple[str, int, str]]:
    """The periodic jobs of this configuration, which may turn reconciliation off or let it run more often."""
    every = runtime().config.reconcile_seconds
    jobs = [
        (job, min(seconds, every) if job == "reconcile" else seconds, queue) for job, seconds, queue in PERIODIC_JOBS
    ]
    return [entry for entry in jobs if entry[1]]


def _open_connection(**options: float) -> redis.Redis:
    """A client for blocking reads, without a read time-out unless `options` have one."""
    config = runtime().config
    defaults = {"socket_connect_timeout": 5, "health_check_interval": 30}
    return redis_client.connect(config.redis_url, config.ca_bundle, **defaults, **options)


def run_worker(app: Flask, calls: int, recordings: int) -> None:
    """Run a worker process until SIGTERM: `calls` threads for portals, `recordings` threads for files, and a few for
    RQ's jobs.

    Each kind has its own threads, so that a thousand waiting recordings delay neither a card nor a token's refresh.
    """
    sys.setswitchinterval(SWITCH_SECONDS)
    memory.limit_arenas()
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    workers: list[ThreadWorker] = []
    with app.app_context():
        runtime().get(WakeTimers).start(app, stopped)
        own_name = f"{os.uname().nodename}-{os.getpid()}"
        for name, threads in ((CALLS, calls), (RECORDINGS, recordings)):
            _start_worker(workers, partial(_make_portal_worker, app, name, threads), f"{own_name}-{name}", stopped)
        for index, name in enumerate(THREAD_QUEUES):
            _start_worker(workers, partial(_make_job_worker, app, name), f"{own_name}-{index}", stopped)
        for job, seconds in MACHINE_JOBS:
            threading.Thread(target=_repeat_job, args=(app, job, seconds, stopped), name=job, daemon=True).start()
        _log.info("worker ready", threads=calls, recording_threads=recordings)
        _trim_when_idle(workers, stopped)
        _stop_workers(workers)


def _trim_when_idle(workers: list[ThreadWorker], stopped: threading.Event) -> None:
    """Return free memory to the system whenever the work is done for now, until `stopped`."""
    trimmed_at = 0
    while not stopped.wait(IDLE_CHECK_SECONDS):
        jobs_done = sum(worker.jobs_done for worker in list(workers))
        if jobs_done != trimmed_at and not any(worker.is_busy for worker in list(workers)):
            memory.trim()
            trimmed_at = jobs_done


def _repeat_job(app: Flask, job: str, seconds: float, stopped: threading.Event) -> None:
    """Run a job of `MACHINE_JOBS` at intervals, until `stopped`."""
    function = import_attribute(f"bx24app.jobs.{job}")
    while not stopped.wait(seconds):
        with app.app_context():
            try:
                function()
            except Exception as error:  # noqa: BLE001 - the next run tries again
                _log.exception("machine job failed", job=job, error=type(error).__name__)


def _make_portal_worker(app: Flask, list_name: str, threads: int, name: str) -> PortalWorker:
    """The worker that serves this wake-up list."""
    plain = _open_connection(socket_timeout=WAIT_SECONDS * 2)
    client = KeyedRedis(plain, runtime().key_names)
    return PortalWorker(app, list_name, threads, client, connection=_open_connection(), name=name, **_OPTIONS)


def _make_job_worker(app: Flask, queue_name: str, name: str) -> ThreadWorker:
    """A worker for the jobs of this queue."""
    return ThreadWorker(app, [queue_name], connection=_open_connection(), name=name, **_OPTIONS)


def _start_worker(
    workers: list[ThreadWorker], make: Callable[[str], ThreadWorker], name: str, stopped: threading.Event
) -> None:
    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]

    def work_loop() -> None:
        while not stopped.is_set():
            try:
                with app.app_context():
                    worker = make(f"{name}-{time.monotonic_ns()}")
                worker.log_job_description = False
                workers.append(worker)
                worker.work(logging_level="WARNING")
                workers.remove(worker)
            except redis.RedisError as error:
                _log.warning("worker waits for Redis", error=type(error).__name__)
            stopped.wait(1)

    threading.Thread(target=work_loop, name=name, daemon=True).start()


def _stop_workers(workers: list[ThreadWorker]) -> None:
    """Finish the work in hand within 8 s. What is still open then counts as answer lost, and is verified before it is
    repeated.
    """
    runtime().stop_event.set()
    stopping = list(workers)  # one that has nothing more to take leaves `workers`, perhaps with portals in hand
    for worker in stopping:
        worker.request_end()
    deadline = time.monotonic() + 8
    while time.monotonic() < deadline and any(worker.is_busy for worker in stopping):
        time.sleep(0.02)
    unfinished = sum(worker.is_busy for worker in stopping)
    for worker in stopping:
        try:
            worker.register_death()  # type: ignore[no-untyped-call]
        except redis.RedisError:
            break  # Redis ended first; its entries of workers expire by themselves
    _log.info("worker ended", unfinished=unfinished)
    os._exit(0)  # threads that block in Redis would not end by themselves


def run_cron(app: Flask) -> None:
    """Run the periodic jobs and the job scheduler until SIGTERM. Two such processes are safe."""
    with app.app_context():
        stopped = threading.Event()
        job_scheduler = JobScheduler(_open_connection())
        threading.Thread(target=job_scheduler.run_until, args=(stopped,), name="job-scheduler", daemon=True).start()
        while not stopped.is_set():
            scheduler = CronScheduler(runtime().queue_redis, logging_level="WARNING")
            for job, seconds, queue in list_periodic_jobs():
                scheduler.get_jobs().append(
                    JsonCronJob(
                        queue,
                        func_name=f"bx24app.jobs.{job}",
                        interval=seconds,
                        job_timeout=min(JOB_TIMEOUT_SECONDS, seconds * 4),
                        result_ttl=0,
                        ttl=seconds,
                        failure_ttl=3600,
                        name=job,
                    )
                )
            try:
                scheduler.start()  # type: ignore[no-untyped-call]
                stopped.set()  # it returns after a signal
            except redis.RedisError as error:
                _log.warning("cron waits for Redis", error=type(error).__name__)
                stopped.wait(2)
