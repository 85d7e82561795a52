"""For migrations: create and drop indexes while others write.

PostgreSQL's CREATE INDEX blocks every writer of its table until it is done, for minutes on a large one. CONCURRENTLY
does not block them, but must run outside a transaction. SQLite has one writer anyway.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import sqlalchemy as sa
from alembic import op


def create_index(name: str, table: str, columns: Sequence[str], where: str | None = None) -> None:
    """Create an index without blocking writers.

    An invalid one of the same name, left by an interrupted run, is dropped first.
    """
    only = sa.text(where) if where is not None else None
    if op.get_context().dialect.name != "postgresql":
        op.create_index(name, table, list(columns), sqlite_where=only)
        return
    with _outside_transaction():
        op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
        op.create_index(name, table, list(columns), postgresql_where=only, postgresql_concurrently=True)


def drop_index(name: str, table: str) -> None:
    """Drop an index without blocking writers."""
    if op.get_context().dialect.name != "postgresql":
        op.drop_index(name, table)
        return
    with _outside_transaction():
        op.drop_index(name, table, postgresql_concurrently=True, if_exists=True)


@contextmanager
def _outside_transaction() -> Iterator[None]:
    """Outside a transaction and without a lock time-out: the statement waits for the oldest transaction, but nobody
    waits for the statement.
    """
    with op.get_context().autocommit_block():
        op.execute("SET lock_timeout = 0")
        yield
        op.execute("SET lock_timeout = '10s'")
