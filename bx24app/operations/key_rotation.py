"""USE CASE: re-encrypt every stored secret with the first key, while the app runs.

Each row is written only if its secret is still the one that was read: a grant that a worker refreshes meanwhile keeps its newer pair.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Column, LargeBinary, Table, and_, select, type_coerce, update

from bx24app.infra import encryption
from bx24app.infra.encryption import Sealed, Unreadable
from bx24app.models import Audit, Base, db

TRIES = 5
"""A secret that changes under our hands is read again so many times."""


@dataclass(slots=True)
class Rotated:
    """`done`: secrets that are sealed with the first key now. `unreadable`: table, row and column of those that no key fits."""

    done: int = 0
    unreadable: list[str] = field(default_factory=list)


def rotate() -> Rotated:
    """Re-encrypt all secrets with the first key; commits row by row."""
    result = Rotated()
    for table in Base.metadata.sorted_tables:
        for column in table.columns:
            if isinstance(column.type, Sealed):
                _column(table, column, result)
    facts = {"done": result.done, "unreadable": len(result.unreadable)}
    db.session.add(Audit(portal_id=None, user_id=None, source="cli", what="secrets rotated", facts=facts))
    db.session.commit()
    return result


def _column(table: Table, column: Column[Any], result: Rotated) -> None:
    for row in list(_rows(table)):
        where = and_(*(key == value for key, value in zip(table.primary_key, row, strict=True)))
        for _ in range(TRIES):
            held = db.session.scalar(select(type_coerce(column, LargeBinary)).where(where))
            if held is None:
                break
            try:
                fresh = encryption.seal(encryption.unseal(bytes(held)))
            except Unreadable:
                result.unreadable.append(f"{table.name} {', '.join(map(str, row))}: {column.name}")
                break
            same = type_coerce(column, LargeBinary) == held
            change = update(table).where(where, same).values({column: type_coerce(fresh, LargeBinary)})
            written: Any = db.session.execute(change)
            db.session.commit()
            if written.rowcount:
                result.done += 1
                break
        db.session.rollback()


def _rows(table: Table) -> Iterator[tuple[Any, ...]]:
    rows = [tuple(row) for row in db.session.execute(select(*table.primary_key))]
    db.session.rollback()
    yield from rows
