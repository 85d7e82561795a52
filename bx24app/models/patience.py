"""Stores what has happened outside although the database is away: an answer that is not stored looks like a lost one.

A drain calls it with the answers of its requests, a recording's try with its result, an intent with what is left of it.
Their rows carry the name of this process, so nobody else goes on with them while it lives: without a further try they
would wait until they are given up by age, requests for two minutes, intents for fifteen, recordings for twenty.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from bx24app.infra.logs import get_logger
from bx24app.infra.row_errors import blames_row
from bx24app.infra.runtime import runtime
from bx24app.models.base import db

T = TypeVar("T")
_log = get_logger(__name__)

RETRY_SECONDS = 2.0
PATIENCE_SECONDS = 90.0
"""Shorter than the time after which the sweep gives a request up (`calls.sweep.ANSWER_TIMEOUT`)."""


def is_database_away(error: BaseException) -> bool:
    """Is this the database's error, and no row's: it is away, locked or full?"""
    return isinstance(error, DBAPIError | PoolTimeout) and not blames_row(error)


def store_patiently(store: Callable[[], T]) -> T:
    """Call `store`, a transaction that may be repeated, and again while the database is away, locked or full.

    Raises:
        Exception: what `store` raised because of a row, or what it still raises after `PATIENCE_SECONDS` or when this
            process ends.
    """
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return store()
        except Exception as error:
            db.session.remove()
            if not is_database_away(error) or time.monotonic() > give_up_at:
                raise
            _log.warning("answer not stored, trying again", error=type(error).__name__)
            if runtime().stop_event.wait(RETRY_SECONDS):
                raise
