"""Connections of the pool: whether one still lives, and those that only read.

`create_app` makes the pool. On PostgreSQL every round trip costs both sides, and a call makes some sixty transactions.
"""

from __future__ import annotations

import time
from typing import Any

from sqlalchemy import Connection, Engine, event, exc
from sqlalchemy.pool import ConnectionPoolEntry

from bx24app.models import db

FRESH_SECONDS = 1.0
"""A connection that was used a moment ago is used again without a question; after a longer rest it is asked first."""


def check_rested_connections(engine: Engine) -> None:
    """Let the pool ask a connection that has rested whether its server still answers. If not, all are replaced."""

    @event.listens_for(engine, "checkin")
    def _note_use(connection: Any, record: ConnectionPoolEntry) -> None:
        record.info["used_at"] = time.monotonic()

    @event.listens_for(engine, "checkout")
    def _ask_rested(connection: Any, record: ConnectionPoolEntry, proxy: Any) -> None:
        used_at = record.info.get("used_at")
        if used_at is None or time.monotonic() - used_at < FRESH_SECONDS:
            return
        try:
            engine.dialect.do_ping(connection)
        except engine.dialect.loaded_dbapi.Error as error:
            raise exc.InvalidatePoolError from error


def open_reader() -> Connection:
    """A connection for a few queries that belong to no transaction: readers wait for no writer, and on PostgreSQL
    each query is one round trip. Close it.
    """
    options: dict[str, Any] = {"read_only": True}
    if db.engine.dialect.name == "postgresql":
        options["isolation_level"] = "AUTOCOMMIT"
    return db.engine.connect().execution_options(**options)
