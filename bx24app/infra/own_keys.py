"""The names of the app's own keys in Redis: each holds the id of the database that it belongs to.

Keys speak of row ids, and row ids come again in another database or after a restore. With the id in their names the
keys of two databases never meet. `keyed_redis` asks here for every key of every command, so no caller can forget it.
"""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import redis
import structlog

from bx24app.infra.clock import utcnow

_log = structlog.get_logger(__name__)

PREFIX = "bx24app:"
CHECK_SECONDS = 10.0
"""How long a process works with the id that it has read."""
OLD_NAMES = re.compile(
    r"(?:wake|alarm|gather|pace|refresh|circuit|budget|flood|clock|admin|mango|count):.+|circuits|clock|figures|bx24app:acks"
)
"""The keys of versions before 0019. While such processes may run beside this one (`DatabaseId.old_names_until`), both
use these names: they share flags and locks, so nothing is done twice and no wake-up waits for the other's flag."""


@dataclass(frozen=True, slots=True)
class DatabaseId:
    """The random id of one life of the database; a restored database gets a new one."""

    value: str
    old_names_until: datetime | None = None
    """Until when processes of a version before 0019 may still run beside this one."""


class KeyNames:
    """The names for one application. `read` gives the database's id, None if the database does not answer."""

    def __init__(self, read: Callable[[], DatabaseId | None]) -> None:
        self._read, self._current, self._checked_at = read, None, 0.0
        self.on_change: Callable[[], None] = lambda: None
        """Called when the id is another one than before: the database was replaced under a running process."""

    _current: DatabaseId | None

    def __call__(self, name: str) -> str:
        """The key under which `name` lies in Redis.

        Raises:
            redis.ConnectionError: the database has not yet said its id. Callers treat it as a Redis that is away.
        """
        current = self.database_id()
        if _may_old_processes_run(current) and OLD_NAMES.fullmatch(name):
            return name
        return f"{PREFIX}{current.value}:{name}"

    def claim_scope(self) -> str:
        """What binds a signed claim with row ids to this database; empty while older processes read the claims too.
        Raises as a call does.
        """
        current = self.database_id()
        return "" if _may_old_processes_run(current) else current.value

    def database_id(self) -> DatabaseId:
        """The database's id, at most `CHECK_SECONDS` old while the database answers. Raises as a call does."""
        now, current = time.monotonic(), self._current
        if current is not None and now - self._checked_at < CHECK_SECONDS:
            return current
        self._checked_at = now
        fresh = self._read()
        if fresh is None and current is None:
            raise redis.ConnectionError("the database has not said its id")
        if fresh is not None and current is not None and fresh.value != current.value:
            _log.warning("database replaced", before=current.value, now=fresh.value)
            self.on_change()
        self._current = fresh or current
        return self._current  # type: ignore[return-value]  # one of both is there


def _may_old_processes_run(current: DatabaseId) -> bool:
    return current.old_names_until is not None and utcnow() < current.old_names_until


def end_process() -> None:
    """For `KeyNames.on_change` of a process that somebody starts again: nothing that it remembers may be trusted."""
    os.kill(os.getpid(), signal.SIGTERM)
