"""The worker process and the periodic process: RQ in threads, the periodic list, the alarm clock of scheduled jobs."""

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

from bx24app.infra import memory, redis_client
from bx24app.infra.logs import get_logger
from bx24app.infra.queue import BACKGROUND, CALLS, JOB_TIMEOUT_SECONDS, QUEUES, RECORDINGS
from bx24app.infra.runtime import runtime

_log = get_logger(__name__)


SWITCH_SECONDS = 0.0005
"""For how long a thread computes while another one wants to. By Python's own 5 ms a card whose drain asks the database thirty times would wait
150 ms beside a flooded portal that is being folded."""


IDLE_CHECK_SECONDS = 2.0


class ThreadWorker(SimpleWorker):
    """An RQ worker in a thread: a waiting portal holds a thread, not a process. Signals and titles are the process's business."""

    death_penalty_class = TimerDeathPenalty

    def __init__(self, app: Flask, queues: list[str], **options: Any) -> None:
        super().__init__(queues, **options)
        self._app = app

    def _install_signal_handlers(self) -> None:
        """Only the main thread may; `run_worker` does."""

    def procline(self, message: str) -> None:
        """The process keeps its own title."""

    def execute_job(self, job: Job, queue: Queue) -> None:
        self.is_busy = True
        try:
            with self._app.app_context():
                super().execute_job(job, queue)
        finally:
            self.is_busy = False
            self.jobs_done += 1

    def heartbeat(self, timeout: int | None = None, pipeline: Any = None) -> None:
        """Between two waits for a job: the place where a worker without signals can be told to stop."""
        if self._stop_requested and not self.is_busy:
            raise StopRequested
        super().heartbeat(timeout, pipeline)

    is_busy = False
    jobs_done = 0
    """Jobs."""


class JobScheduler(RQScheduler):
    """Moves scheduled jobs into their queue when their time has come. Two of them are harmless: a job may run twice."""

    def __init__(self, connection: redis.Redis) -> None:
        super().__init__(list(QUEUES), connection, interval=1, logging_level="WARNING", serializer=JSONSerializer)
        self._acquired_locks = set(QUEUES)

    @property
    def should_reacquire_locks(self) -> bool:
        return False

    def run_until(self, stopped: threading.Event) -> None:
        """Until `stopped`, twice a second."""
        while not stopped.wait(0.5):
            try:
                self.enqueue_scheduled_jobs()  # type: ignore[no-untyped-call]
            except redis.RedisError as error:
                _log.warning("alarm clock waits for Redis", error=type(error).__name__)
                stopped.wait(2)


class JsonCronJob(CronJob):
    """RQ's own periodic job, but queued as JSON: workers here read nothing pickled."""

    def enqueue(self, connection: redis.Redis) -> Job:
        queue = Queue(self.queue_name, connection=connection, serializer=JSONSerializer)
        return queue.enqueue(self.func_name, **self.job_options)


PERIODIC_JOBS: tuple[tuple[str, int, str], ...] = (
    ("sweep", 15, CALLS),
    ("reconcile", 15, BACKGROUND),
    ("look_after_portals", 60, BACKGROUND),
    ("count_figures", 60, BACKGROUND),
    ("watch", 300, BACKGROUND),
    ("close_silent", 900, BACKGROUND),
    ("prune", 3600, BACKGROUND),
)
"""(job of bx24app.jobs, seconds, queue): everything that happens without being told to."""


def list_periodic_jobs() -> list[tuple[str, int, str]]:
    """The list for this configuration: lost calls are looked for as often as it says, or never."""
    every = runtime().config.reconcile_seconds
    known = [(job, min(seconds, every) if job == "reconcile" else seconds, queue) for job, seconds, queue in PERIODIC_JOBS]
    return [one for one in known if one[1]]


def _open_connection() -> redis.Redis:
    """A client for blocking reads: no read time-out of our own."""
    config = runtime().config
    return redis_client.connect(config.redis_url, config.ca_bundle, socket_connect_timeout=5, health_check_interval=30)


def run_worker(app: Flask, calls: int, recordings: int) -> None:
    """One worker process: `calls` threads for portals, `recordings` threads for files and background work, until SIGTERM.

    Files have threads of their own, so that a thousand waiting recordings never delay a card.
    """
    sys.setswitchinterval(SWITCH_SECONDS)
    memory.limit_arenas()
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    workers: list[ThreadWorker] = []
    with app.app_context():
        for index in range(calls + recordings):
            names = [CALLS] if index < calls else [RECORDINGS, BACKGROUND]
            _start_worker(app, workers, names, f"{os.uname().nodename}-{os.getpid()}-{index}", stopped)
        _log.info("worker ready", threads=calls, recording_threads=recordings)
        _trim_when_idle(workers, stopped)
        _stop_workers(workers)


def _trim_when_idle(workers: list[ThreadWorker], stopped: threading.Event) -> None:
    """Until `stopped`: when the work is done for now, what it needed goes back to the system."""
    given_back = 0
    while not stopped.wait(IDLE_CHECK_SECONDS):
        done = sum(worker.jobs_done for worker in list(workers))
        if done != given_back and not any(worker.is_busy for worker in list(workers)):
            memory.trim()
            given_back = done


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
    """Finish the work in hand within 8 s; what is then still open counts as answer lost, and the next start looks before it repeats."""
    runtime().stop_event.set()
    until = time.monotonic() + 8
    while time.monotonic() < until and any(worker.is_busy for worker in list(workers)):
        time.sleep(0.02)
    left = sum(worker.is_busy for worker in list(workers))
    for worker in list(workers):
        try:
            worker.register_death()  # type: ignore[no-untyped-call]
        except redis.RedisError:
            break  # Redis went first; its registry goes by its own time to live
    _log.info("worker ended", unfinished=left)
    os._exit(0)  # threads blocked in Redis need no farewell


def run_cron(app: Flask) -> None:
    """The periodic list and the alarm clock, until SIGTERM. Two of them are safe."""
    with app.app_context():
        stopped = threading.Event()
        clock = JobScheduler(_open_connection())
        threading.Thread(target=clock.run_until, args=(stopped,), name="alarm-clock", daemon=True).start()
        while not stopped.is_set():
            scheduler = CronScheduler(runtime().redis, logging_level="WARNING")
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
                stopped.set()  # it returns when told to stop
            except redis.RedisError as error:
                _log.warning("cron waits for Redis", error=type(error).__name__)
                stopped.wait(2)
