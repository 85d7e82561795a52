"""USE CASE: make sure that Redis and spool belong to this database, before anybody works with them and while they work.

Row ids name keys, jobs and files, and come again in another database and after a restore. Redis therefore remembers
which database uses it and how far that database's ids had come (`infra.redis_marker`). Another life's keys and jobs are
deleted, the tables hold all that matters; a Redis that another installation uses is refused and left alone.
"""

from __future__ import annotations

import os
import secrets
import socket
from contextlib import suppress
from pathlib import Path

import redis

from bx24app.calls.recordings import spool_files
from bx24app.domain.database_life import DatabaseMark, Owner, find_owner
from bx24app.infra import redis_marker, spool
from bx24app.infra.logs import get_logger
from bx24app.infra.runtime import runtime
from bx24app.models import DatabaseIdentity, database_identity, db, utcnow

_log = get_logger(__name__)

BEAT_SECONDS = 5.0
"""How often the periodic part says that it works here, and how far the ids have come."""
LOCK_PATIENCE_SECONDS = 20
_SPOOL_MARK = "database"
_FILES_PER_QUERY = 1000


class RedisInUse(Exception):
    """Another installation works with this Redis. The message is one line for the operator."""


def adopt_redis() -> Owner:
    """At the start of whatever works with Redis: whose was it? It is this database's from now on.

    Several processes may do this at once. Not to be called by a process that has already sent jobs.

    Raises:
        RedisInUse: another installation uses it. redis.RedisError: Redis does not answer.
    """
    owner = find_redis_owner()
    if owner is not Owner.SAME:
        owner = _compare(_process_name())
    if owner is Owner.IN_USE:
        raise RedisInUse(
            "BX24APP_REDIS_URL: another installation, or another copy of this database, uses that Redis; give each its"
            " own, for example another number after the last slash. Where the others were killed, or the database was"
            f" restored, stop them all and wait {redis_marker.ALIVE_SECONDS} seconds"
        )
    return owner


def beat() -> Owner:
    """From time to time, by the periodic part: this database still works here.

    A Redis that was emptied learns again whose it is. Raises redis.RedisError.
    """
    owner = _compare(_process_name())
    if owner is Owner.IN_USE:
        _log.error("redis is used by another installation, or by another copy of this database")
    return owner


def stop_beating() -> None:
    """The periodic part ends in good order. Does not raise if Redis does not answer."""
    with suppress(redis.RedisError):
        beat()
        redis_marker.say_goodbye(runtime().queue_redis, _process_name())


def find_redis_owner() -> Owner:
    """Whose Redis it is. Changes nothing. Raises redis.RedisError."""
    client = runtime().queue_redis
    remembered, is_other_alive = redis_marker.read_mark(client), redis_marker.is_other_alive(client, "")
    return find_owner(_read_database(), remembered, is_other_alive)


def _compare(process: str) -> Owner:
    client = runtime().queue_redis
    lock = client.lock(
        redis_marker.LOCK_KEY, timeout=redis_marker.LOCK_SECONDS, blocking_timeout=LOCK_PATIENCE_SECONDS
    )
    with lock:
        # Redis before the tables: ids only grow, so what Redis has can never be ahead of what is read after it.
        remembered, is_other_alive = redis_marker.read_mark(client), redis_marker.is_other_alive(client, process)
        mine = _read_database()
        owner = find_owner(mine, remembered, is_other_alive)
        if owner is Owner.IN_USE:
            return owner
        if owner is Owner.LATER_LIFE:
            mine = DatabaseMark(database_identity.renew(), mine.last_ids)
        if owner in (Owner.LATER_LIFE, Owner.OTHER):
            count = redis_marker.empty(client, lock.reacquire, old_names=_may_have_old_names())
            _log.warning("redis emptied, it was another database's", owner=owner.value, keys=count)
        redis_marker.write_mark(client, mine, process)
        return owner


def _read_database() -> DatabaseMark:
    value = db.session.get_one(DatabaseIdentity, database_identity.ROW).value
    db.session.rollback()
    return DatabaseMark(value, database_identity.read_last_ids())


def _may_have_old_names() -> bool:
    until = db.session.get_one(DatabaseIdentity, database_identity.ROW).old_names_until
    db.session.rollback()
    return until is not None and utcnow() < until


class _ProcessName:
    """The name of this process in Redis. Two containers may have the same host name and number."""

    def __init__(self) -> None:
        self.text = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"


def _process_name() -> str:
    return runtime().get(_ProcessName).text


def adopt_spool() -> int:
    """At the start of a worker: where another database used this spool, delete the files that no recording of this one
    waits for. Returns how many.
    """
    mark, value = spool.folder() / _SPOOL_MARK, _read_database().value
    if mark.exists() and mark.read_text() == value:
        return 0
    paths, files = spool.list_files(), list[Path]()
    for start in range(0, len(paths), _FILES_PER_QUERY):
        some = paths[start : start + _FILES_PER_QUERY]
        waiting = spool_files.stems_of(some, waiting_only=True)
        files += [path for path in some if path.name.split(".", 1)[0] not in waiting]
    db.session.rollback()
    for path in files:
        path.unlink(missing_ok=True)
    try:
        with spool.write_complete(mark) as stream:
            stream.write(value.encode())
    except OSError as error:  # a full disk stops no worker; the next start clears again
        _log.warning("spool not marked", error=error.strerror)
    if files:
        _log.warning("spool cleared of another database's files", files=len(files))
    return len(files)
