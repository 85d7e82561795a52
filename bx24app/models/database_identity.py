"""The database's own id: one row, made with the table, by which everything outside knows whose it is."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import datetime
from typing import Any, cast

from sqlalchemy import Engine, Table, event, insert, select, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Mapped, mapped_column

from bx24app.infra.own_keys import DatabaseId
from bx24app.models.base import Base, Moment, db, utcnow

ROW = 1
_LAST_IDS = {
    "sqlite": "SELECT name, seq FROM sqlite_sequence",
    "postgresql": "SELECT sequencename, last_value FROM pg_sequences WHERE schemaname = current_schema()",
}


class DatabaseIdentity(Base):
    """A random id of one life of the database. A restored database that meets traces of its own later life gets a new
    one (`operations.adoption`).
    """

    __tablename__ = "database_identity"

    row: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    """Always `ROW`."""
    value: Mapped[str]
    made_at: Mapped[datetime] = mapped_column(Moment, default=utcnow)
    old_names_until: Mapped[datetime | None] = mapped_column(Moment)
    """Until when processes of a version before 0019 may run beside this one (`infra.own_keys`)."""


def make_value() -> str:
    """A new id."""
    return secrets.token_hex(8)


@event.listens_for(cast(Table, DatabaseIdentity.__table__), "after_create")
def _insert_row(table: Any, connection: Any, **_: Any) -> None:
    """Whenever the table is created from the models; migration 0019 does it otherwise."""
    connection.execute(insert(DatabaseIdentity).values(row=ROW, value=make_value()))


def reader(engine: Engine) -> Callable[[], DatabaseId | None]:
    """A function that reads the id in a transaction of its own; None: the database does not answer, or has no id yet.
    """
    query = select(DatabaseIdentity.value, DatabaseIdentity.old_names_until)

    def read() -> DatabaseId | None:
        try:
            with engine.connect().execution_options(read_only=True) as connection:
                row = connection.execute(query).first()
        except SQLAlchemyError:
            return None
        return DatabaseId(row.value, row.old_names_until) if row is not None else None

    return read


def read_last_ids() -> dict[str, int]:
    """The last id that each table has given away. None of them is ever given again, so they never go back, unless the
    database is an older one.
    """
    with db.engine.connect().execution_options(read_only=True) as connection:
        rows = connection.execute(text(_LAST_IDS[db.engine.dialect.name])).all()
    return {name: int(last or 0) for name, last in rows}


def renew() -> str:
    """Give the database a new id, since its row ids up to now were used by another life of it. Commits."""
    row = db.session.get_one(DatabaseIdentity, ROW)
    row.value = value = make_value()
    db.session.commit()
    return value
