"""The heartbeat of a worker process: it counts in the database every 5 s, and looks who has died.

A death on the same machine is seen by the lock of the dead worker's file, by the next beat of any other worker: its
replacement's first beat, at the latest. Another machine's is seen by its silence (`domain.silence`). Redis plays no
part: a flush frees nothing that a living worker holds.
"""

from __future__ import annotations

import threading
import time

from flask import Flask
from sqlalchemy import select, update
from sqlalchemy.exc import SQLAlchemyError

from bx24app.calls.leases.release import release_worker
from bx24app.domain.silence import SilenceWatch
from bx24app.infra import queue, worker_files
from bx24app.infra.leases import worker_name
from bx24app.infra.logs import get_logger
from bx24app.infra.runtime import runtime
from bx24app.infra.worker_files import WorkerFile
from bx24app.models import db, utcnow
from bx24app.models.workers import WorkerProcess

_log = get_logger(__name__)

BEAT_SECONDS = 5.0
SWEEPS_AFTER_DEATH = 2
"""Beats after a death at which everything that is due is woken: its last wake-ups died with the worker."""


class Heartbeat:
    """The beats of one worker process, and what it knows of the others."""

    def __init__(self) -> None:
        self._name, self._data_dir = worker_name(), runtime().config.data_dir
        self._file = WorkerFile(self._data_dir, self._name)
        self._watch = SilenceWatch()
        self._sweeps_left = 0

    def beat_once(self) -> None:
        """Count, and free what the dead had in hand. A database that does not answer is tried at the next beat."""
        try:
            self._count_beat()
            dead_here = worker_files.list_dead(self._data_dir)
            for name in {*dead_here, *self._find_silent()}:
                release_worker(name)
                self._sweeps_left = SWEEPS_AFTER_DEATH
            for name in dead_here:
                worker_files.forget_dead(self._data_dir, name)
            if self._sweeps_left:
                self._sweeps_left -= 1
                queue.enqueue_background("sweep")  # not here: a sweep that has to wait would stop the beats
        except SQLAlchemyError as error:
            _log.warning("heartbeat missed", error=type(error).__name__)
        finally:
            db.session.remove()

    def _count_beat(self) -> None:
        mine, now = WorkerProcess.name == self._name, utcnow()
        beat = update(WorkerProcess).where(mine).values(beats=WorkerProcess.beats + 1, beat_at=now)
        if not db.session.execute(beat).rowcount:  # type: ignore[attr-defined]
            db.session.add(WorkerProcess(name=self._name, beats=0, started_at=now, beat_at=now))
        db.session.commit()

    def _find_silent(self) -> list[str]:
        rows = db.session.execute(select(WorkerProcess.name, WorkerProcess.beats)).all()
        db.session.rollback()
        return self._watch.observe({row.name: row.beats for row in rows if row.name != self._name})


def start_heartbeat(app: Flask) -> None:
    """Beat once, then for ever in a thread. A worker calls it before it takes work."""
    with app.app_context():
        heartbeat = Heartbeat()
        heartbeat.beat_once()

    def beat_for_ever() -> None:
        while True:
            time.sleep(BEAT_SECONDS)
            with app.app_context():
                try:
                    heartbeat.beat_once()
                except Exception:  # noqa: BLE001 - a worker that does not beat counts as dead
                    _log.exception("heartbeat failed")

    threading.Thread(target=beat_for_ever, name="heartbeat", daemon=True).start()
