"""USE CASE: notifications into the inbox, on disk before anybody says 200; those that wait in this process at once share one commit.

One connection a process, one INSERT a notification, nothing asked before it. What a process remembers of a hook (`Guard`) is held against
the tables by that same INSERT: where it is no longer true, nothing is stored, and whoever asked looks the hook up anew.
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
from bx24app.models import Notification, db

MAX_ROWS = 16
"""Notifications that share a commit of SQLite: as many as threads wait."""
_COLUMNS = (
    "portal_id", "pbx_id", "dialect", "name", "entry_id", "command_id", "dedup_key", "body", "state", "reason", "received_at",
)  # fmt: skip
_TYPES = ("bigint", "bigint", *("text",) * 8, "timestamptz", "boolean", "text", "bytea", "bytea", "text")
"""Of the columns, then of the guard: whether none is needed, hook hash, API key, salt, dialects. `column1` … in the statement."""
_INSERT = """
INSERT INTO notification ({names}) SELECT {columns} FROM (VALUES {rows}) AS told
WHERE column12 OR EXISTS (
    SELECT 1 FROM pbx JOIN portal ON portal.id = pbx.portal_id
    WHERE pbx.id = column2 AND pbx.removed_at IS NULL AND portal.state <> 'removed' AND pbx.refused_count = 0
    AND (pbx.hook_hash = column13 OR (pbx.old_hook_hash = column13 AND pbx.old_hook_until > column11))
    AND pbx.api_key = column14 AND pbx.api_salt = column15 AND pbx.dialects = column16
) ON CONFLICT DO NOTHING
"""


@cache
def _insert_statement(postgresql: bool, count: int) -> str:
    """For so many rows. PostgreSQL must be told the types, which it cannot guess here; SQLite takes values as they are."""
    row = ", ".join(f"CAST(%s AS {kind})" if postgresql else "?" for kind in _TYPES)
    columns = ", ".join(f"column{number + 1}" for number in range(len(_COLUMNS)))
    return _INSERT.format(names=", ".join(_COLUMNS), columns=columns, rows=", ".join([f"({row})"] * count))


@dataclass(frozen=True, slots=True)
class Guard:
    """What must still stand in the tables for a remembered hook to be true: nobody rotated, removed, re-keyed, re-sealed or refused since."""

    hook_hash: str
    api_key: bytes
    """As it is stored, sealed."""
    api_salt: bytes
    dialects: str


_EMPTY_GUARD = Guard("", b"", b"", "")


def store(row: dict[str, Any], guard: Guard | None = None) -> bool:
    """Store a row of the inbox. Returns after the commit: is it known to be new?

    False: it is there, whoever stored it; or, where there is a `guard`, that may no longer hold, and nothing may be stored: look again.

    Ends this thread's session, so that the two never wait for each other.

    Raises:
        DBAPIError: the database does not answer, or refuses; nothing is stored.
    """
    if db.session.registry.has():
        db.session.commit()
    return _inbox_writer().store(row, guard)


def _inbox_writer() -> InboxWriter:
    return runtime().get(InboxWriter)


class _PendingRow:
    """One notification on its way; `new` and `failed` tell how it went once it is `done`."""

    __slots__ = ("error", "is_done", "is_new", "values")

    def __init__(self, values: tuple[Any, ...]) -> None:
        self.values, self.is_new, self.is_done = values, False, False
        self.error: Exception | None = None


class InboxWriter:
    """The connections of a process for storing, kept for the next who stores.

    PostgreSQL: one for each who stores at the same time; the server joins their commits by itself. SQLite: one, and those who come while it writes
    queue up; the next to write stores for all of them at once, and they find it done.
    """

    def __init__(self, engine: Engine | None = None) -> None:
        engine = engine or db.engine
        self._engine, self._free_connections = engine, deque[PoolProxiedConnection]()
        self._is_postgresql = engine.dialect.name == "postgresql"
        self._queue, self._write_lock = deque[_PendingRow](), threading.Lock()
        self._database_error: type[Exception] = engine.dialect.loaded_dbapi.Error
        self._operational_error: type[Exception] = engine.dialect.loaded_dbapi.OperationalError
        kind = Notification.__table__.c.received_at.type.dialect_impl(engine.dialect)
        self._bind_datetime: Callable[[datetime], Any] = kind.bind_processor(engine.dialect) or (lambda value: value)
        event.listen(engine, "engine_disposed", lambda _: self.close())

    def store(self, row: dict[str, Any], guard: Guard | None) -> bool:
        mine = _PendingRow(self._row_values(row, guard))
        if self._is_postgresql:
            self._store_batch([mine])
        else:
            self._queue.append(mine)
            with self._write_lock:
                while not mine.is_done:
                    self._store_batch([self._queue.popleft() for _ in range(min(len(self._queue), MAX_ROWS))])
        if mine.error is not None:
            raise DBAPIError.instance("INSERT INTO notification", None, mine.error, self._database_error, hide_parameters=True)
        return mine.is_new

    def close(self) -> None:
        """Give all connections up; the next notification opens another."""
        while self._free_connections:
            self._free_connections.pop().invalidate()

    def _row_values(self, row: dict[str, Any], guard: Guard | None) -> tuple[Any, ...]:
        held = guard or _EMPTY_GUARD
        columns = (*(row[name] for name in _COLUMNS[:-1]), self._bind_datetime(row["received_at"]))
        return (*columns, guard is None, held.hook_hash, held.api_key, held.api_salt, held.dialects)

    def _store_batch(self, batch: list[_PendingRow]) -> None:
        """Store them all or tell each why not; one that cannot be stored does not take the others with it."""
        try:
            stored = self._execute_with_retry([value for one in batch for value in one.values], len(batch))
        except Exception as error:  # noqa: BLE001 - of whatever kind: it is told to everybody who waits
            if len(batch) > 1 and not isinstance(error, self._operational_error):
                for one in batch:
                    self._store_batch([one])
                return
            for one in batch:
                one.error, one.is_done = error, True
        else:
            for one in batch:
                one.is_new, one.is_done = stored == len(batch), True  # which of them are not new is not asked: it is rare

    def _execute_with_retry(self, values: list[Any], count: int) -> int:
        """By a kept connection; where that broke since it was used last, so did probably all, and a new one is opened, once. Whether it stored
        before it broke does not matter: nothing is stored twice."""
        try:
            link = self._free_connections.pop()
        except IndexError:
            return self._execute(self._open_connection(), values, count)
        raw = link.dbapi_connection
        try:
            return self._execute(link, values, count)
        except self._database_error as error:
            if not self._engine.dialect.is_disconnect(error, raw, None):  # type: ignore[arg-type]
                raise
            self.close()
            return self._execute(self._open_connection(), values, count)

    def _open_connection(self) -> PoolProxiedConnection:
        link = self._engine.raw_connection()
        if self._is_postgresql:
            link.dbapi_connection.autocommit = True  # type: ignore[union-attr] # SQLite's does so already, see `make_durable`
        return link

    def _execute(self, link: PoolProxiedConnection, values: list[Any], count: int) -> int:
        """One statement, which is one transaction: on disk when this returns. How many are new?"""
        raw: Any = link.dbapi_connection
        good = False
        try:
            stored: int = raw.execute(_insert_statement(self._is_postgresql, count), values).rowcount
            good = True
        finally:
            if good:
                self._free_connections.append(link)
            else:
                link.invalidate()
        return stored
