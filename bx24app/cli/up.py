"""What `bx24app up`, `web`, `worker` and `cron` run in which process.

The parent migrates the database and loads everything; the supervisor forks the processes from it.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

from flask import Flask

from bx24app import create_app
from bx24app.cli import adopting
from bx24app.config import Config
from bx24app.infra import embedded_redis, own_keys
from bx24app.infra import migrate as migrating
from bx24app.infra.processes.supervisor import ProcessSpec, run_process_tree
from bx24app.infra.processes.web_server import address_of, make_web_spec, open_listener
from bx24app.models import db
from bx24app.models.base import is_sqlite, wait_briefly_for_locks
from bx24app.operations import adoption

MIGRATION_LOCK = 2853
"""Advisory lock of PostgreSQL: two machines that start at the same time migrate one after the other."""


def with_redis(config: Config) -> Config:
    """The configuration, with the address of the embedded Valkey if no Redis is configured."""
    if config.redis_url:
        return config
    return config.model_copy(update={"redis_url": embedded_redis.socket_url(config.data_dir)})


def close_to_others(data_dir: Path) -> None:
    """What versions before the umask left readable by other users of the machine is so no longer."""
    names = ("bx24app.sqlite", "bx24app.sqlite-wal", "bx24app.sqlite-shm", "spool", "keys")
    for path in (data_dir / name for name in names):
        with suppress(OSError):  # not there, or another user's
            path.chmod(path.stat().st_mode & ~0o007)


def size_workers(config: Config) -> tuple[int, int, int]:
    """(worker processes, threads for portals, threads for recordings) of this machine."""
    cores = os.cpu_count() or 1
    workers = config.workers or max(1, cores // 2)
    threads = config.worker_threads or 24
    return workers, threads, max(2, threads // 6)


def migrate_database(app: Flask) -> None:
    """Bring the database to the newest migration."""
    from flask_migrate import upgrade
    from sqlalchemy import text

    with app.app_context():
        if not is_sqlite():
            with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                # Polled, outside a transaction: an index made beside the writers waits for every statement that began
                # before it, so it would wait for ever for a statement that waits for this lock.
                while not connection.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": MIGRATION_LOCK}):
                    time.sleep(0.2)
                try:
                    upgrade()
                finally:
                    connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": MIGRATION_LOCK})
        else:
            (app.extensions["bx24app"].config.data_dir).mkdir(parents=True, exist_ok=True, mode=0o700)
            upgrade()
        db.engine.dispose()


def _drop_parent_connections(app: Flask) -> Flask:
    """In a forked child: drop the connections, which belong to the parent. The supervisor starts it again where the
    database is replaced under it."""
    with app.app_context():
        db.engine.dispose(close=False)
    app.extensions["bx24app"].key_names.on_change = own_keys.end_process
    return app


def load_for_web(app: Flask) -> Flask:
    """In the web process: drop the parent's connections, and wait for Redis and locks as long as somebody who waits."""
    with app.app_context():
        wait_briefly_for_locks(db.engine)
    app.extensions["bx24app"].wait_briefly()
    return _drop_parent_connections(app)


def _worker_target(app: Flask, calls: int, recordings: int) -> None:
    from bx24app.calls.leases.heartbeat import start_heartbeat
    from bx24app.infra.worker import run_worker

    adopting.wait_until_adopted(_drop_parent_connections(app))
    with app.app_context():
        adoption.adopt_spool()
    start_heartbeat(app)
    run_worker(app, calls, recordings)


def _cron_target(app: Flask) -> None:
    from bx24app.infra.worker import run_cron

    adopting.wait_until_adopted(_drop_parent_connections(app))
    with adopting.beating(app):
        run_cron(app)


def run_all(
    config: Config,
    host: str,
    port: int,
    extra_specs: list[ProcessSpec] | None = None,
    on_ready: Callable[[str], None] | None = None,
) -> int:
    """Run everything in one process tree; returns the exit code."""
    owns_redis = not config.redis_url
    config = with_redis(config)
    # Before anything of a running one is touched: a refused second one must not have migrated its database.
    specs = [embedded_redis.make_process_spec(config.data_dir)] if owns_redis else []
    close_to_others(config.data_dir)
    app = create_app(config)
    _preload_modules()
    listener = open_listener(host, port)
    migrating.in_subprocess(partial(migrate_database, app))
    if not owns_redis:
        migrating.in_subprocess(partial(adopting.check_redis, app))
    workers, calls, recordings = size_workers(config)
    specs += extra_specs or []
    specs += [
        make_web_spec(partial(load_for_web, app), listener),
        ProcessSpec("worker", partial(_worker_target, app, calls, recordings), count=workers),
        ProcessSpec("cron", partial(_cron_target, app)),
    ]
    address = address_of(listener)

    def report_ready() -> None:
        print(f"bx24app ready on {address}", flush=True)
        if on_ready is not None:
            on_ready(address)

    return run_process_tree(specs, report_ready)


def run_single(config: Config, part: Callable[[Flask], ProcessSpec]) -> int:
    """Run one kind of process by itself, for installations on several machines."""
    close_to_others(config.data_dir)
    app = create_app(config)
    _preload_modules()
    migrating.in_subprocess(partial(adopting.check_redis, app))
    return run_process_tree([part(app)])


def run_web_only(config: Config, host: str, port: int) -> int:
    listener = open_listener(host, port)

    def make_spec(app: Flask) -> ProcessSpec:
        return make_web_spec(partial(load_for_web, app), listener)

    app = create_app(config)
    _preload_modules()
    migrating.in_subprocess(partial(adopting.check_redis, app))
    return run_process_tree([make_spec(app)], lambda: print(f"bx24app ready on {address_of(listener)}", flush=True))


def run_workers_only(config: Config) -> int:
    workers, calls, recordings = size_workers(config)

    def make_spec(app: Flask) -> ProcessSpec:
        return ProcessSpec("worker", partial(_worker_target, app, calls, recordings), count=workers)

    return run_single(config, make_spec)


def run_cron_only(config: Config) -> int:
    return run_single(config, lambda app: ProcessSpec("cron", partial(_cron_target, app)))


def _preload_modules() -> None:
    """Load before the fork what the processes need, so that they share its memory."""
    from sqlalchemy.orm import configure_mappers

    import bx24app.infra.worker  # noqa: F401

    configure_mappers()
    sys.stdout.flush()
