"""Writes notifications into the inbox; they are on disk before the receiver answers 200. Called by `receiver`.

A notification takes one INSERT on a connection that is kept open, and no query before it. On SQLite notifications that
wait at the same time share one commit. The same INSERT compares what the process has cached of the hook (`Guard`) with
the tables. If that no longer holds, nothing is stored, and the receiver looks the hook up again.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import Engine, PoolProxiedConnection, event
from sqlalchemy.exc import DBAPIError

from bx24app.infra.runtime import runtime
from bx24app.infra.sqlite_turns import SqliteTurns
from bx24app.models import Notification, db

BUSY_MILLISECONDS = 1200
"""How long an INSERT waits for another program's write lock on SQLite; the web layer tries again, for six seconds."""
MAX_ROWS = 16
"""How many notifications may share a commit of SQLite: as many as there are threads."""
_COLUMNS = (
    "portal_id", "pbx_id", "dialect", "name", "entry_id", "command_id", "dedup_key", "body", "state", "reason",
    "received_at",
)  # fmt: skip
_TYPES = ("bigint", "bigint", *("text",) * 8, "timestamptz", "boolean", "text", "bytea", "bytea", "text")
"""Types of the columns, then of the guard: whether none is needed, hook hash, API key, salt, dialects. `column1` … in
the statement."""
_INSERT = """
INSERT INTO notification ({names}) SELECT {columns} FROM (VALUES {rows}) AS pending
WHERE column12 OR EXISTS (
    SELECT 1 FROM pbx JOIN portal ON portal.id = pbx.portal_id
    WHERE pbx.id = column2 AND pbx.removed_at IS NULL AND portal.state <> 'removed' AND pbx.refused_count = 0
    AND (pbx.hook_hash = column13 OR (pbx.old_hook_hash = column13 AND pbx.old_hook_until > column11))
    AND pbx.api_key = column14 AND pbx.api_salt = column15 AND pbx.dialects = column16
) ON CONFLICT DO NOTHING
"""


@cache
def _insert_statement(postgresql: bool, count: int) -> str:
    """The statement for this many rows. PostgreSQL needs the types, which it cannot infer here; SQLite does not."""
    row = ", ".join(f"CAST(%s AS {kind})" if postgresql else "?" for kind in _TYPES)
    columns = ", ".join(f"column{number + 1}" for number in range(len(_COLUMNS)))
    return _INSERT.format(names=", ".join(_COLUMNS), columns=columns, rows=", ".join([f"({row})"] * count))


@dataclass(frozen=True, slots=True)
class Guard:
    """What the tables must still hold for a cached hook to be valid: it was not rotated, removed, given new keys,
    re-encrypted or refused."""

    hook_hash: str
    api_key: bytes
    """As it is stored, encrypted."""
    api_salt: bytes
    dialects: str


_EMPTY_GUARD = Guard("", b"", b"", "")


def store(row: dict[str, Any], guard: Guard | None = None) -> bool:
    """Store a row of the inbox. Returns after the commit, True if the row is known to be new.

    False: the row exists already; or there is a `guard` that may no longer hold, and nothing may be stored: look the
    hook up again.

    Ends this thread's session, so that the session and the writer's connection never wait for each other.

    Raises:
        DBAPIError: the database does not answer, or refuses; nothing is stored.
    """
    if db.session.registry.has():
        db.session.commit()
    return _inbox_writer().store(row, guard)


def _inbox_writer() -> InboxWriter:
    return runtime().get(InboxWriter)


class _PendingRow:
    """One notification on its way. `is_new` and `error` are valid once it `is_done`."""

    __slots__ = ("error", "is_done", "is_new", "values")

    def __init__(self, values: tuple[Any, ...]) -> None:
        self.values, self.is_new, self.is_done = values, False, False
        self.error: Exception | None = None


class InboxWriter:
    """The connections of a process for storing, which are kept open.

    PostgreSQL: one for each thread that stores at the same time; the server groups their commits. SQLite: one. Threads
    that come while it writes queue their rows; the next thread that gets the lock stores all of them at once.
    """

    def __init__(self, engine: Engine | None = None) -> None:
        engine = engine or db.engine
        self._engine, self._free_connections = engine, deque[PoolProxiedConnection]()
        self._is_postgresql = engine.dialect.name == "postgresql"
        self._turns, self._data_dir = SqliteTurns(), runtime().config.data_dir
        self._queue, self._write_lock = deque[_PendingRow](), threading.Lock()
        self._database_error: type[Exception] = engine.dialect.loaded_dbapi.Error
        self._operational_error: type[Exception] = engine.dialect.loaded_dbapi.OperationalError
        kind = Notification.__table__.c.received_at.type.dialect_impl(engine.dialect)
        self._bind_datetime: Callable[[datetime], Any] = kind.bind_processor(engine.dialect) or (lambda value: value)
        event.listen(engine, "engine_disposed", lambda _: self.close())

    def store(self, row: dict[str, Any], guard: Guard | None) -> bool:
        pending = _PendingRow(self._row_values(row, guard))
        if self._is_postgresql:
            self._store_batch([pending])
        else:
            self._queue.append(pending)
            with self._write_lock:
                while not pending.is_done:
                    self._store_in_turn([self._queue.popleft() for _ in range(min(len(self._queue), MAX_ROWS))])
        if pending.error is not None:
            raise DBAPIError.instance(
                "INSERT INTO notification", None, pending.error, self._database_error, hide_parameters=True
            )
        return pending.is_new

    def close(self) -> None:
        """Close all connections; the next notification opens another."""
        while self._free_connections:
            self._free_connections.pop().invalidate()

    def _row_values(self, row: dict[str, Any], guard: Guard | None) -> tuple[Any, ...]:
        expected = guard or _EMPTY_GUARD
        columns = (*(row[name] for name in _COLUMNS[:-1]), self._bind_datetime(row["received_at"]))
        return (*columns, guard is None, expected.hook_hash, expected.api_key, expected.api_salt, expected.dialects)

    def _store_in_turn(self, batch: list[_PendingRow]) -> None:
        """On SQLite: folds hold the one write lock for most of a flood, and a connection that only polls for it loses.
        """
        with self._turns.inbox_turn(self._data_dir, BUSY_MILLISECONDS / 1e3):
            self._store_batch(batch)

    def _store_batch(self, batch: list[_PendingRow]) -> None:
        """Store all rows, or give each its error. A row that cannot be stored does not keep the others from being
        stored."""
        try:
            stored = self._execute_with_retry([value for row in batch for value in row.values], len(batch))
        except Exception as error:  # noqa: BLE001 - every waiting thread gets it, whatever it is
            if len(batch) > 1 and not isinstance(error, self._operational_error):
                for row in batch:
                    self._store_batch([row])
                return
            for row in batch:
                row.error, row.is_done = error, True
        else:
            for row in batch:
                # Repetitions are rare, so it is not asked which rows of the batch they are.
                row.is_new, row.is_done = stored == len(batch), True

    def _execute_with_retry(self, values: list[Any], count: int) -> int:
        """Execute on a kept connection. If that broke since its last use, all kept ones probably did: they are closed,
        and a new one is tried once. It does not matter whether the broken one stored the rows, since no row is stored
        twice."""
        try:
            connection = self._free_connections.pop()
        except IndexError:
            return self._execute(self._open_connection(), values, count)
        raw = connection.dbapi_connection
        try:
            return self._execute(connection, values, count)
        except self._database_error as error:
            if not self._engine.dialect.is_disconnect(error, raw, None):  # type: ignore[arg-type]
                raise
            self.close()
            return self._execute(self._open_connection(), values, count)

    def _open_connection(self) -> PoolProxiedConnection:
        connection = self._engine.raw_connection()
        if self._is_postgresql:
            # SQLite's connections are in this mode already, see `make_durable`.
            connection.dbapi_connection.autocommit = True  # type: ignore[union-attr]
        else:
            connection.dbapi_connection.execute(f"PRAGMA busy_timeout={BUSY_MILLISECONDS}")  # type: ignore[union-attr]
        return connection

    def _execute(self, connection: PoolProxiedConnection, values: list[Any], count: int) -> int:
        """Execute one statement, which is one transaction: the rows are on disk when this returns. Returns how many are
        new."""
        raw: Any = connection.dbapi_connection
        is_good = False
        try:
            stored: int = raw.execute(_insert_statement(self._is_postgresql, count), values).rowcount
            is_good = True
        finally:
            if is_good:
                self._free_connections.append(connection)
            else:
                connection.invalidate()
        return stored
