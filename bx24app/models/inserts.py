"""Inserts a row unless it is there already: the same statement on both databases, written once."""

from __future__ import annotations

from typing import Any, cast

from sqlalchemy import CursorResult
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session, scoped_session

from bx24app.models.base import Base, is_sqlite


def insert_or_ignore(session: Session | scoped_session[Any], table: type[Base], **values: Any) -> bool:
    """Insert a row of these values; a row that a unique constraint calls the same stays as it is. Was the row inserted?

    The caller commits. Two processes that insert the same row at once make one.
    """
    insert = sqlite.insert if is_sqlite() else postgresql.insert
    result = cast("CursorResult[Any]", session.execute(insert(table).values(**values).on_conflict_do_nothing()))
    return result.rowcount > 0
