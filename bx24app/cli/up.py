"""`bx24app up` and its parts one by one: what runs in which process."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from functools import partial

from flask import Flask

from bx24app import create_app, jobs
from bx24app.config import Config
from bx24app.infra import embedded_redis
from bx24app.infra import migrate as migrating
from bx24app.infra.processes.supervisor import Part, run_up
from bx24app.infra.processes.web_server import address_of, listen, web_part
from bx24app.models import db

MIGRATION_LOCK = 2853
"""Advisory lock of PostgreSQL: two machines that start at once migrate one after the other."""


def with_redis(config: Config) -> Config:
    """The configuration with the embedded Valkey's address where none is given."""
    return config if config.redis_url else config.model_copy(update={"redis_url": embedded_redis.url(config.data_dir)})


def sized(config: Config) -> tuple[int, int, int]:
    """(worker processes, threads for portals, threads for recordings) of this machine."""
    cores = os.cpu_count() or 1
    workers = config.workers or max(1, cores // 2)
    threads = config.worker_threads or 24
    return workers, threads, max(2, threads // 6)


def migrate(app: Flask) -> None:
    """Bring the database to the newest migration."""
    from flask_migrate import upgrade
    from sqlalchemy import text

    with app.app_context():
        if db.engine.dialect.name == "postgresql":
            with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                # Asked again and again, outside a transaction: an index that is made beside the writers waits for every statement
                # that began before it, so one that waited for this lock would wait for ever.
                while not connection.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": MIGRATION_LOCK}):
                    time.sleep(0.2)
                try:
                    upgrade()
                finally:
                    connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": MIGRATION_LOCK})
        else:
            (app.extensions["bx24app"].config.data_dir).mkdir(parents=True, exist_ok=True)
            upgrade()
        db.engine.dispose()


def _forked(app: Flask) -> Flask:
    """In a child: connections of the parent are not ours."""
    with app.app_context():
        db.engine.dispose(close=False)
    return app


def _worker(app: Flask, calls: int, recordings: int) -> None:
    from bx24app.infra.worker import run_worker

    jobs.use(app)
    run_worker(_forked(app), calls, recordings)


def _cron(app: Flask) -> None:
    from bx24app.infra.worker import run_cron

    run_cron(_forked(app))


def up(
    config: Config, host: str, port: int, more: list[Part] | None = None, ready: Callable[[str], None] | None = None
) -> int:
    """Everything in one process tree; returns the exit code."""
    owns_redis = not config.redis_url
    config = with_redis(config)
    app = create_app(config)
    _preload()
    listener = listen(host, port)
    migrating.apart(partial(migrate, app))
    workers, calls, recordings = sized(config)
    parts = [embedded_redis.part(config.data_dir)] if owns_redis else []
    parts += more or []
    parts += [
        web_part(partial(_forked, app), listener),
        Part("worker", partial(_worker, app, calls, recordings), count=workers),
        Part("cron", partial(_cron, app)),
    ]
    address = address_of(listener)

    def said() -> None:
        print(f"bx24app ready on {address}", flush=True)
        if ready is not None:
            ready(address)

    return run_up(parts, said)


def alone(config: Config, part: Callable[[Flask], Part]) -> int:
    """One part by itself, for more than one machine."""
    app = create_app(config)
    _preload()
    return run_up([part(app)])


def web(config: Config, host: str, port: int) -> int:
    listener = listen(host, port)

    def part(app: Flask) -> Part:
        return web_part(partial(_forked, app), listener)

    app = create_app(config)
    _preload()
    return run_up([part(app)], lambda: print(f"bx24app ready on {address_of(listener)}", flush=True))


def worker(config: Config) -> int:
    workers, calls, recordings = sized(config)
    return alone(config, lambda app: Part("worker", partial(_worker, app, calls, recordings), count=workers))


def cron(config: Config) -> int:
    return alone(config, lambda app: Part("cron", partial(_cron, app)))


def _preload() -> None:
    """Load what the parts need before the fork, so that they share its memory."""
    from sqlalchemy.orm import configure_mappers

    import bx24app.infra.worker  # noqa: F401

    configure_mappers()
    sys.stdout.flush()
