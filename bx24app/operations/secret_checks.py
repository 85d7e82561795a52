"""Which stored secrets no key decrypts: for the overview, the doctor and the metrics.

A portal with such a secret stands still until the operator gives the key again, or an administrator enters the secret
anew; all others go on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import redis
from sqlalchemy import Column, LargeBinary, Table, literal, select, type_coerce

from bx24app.infra import encryption
from bx24app.infra.encryption import EncryptedText, UndecryptableSecret
from bx24app.infra.logs import get_logger
from bx24app.infra.runtime import runtime
from bx24app.models import Base, Portal, db

_log = get_logger(__name__)

COUNT_KEY = "undecryptable_secrets"
"""In Redis: how many there were when they were last counted, for the metric."""


@dataclass(frozen=True, slots=True)
class UndecryptableColumn:
    """One secret that no key decrypts. `portal_id` None: it belongs to no portal (a registration)."""

    table: str
    row: str
    column: str
    portal_id: int | None

    def __str__(self) -> str:
        return f"{self.table} {self.row}: {self.column}"


def find_undecryptable(portal_id: int | None = None) -> Iterator[UndecryptableColumn]:
    """The secrets that no key decrypts, of one portal or of all portals and registrations."""
    for table in Base.metadata.sorted_tables:
        owner: Any = table.columns.get("id" if table is Portal.__table__ else "portal_id", literal(None))
        if portal_id is not None and not isinstance(owner, Column):
            continue
        for column in table.columns:
            if isinstance(column.type, EncryptedText):
                yield from _find_in_column(table, column, owner, portal_id)


def _find_in_column(
    table: Table, column: Column[Any], owner: Any, portal_id: int | None
) -> Iterator[UndecryptableColumn]:
    query = select(*table.primary_key, owner, type_coerce(column, LargeBinary)).where(column.is_not(None))
    if portal_id is not None:
        query = query.where(owner == portal_id)
    for *key, of_portal, secret in db.session.execute(query.execution_options(yield_per=500)):
        try:
            encryption.decrypt(bytes(secret))
        except UndecryptableSecret:
            yield UndecryptableColumn(table.name, ", ".join(map(str, key)), column.name, of_portal)


def count_undecryptable() -> int:
    """Count them all, for the metric; a part of the hourly `prune`."""
    count = sum(1 for _ in find_undecryptable())
    db.session.rollback()
    try:
        runtime().redis.set(COUNT_KEY, count)
    except redis.RedisError as error:  # the metric keeps its last value; the next count of the hour sets it
        _log.warning("count of undecryptable secrets not stored", count=count, error=type(error).__name__)
    return count
