"""Runs migrations, and other work before the start, in a process of its own, so that no process of the tree holds what
only they load."""

from __future__ import annotations

import multiprocessing
import os
from functools import partial
from pathlib import Path
from typing import Any

from flask import Flask

from bx24app.infra.processes.child_process import die_with_parent


class LazyMigrate:
    """A stand-in for Flask-Migrate in `app.extensions`, which loads it when it is first used."""

    def __init__(self, app: Flask, directory: Path) -> None:
        self._app, self._directory = app, directory

    def __getattr__(self, name: str) -> Any:
        from flask_migrate import Migrate

        Migrate(self._app, self._app.extensions["sqlalchemy"], directory=str(self._directory), render_as_batch=True)
        return getattr(self._app.extensions["migrate"], name)


def in_subprocess(work: partial[None]) -> None:
    """Do `work` in a forked process, so that this process does not grow and opens no connection.

    Raises:
        Exception: what `work` raised there, or RuntimeError if the process was killed.
    """
    fork = multiprocessing.get_context("fork")
    receiver, sender = fork.Pipe(duplex=False)
    process = fork.Process(target=_run_work, args=(work, sender, os.getpid()), daemon=True)
    process.start()
    sender.close()
    try:
        error = receiver.recv()
    except EOFError:
        error = RuntimeError("the process that prepared the start was killed")
    process.join()
    if error is not None:
        raise error


def _run_work(work: partial[None], sender: Any, parent: int) -> None:
    die_with_parent(parent)
    failure = None
    try:
        work()
    except (Exception, SystemExit) as error:  # noqa: BLE001 - raised again in the parent
        failure = error
    sender.send(failure)
