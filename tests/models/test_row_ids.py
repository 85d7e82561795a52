"""No row id is given twice: on both databases, in new tables and in those of an upgraded installation."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from flask import Flask
from flask_migrate import downgrade

from bx24app import create_app
from bx24app.cli import up
from bx24app.models import Base, Portal, db
from bx24app.models.database_identity import read_last_ids
from bx24app.models.row_ids import add_autoincrement
from scripts import needs
from tests.conftest import config_for, make_portal
from tests.models.test_migrations import OLD_ROWS
from tests.support.servers import POSTGRES_MISSING, postgres

POSTGRES = pytest.param(
    "postgresql",
    marks=[pytest.mark.postgres, pytest.mark.skipif(needs.postgres() is None, reason=POSTGRES_MISSING)],
)
NUMBERED = sorted(table.name for table in Base.metadata.tables.values() if "id" in table.primary_key.columns)


@pytest.fixture(params=["sqlite", POSTGRES])
def migrated(request: pytest.FixtureRequest, tmp_path: Path, valkey_url: str) -> Iterator[Flask]:
    def made(**more: object) -> Iterator[Flask]:
        app = create_app(config_for(tmp_path, valkey_url, **more))
        up.migrate_database(app)
        with app.app_context():
            yield app
            db.session.remove()
            db.engine.dispose()

    if request.param == "sqlite":
        yield from made()
    else:
        with postgres(tmp_path) as url:
            yield from made(database_url=url)


def without_autoincrement() -> list[str]:
    """The tables of this SQLite database that would give an id twice."""
    query = sa.text("SELECT name, sql FROM sqlite_master WHERE type = 'table' ORDER BY name")
    texts = {row.name: row.sql for row in db.session.execute(query)}
    db.session.rollback()
    return [name for name in NUMBERED if "AUTOINCREMENT" not in texts[name]]


def newest_id_after_deleting_it() -> tuple[int, int]:
    """(the newest portal's id, that of the next one, made after the newest was deleted)."""
    first = make_portal("first").id
    db.session.execute(sa.text("DELETE FROM settings_version"))
    db.session.execute(sa.text("DELETE FROM pbx"))
    db.session.execute(sa.delete(Portal))
    db.session.commit()
    return first, make_portal("second").id


def test_the_newest_rows_id_is_not_given_again(migrated: Flask) -> None:
    first, second = newest_id_after_deleting_it()
    assert second > first
    last = read_last_ids()
    assert {name.removesuffix("_id_seq"): value for name, value in last.items()}["portal"] == second


def test_every_table_that_numbers_its_rows_on_sqlite(app: Flask, tmp_path: Path, valkey_url: str) -> None:
    assert {"audit", "backfill", "call", "delivery", "notification", "pbx", "portal", "recording"} <= set(NUMBERED)
    assert without_autoincrement() == [], "made from the models"
    upgraded = create_app(config_for(tmp_path / "upgraded", valkey_url))
    up.migrate_database(upgraded)
    with upgraded.app_context():
        assert without_autoincrement() == [], "made by the migrations: op.create_table needs sqlite_autoincrement=True"
        db.session.remove()
        db.engine.dispose()


def test_an_upgrade_begins_after_the_newest_row(tmp_path: Path, valkey_url: str) -> None:
    """Whose newest row is deleted before another one is written."""
    app = create_app(config_for(tmp_path, valkey_url))
    up.migrate_database(app)
    path = tmp_path / "var/bx24app.sqlite"
    with app.app_context():
        downgrade(revision="0018")
        db.engine.dispose()
    with sqlite3.connect(path) as connection:
        for table, rows in OLD_ROWS.items():
            for row in rows:
                names, marks = ", ".join(row), ", ".join("?" * len(row))
                connection.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", tuple(row.values()))  # noqa: S608
    other = sqlite3.connect(path, isolation_level=None)  # an older process that runs on
    assert other.execute("SELECT max(id) FROM recording").fetchone() == (4,)
    up.migrate_database(app)
    other.execute("DELETE FROM recording WHERE id = 4")
    insert = "INSERT INTO recording (portal_id, call_id, recording_id, seconds, state, tries, attempted)"
    other.execute(f"{insert} VALUES (1, 1, 'new', 0, 'waiting', 0, 0)")
    assert other.execute("SELECT max(id) FROM recording").fetchone() == (5,)
    assert other.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    other.close()


def test_a_restored_database_counts_on(tmp_path: Path, app: Flask) -> None:
    first, second = newest_id_after_deleting_it()
    source = sqlite3.connect(tmp_path / "var/bx24app.sqlite")
    restored = sqlite3.connect(tmp_path / "restored.sqlite")
    source.backup(restored)
    restored.execute("DELETE FROM portal")
    columns = [row[1] for row in source.execute("PRAGMA table_info(portal)") if row[1] not in ("id", "member_id")]
    names = ", ".join(columns)
    source.row_factory = sqlite3.Row
    values = tuple(source.execute("SELECT * FROM portal").fetchone()[name] for name in columns)
    marks = ", ".join("?" * (len(columns) + 1))
    restored.execute(f"INSERT INTO portal (member_id, {names}) VALUES ({marks})", ("third", *values))  # noqa: S608
    assert restored.execute("SELECT id FROM portal").fetchone()[0] > second > first
    source.close()
    restored.close()


def test_no_row_is_touched(app: Flask) -> None:
    """The statements are the same for one row and for a million: only the schema's text and each table's last id."""
    statements: list[str] = []
    sa.event.listen(db.engine, "before_cursor_execute", lambda *args: statements.append(args[2]))
    with db.engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE big (id INTEGER NOT NULL, CONSTRAINT pk_big PRIMARY KEY (id))")
        assert add_autoincrement(connection) == ["big"]
    changes = [text for text in statements if re_writes(text)]
    assert [text.split()[:3] for text in changes] == [
        ["UPDATE", "sqlite_master", "SET"],
        ["DELETE", "FROM", "sqlite_sequence"],
        ["INSERT", "INTO", "sqlite_sequence"],
    ]


def re_writes(statement: str) -> bool:
    return statement.startswith(("INSERT", "UPDATE", "DELETE"))
