"""How the processes of `up`, `web`, `worker` and `cron` make sure that Redis and spool are their database's
(`operations.adoption`).

The parent asks before anything starts, so that a wrong Redis is one line and no start. Each worker and scheduler asks
again before it works, since Redis may have been away until then.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import redis
from flask import Flask
from sqlalchemy.exc import SQLAlchemyError

from bx24app.infra.logs import get_logger
from bx24app.models import db
from bx24app.operations import adoption

_log = get_logger(__name__)

_RETRY_SECONDS = 1.0


def check_redis(app: Flask) -> None:
    """Adopt Redis, for a process that ends afterwards. Where Redis or the database is away, the children do it later.

    Raises:
        bx24app.operations.adoption.RedisInUse
    """
    with app.app_context():
        try:
            adoption.adopt_redis()
        except (redis.RedisError, SQLAlchemyError) as error:
            _log.warning("redis not compared with the database yet", error=type(error).__name__)
        db.session.remove()
        db.engine.dispose()


def wait_until_adopted(app: Flask) -> None:
    """In a child that is about to work: adopt Redis, and wait for it and for the database if they are away.

    Raises:
        SystemExit: another installation uses this Redis.
    """
    with app.app_context():
        while True:
            try:
                adoption.adopt_redis()
                return
            except adoption.RedisInUse as error:
                raise SystemExit(f"bx24app: {error}") from None
            except (redis.RedisError, SQLAlchemyError) as error:
                db.session.rollback()
                _log.warning("process waits for database and Redis", error=type(error).__name__)
                time.sleep(_RETRY_SECONDS)


@contextmanager
def beating(app: Flask) -> Iterator[None]:
    """During a `with`: say every few seconds that this database works with Redis."""
    stopped = threading.Event()
    thread = threading.Thread(target=_beat_until, args=(app, stopped), name="beat", daemon=True)
    signal.signal(signal.SIGTERM, _exit_now)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join(adoption.BEAT_SECONDS)
        _say_goodbye(app)


def _exit_now(*_: object) -> None:
    """Until the work in the `with` has a handler of its own."""
    raise SystemExit(0)


def _say_goodbye(app: Flask) -> None:
    with app.app_context():
        try:
            adoption.stop_beating()
        except SQLAlchemyError as error:
            _log.warning("last beat failed", error=type(error).__name__)


def _beat_until(app: Flask, stopped: threading.Event) -> None:
    while True:
        with app.app_context():
            try:
                adoption.beat()
            except (redis.RedisError, SQLAlchemyError) as error:
                _log.warning("beat failed", error=type(error).__name__)
        if stopped.wait(adoption.BEAT_SECONDS):
            return
