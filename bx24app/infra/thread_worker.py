"""An RQ worker in a thread of a worker process."""

from __future__ import annotations

from typing import Any

from flask import Flask
from rq import Queue, SimpleWorker
from rq.exceptions import StopRequested
from rq.job import Job
from rq.timeouts import TimerDeathPenalty


class ThreadWorker(SimpleWorker):
    """Works off the jobs of its queues, one at a time. `worker.run_worker` handles signals and the title."""

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

    def request_end(self) -> None:
        """Take nothing more; what is in hand goes on."""
        self._stop_requested = True

    is_busy = False
    jobs_done = 0
    """How many jobs this worker has done."""
