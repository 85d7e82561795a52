"""The worker process and the cron process: RQ workers in threads, the periodic jobs, the scheduler of delayed jobs.

`cli.up` runs both in the process tree. A worker pushes the application's context around each job. On SIGTERM it
finishes the work in hand within eight seconds.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from typing import Any

import redis
from flask import Flask
from rq import Queue, SimpleWorker
from rq.cron import CronJob, CronScheduler
from rq.exceptions import StopRequested
from rq.job import Job
from rq.scheduler import RQScheduler
from rq.serializers import JSONSerializer
from rq.timeouts import TimerDeathPenalty
from rq.utils import import_attribute

from bx24app.infra import memory, redis_client
from bx24app.infra.logs import get_logger
from bx24app.infra.queue import BACKGROUND, CALLS, JOB_TIMEOUT_SECONDS, QUEUES, RECORDINGS
from bx24app.infra.runtime import runtime

_log = get_logger(__name__)


SWITCH_SECONDS = 0.0005
"""Seconds that a thread computes while another one waits for the interpreter. By Python's own 5 ms the drain of a card,
which asks the database thirty times, would wait 150 ms beside the fold of a flooded portal."""


IDLE_CHECK_SECONDS = 2.0
BACKGROUND_THREADS = 3
"""Of each worker process: a tenant that hangs holds one (`infra.background_share`)."""


class ThreadWorker(SimpleWorker):
    """An RQ worker in a thread: a portal that is waited for holds a thread, not a process. `run_worker` handles signals
    and the title.
    """

    death_penalty_class = TimerDeathPenalty

    def __init__(self, app: Flask, queues: list[str], **options: Any) -> None:
        super().__init__(queues, **options)
        self._app = app

    def _install_signal_handlers(self) -> None:
        """Only the main thread may install them; `run_worker` does."""

    def procline(self, message: str) -> None:
        """The process keeps the title that the supervisor gave it."""

    def execute_job(self, job: Job, queue: Queue) -> None:
        self.is_busy = True
        try:
            with self._app.app_context():
                super().execute_job(job, queue)
        finally:
            self.is_busy = False
            self.jobs_done += 1

    def heartbeat(self, timeout: int | None = None, pipeline: Any = None) -> None:
        """RQ calls this between two waits for a job; here a worker without signal handlers can stop."""
        if self._stop_requested and not self.is_busy:
            raise StopRequested
        super().heartbeat(timeout, pipeline)

    is_busy = False
    jobs_done = 0
    """How many jobs this worker has done."""


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


def _open_connection() -> redis.Redis:
    """A client for blocking reads, without a read time-out."""
    config = runtime().config
    return redis_client.connect(config.redis_url, config.ca_bundle, socket_connect_timeout=5, health_check_interval=30)


def run_worker(app: Flask, calls: int, recordings: int) -> None:
    """Run a worker process until SIGTERM: `calls` threads for portals, `recordings` threads for files, and a few for
    background work.

    Each kind has its own threads, so that a thousand waiting recordings delay neither a card nor a token's refresh.
    """
    sys.setswitchinterval(SWITCH_SECONDS)
    memory.limit_arenas()
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    workers: list[ThreadWorker] = []
    with app.app_context():
        for index, name in enumerate(list_thread_queues(calls, recordings)):
            _start_worker(app, workers, [name], f"{os.uname().nodename}-{os.getpid()}-{index}", stopped)
        for job, seconds in MACHINE_JOBS:
            threading.Thread(target=_repeat_job, args=(app, job, seconds, stopped), name=job, daemon=True).start()
        _log.info("worker ready", threads=calls, recording_threads=recordings)
        _trim_when_idle(workers, stopped)
        _stop_workers(workers)


def list_thread_queues(calls: int, recordings: int) -> list[str]:
    """The queue of each thread of a worker process."""
    return [CALLS] * calls + [RECORDINGS] * recordings + [BACKGROUND] * BACKGROUND_THREADS


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


def _start_worker(
    app: Flask, workers: list[ThreadWorker], names: list[str], name: str, stopped: threading.Event
) -> None:
    connection = _open_connection()

    def work_loop() -> None:
        while not stopped.is_set():
            try:
                worker = ThreadWorker(
                    app,
                    names,
                    connection=connection,
                    serializer=JSONSerializer,
                    name=f"{name}-{time.monotonic_ns()}",
                    worker_ttl=75,
                )
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
    deadline = time.monotonic() + 8
    while time.monotonic() < deadline and any(worker.is_busy for worker in list(workers)):
        time.sleep(0.02)
    unfinished = sum(worker.is_busy for worker in list(workers))
    for worker in list(workers):
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
