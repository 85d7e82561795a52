"""Tells an error that one row of work causes from an error of the machinery around it.

Loops over rows ask `blames_row` before they set a row aside: an error of the row would come again with every try, while
a database that is away, a deadlock or a full disk says nothing about the row, fails the whole run and is tried again.
"""

from __future__ import annotations

import sqlite3
import traceback

import redis
from rq.timeouts import BaseTimeoutException
from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    IntegrityError,
    NotSupportedError,
    ProgrammingError,
    StatementError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeout

_POSTGRESQL_CLASSES = ("21", "22", "23", "54")
"""SQLSTATE: cardinality, data, integrity constraint, program limit (an index row that is too large)."""
_SQLITE_CODES = (sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_RANGE)
_MACHINERY = (redis.RedisError, OSError, MemoryError, BaseTimeoutException, PoolTimeout)
_MAX_REASON = 300


def blames_row(error: Exception) -> bool:
    """Would this row raise the error again, however well database, disk and network are?"""
    if isinstance(error, _MACHINERY):
        return False
    if not isinstance(error, DBAPIError):
        return True
    if error.connection_invalidated:
        return False
    state = getattr(error.orig, "sqlstate", None)
    if state is not None:
        return str(state)[:2] in _POSTGRESQL_CLASSES
    code = getattr(error.orig, "sqlite_errorcode", None)
    if code is not None:
        return code & 0xFF in _SQLITE_CODES
    # The driver itself refused a value and asked no database. A closed connection is the exception: sqlite3 has neither
    # a code nor a class for it.
    if isinstance(error, ProgrammingError):
        return "closed" not in str(error.orig)
    return isinstance(error, DataError | IntegrityError | NotSupportedError)


def describe_error(error: Exception) -> str:
    """One line for people and for the log: what was raised and where, without the values of the row."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "/bx24app/" in frame.filename]
    where = f" in {frames[-1].filename.rpartition('/bx24app/')[2]}:{frames[-1].lineno}" if frames else ""
    return f"{_describe_cause(error)}{where}"[:_MAX_REASON]


def _describe_cause(error: Exception) -> str:
    """The database's own words have no values in their first line; those of other errors may have."""
    if not isinstance(error, StatementError) or error.orig is None:
        return type(error).__name__
    first = str(error.orig).splitlines()[:1]
    is_database = isinstance(error, DBAPIError)
    return f"{type(error.orig).__name__}: {first[0]}" if is_database and first else type(error.orig).__name__
