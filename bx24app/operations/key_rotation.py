"""Re-encrypt every stored secret with the first key while the app runs; `bx24app keys rotate` calls this.

A row is written only if its secret is still the one that was read: a grant that a worker refreshes meanwhile keeps its
newer tokens.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Column, LargeBinary, Table, and_, select, type_coerce, update

from bx24app.infra import encryption
from bx24app.infra.encryption import EncryptedText, UndecryptableSecret
from bx24app.models import Base, audit, db

MAX_TRIES = 5
"""How often a secret that changes meanwhile is read again."""


@dataclass(slots=True)
class RotationResult:
    """Secrets that are encrypted with the first key now, and those that no key decrypts (table, row and column)."""

    rotated_count: int = 0
    undecryptable: list[str] = field(default_factory=list)


def rotate_secrets() -> RotationResult:
    """Re-encrypt all secrets with the first key; commits row by row."""
    result = RotationResult()
    for table in Base.metadata.sorted_tables:
        for column in table.columns:
            if isinstance(column.type, EncryptedText):
                _rotate_column(table, column, result)
    audit.record(None, None, "cli", "secrets rotated", done=result.rotated_count, unreadable=len(result.undecryptable))
    db.session.commit()
    return result


def _rotate_column(table: Table, column: Column[Any], result: RotationResult) -> None:
    for row in list(_primary_keys(table)):
        where = and_(*(key == value for key, value in zip(table.primary_key, row, strict=True)))
        for _ in range(MAX_TRIES):
            stored = db.session.scalar(select(type_coerce(column, LargeBinary)).where(where))
            if stored is None:
                break
            try:
                fresh = encryption.encrypt(encryption.decrypt(bytes(stored)))
            except UndecryptableSecret:
                result.undecryptable.append(f"{table.name} {', '.join(map(str, row))}: {column.name}")
                break
            is_unchanged = type_coerce(column, LargeBinary) == stored
            statement = update(table).where(where, is_unchanged).values({column: type_coerce(fresh, LargeBinary)})
            updated: Any = db.session.execute(statement)
            db.session.commit()
            if updated.rowcount:
                result.rotated_count += 1
                break
        db.session.rollback()


def _primary_keys(table: Table) -> Iterator[tuple[Any, ...]]:
    rows = [tuple(row) for row in db.session.execute(select(*table.primary_key))]
    db.session.rollback()
    yield from rows
