"""No row id is given twice, not even after the newest rows were deleted: files, jobs, keys and pages name rows by it.

PostgreSQL's sequences never go back. SQLite gives the largest id again after its row is deleted, unless the table says
AUTOINCREMENT; then it remembers the last id in `sqlite_sequence`.
"""

from __future__ import annotations

import re

import sqlalchemy as sa

_PLAIN = "PRIMARY KEY (id)"
_GROWING = "PRIMARY KEY (id AUTOINCREMENT)"
_INTEGER_ID = re.compile(r"[(\s]\"?id\"? INTEGER\b", re.IGNORECASE)


def use_each_id_once(metadata: sa.MetaData) -> None:
    """Every table that is made from the models says AUTOINCREMENT, where it numbers its rows."""
    for table in metadata.tables.values():
        if "id" in table.primary_key.columns:
            table.dialect_options["sqlite"]["autoincrement"] = True


def add_autoincrement(connection: sa.Connection) -> list[str]:
    """For a migration on SQLite: add AUTOINCREMENT to the tables that number their rows; returns their names.

    Only the text of the schema changes, by the procedure that https://sqlite.org/lang_altertable.html#otheralter
    describes: rows are stored the same way, so no table is rebuilt, whatever its size.
    """
    return _replace(connection, _PLAIN, _GROWING)


def remove_autoincrement(connection: sa.Connection) -> list[str]:
    """For the way back."""
    return _replace(connection, _GROWING, _PLAIN)


def _replace(connection: sa.Connection, old: str, new: str) -> list[str]:
    rows = connection.execute(sa.text("SELECT name, sql FROM sqlite_master WHERE type = 'table'")).all()
    changed = {name: sql.replace(old, new) for name, sql in rows if old in sql and _INTEGER_ID.search(sql)}
    if not changed:
        return []
    version = connection.exec_driver_sql("PRAGMA schema_version").scalar_one()
    connection.exec_driver_sql("PRAGMA writable_schema = ON")
    statement = sa.text("UPDATE sqlite_master SET sql = :sql WHERE type = 'table' AND name = :name")
    for name, sql in changed.items():
        connection.execute(statement, {"name": name, "sql": sql})
        connection.execute(sa.text("DELETE FROM sqlite_sequence WHERE name = :name"), {"name": name})
        if new == _GROWING:
            last = f'SELECT :name, coalesce(max(id), 0) FROM "{name}"'  # noqa: S608 - a name from the schema itself
            connection.execute(sa.text(f"INSERT INTO sqlite_sequence (name, seq) {last}"), {"name": name})
    connection.exec_driver_sql(f"PRAGMA schema_version = {version + 1}")  # other connections read the schema again
    connection.exec_driver_sql("PRAGMA writable_schema = RESET")  # and so does this one
    return sorted(changed)
