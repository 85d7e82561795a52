"""Alembic, loaded only where migrations run: what it takes would otherwise be copied into every process of the tree."""

from __future__ import annotations

import multiprocessing
import os
from functools import partial
from pathlib import Path
from typing import Any

from flask import Flask

from bx24app.infra.processes.child_process import die_with_parent


class LazyMigrate:
    """Stands where Flask-Migrate looks for itself in an application, and puts it there when it is first asked for something."""

    def __init__(self, app: Flask, directory: Path) -> None:
        self._app, self._directory = app, directory

    def __getattr__(self, name: str) -> Any:
        from flask_migrate import Migrate

        Migrate(self._app, self._app.extensions["sqlalchemy"], directory=str(self._directory), render_as_batch=True)
        return getattr(self._app.extensions["migrate"], name)


def in_subprocess(migrate: partial[None]) -> None:
    """Run it in a forked process, so that this one stays as small as it was.

    Raises:
        Exception: what it raised there, or RuntimeError if it was killed.
    """
    fork = multiprocessing.get_context("fork")
    ours, theirs = fork.Pipe(duplex=False)
    process = fork.Process(target=_run_migration, args=(migrate, theirs, os.getpid()), daemon=True)
    process.start()
    theirs.close()
    try:
        met = ours.recv()
    except EOFError:
        met = RuntimeError("the process that migrated the database was killed")
    process.join()
    if met is not None:
        raise met


def _run_migration(migrate: partial[None], told: Any, parent: int) -> None:
    die_with_parent(parent)
    met = None
    try:
        migrate()
    except (Exception, SystemExit) as error:  # noqa: BLE001 - raised again in the parent
        met = error
    told.send(met)
