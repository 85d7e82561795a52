"""What all tables share: the `db` extension, the column types, the engine's durability settings."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import JSON, BigInteger, DateTime, Dialect, Engine, Integer, MetaData, event
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.types import TypeDecorator, TypeEngine

from bx24app.infra.clock import utcnow as utcnow

BigId = BigInteger().with_variant(Integer, "sqlite")
"""Primary keys of the big tables; SQLite autoincrements only INTEGER."""

Document = JSON().with_variant(JSONB(), "postgresql")


class Moment(TypeDecorator[datetime]):
    """An aware UTC moment. SQLite does not store the zone, so it is added on reading."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a naive datetime must not reach the database")
        return value.astimezone(UTC)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        moment: datetime = value
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


_LARGEST_INTEGER = 2**31 - 1


class WholeNumber(TypeDecorator[int]):
    """The type of all `Mapped[int]` columns: four bytes.

    A larger number that is compared with such a column is in no row. PostgreSQL would raise an error for it, so it is
    sent as eight bytes.
    """

    impl = Integer
    cache_ok = True

    def coerce_compared_value(self, op: Any, value: Any) -> TypeEngine[Any]:
        return BigInteger() if isinstance(value, int) and abs(value) > _LARGEST_INTEGER else self


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


db = SQLAlchemy(model_class=Base)
db.Model.registry.update_type_annotation_map({int: WholeNumber})  # type: ignore[attr-defined]
_WEB_BUSY_MILLISECONDS = 3000


def is_sqlite() -> bool:
    """Is the current application's database SQLite? The other one that there may be is PostgreSQL."""
    return db.engine.dialect.name == "sqlite"


def wait_briefly_for_locks(engine: Engine) -> None:
    """For the web process, in which somebody waits: SQLite's write lock is waited for three seconds instead of 15.

    Holds for connections that are opened afterwards.
    """
    if engine.dialect.name == "sqlite":

        @event.listens_for(engine, "connect")
        def _set_busy_timeout(connection: Any, record: Any) -> None:
            connection.execute(f"PRAGMA busy_timeout={_WEB_BUSY_MILLISECONDS}")


def make_durable(engine: Engine) -> None:
    """A 200 means "on disk": SQLite in WAL with synchronous=FULL, PostgreSQL with synchronous_commit=on.

    SQLite starts a transaction with BEGIN IMMEDIATE where it will write (`begin_immediate` execution option), since a
    deferred one that upgrades late fails at once with SQLITE_BUSY instead of waiting.
    """
    if engine.dialect.name == "sqlite":

        @event.listens_for(engine, "connect")
        def _configure_sqlite(connection: Any, record: Any) -> None:
            connection.isolation_level = None  # we say BEGIN ourselves
            cursor = connection.cursor()
            for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=15000"):
                cursor.execute(f"PRAGMA {pragma}")
            cursor.close()

        @event.listens_for(engine, "begin")
        def _begin_transaction(connection: Any) -> None:
            deferred = connection.get_execution_options().get("read_only", False)
            connection.exec_driver_sql("BEGIN" if deferred else "BEGIN IMMEDIATE")

    elif engine.dialect.name == "postgresql":

        @event.listens_for(engine, "connect")
        def _configure_postgresql(connection: Any, record: Any) -> None:
            autocommit, connection.autocommit = connection.autocommit, True
            with connection.cursor() as cursor:
                cursor.execute("SET synchronous_commit = on")
            connection.autocommit = autocommit
