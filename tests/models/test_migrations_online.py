"""Migrations from 0011 on run while calls come in: nothing in their SQL keeps the writers of a big table waiting."""

from __future__ import annotations

import re
import threading
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from flask import Flask
from flask_migrate import upgrade
from sqlalchemy import text

from bx24app import create_app
from bx24app.cli import up
from bx24app.config import load
from bx24app.models import db
from scripts import needs
from tests.support.servers import POSTGRES_MISSING, postgres

BIG = r"(?:call|notification|delivery|recording|call_person|call_record|todo|audit|figure)"
SINCE = "0010"
"""Those before had run before anybody had many calls."""
LOCKS = {
    "an index made without CONCURRENTLY": rf"CREATE (?:UNIQUE )?INDEX (?!CONCURRENTLY)\S+ ON \"?{BIG}\"? ",
    "an index dropped without CONCURRENTLY": r"DROP INDEX (?!CONCURRENTLY)",
    "a column of another type": rf"ALTER TABLE \"?{BIG}\"? ALTER COLUMN \S+ (?:SET DATA )?TYPE",
    "a column that must not be null, checked row by row": rf"ALTER TABLE \"?{BIG}\"? ALTER COLUMN \S+ SET NOT NULL",
    "a new column whose default is no constant": rf"ALTER TABLE \"?{BIG}\"? ADD COLUMN .* DEFAULT [^';]*\(",
    "a constraint that is checked at once": rf"ALTER TABLE \"?{BIG}\"? ADD CONSTRAINT (?!.*(?:NOT VALID|USING INDEX))",
    "every row changed in one transaction": rf"(?:UPDATE|DELETE FROM) \"?{BIG}\"?\b(?! .*LIMIT)",
    "a locked or rewritten table": r"LOCK TABLE|CLUSTER |VACUUM FULL|SET TABLESPACE|ALTER TABLE \S+ SET (?:UN)?LOGGED",
}
_NO_BINDING = load(
    {},
    database_url="sqlite://",
    redis_url="redis://127.0.0.1:1",
    secret_key="x",
    encryption_keys=(Fernet.generate_key().decode(),),
)


def faults(sql: str) -> list[str]:
    """What in this SQL would keep writers of a big table waiting. Tables made by the same SQL are nobody's yet."""
    made = set(re.findall(r"CREATE TABLE \"?(\w+)", sql))
    found = []
    for statement in sql.split(";"):
        words = " ".join(re.sub(r"--[^\n]*", "", statement).split())
        target = re.search(r"(?:INDEX \S+ ON|ALTER TABLE|UPDATE|DELETE FROM) \"?(\w+)", words)
        if target is None or target.group(1) not in made:
            found += [f"{name}: {words}" for name, lock in LOCKS.items() if re.search(lock, words)]
    return found


def _app(tmp_path: Path, url: str) -> Flask:
    data = {"data_dir": tmp_path / "var", "database_url": url}
    return create_app(_NO_BINDING.model_copy(update=data))


def test_no_migration_locks_a_big_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    app = _app(tmp_path, "postgresql+psycopg://nobody@127.0.0.1:1/none")  # never connected: the SQL is only written
    with app.app_context():
        upgrade(revision=f"{SINCE}:head", sql=True)
    sql = capsys.readouterr().out
    assert "CREATE INDEX CONCURRENTLY ix_notification_command" in sql
    assert faults(sql) == []


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE INDEX ix_call_x ON call (x)",
        'CREATE UNIQUE INDEX ix_call_x ON "call" (x)',
        "DROP INDEX ix_call_x",
        "ALTER TABLE call ALTER COLUMN x TYPE BIGINT",
        "ALTER TABLE delivery ALTER COLUMN x SET NOT NULL",
        "ALTER TABLE notification ADD COLUMN x TIMESTAMP DEFAULT clock_timestamp()",
        "ALTER TABLE recording ADD CONSTRAINT c CHECK (x > 0)",
        "UPDATE call SET x = 1",
        "LOCK TABLE call",
    ],
)
def test_what_locks_is_found(sql: str) -> None:
    assert faults(sql)


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE INDEX CONCURRENTLY ix_call_x ON call (x)",
        "CREATE INDEX ix_portal_x ON portal (x)",
        "CREATE TABLE call_note (id INT); CREATE INDEX ix_call_note_x ON call_note (x)",
        "ALTER TABLE call ADD COLUMN x BOOLEAN DEFAULT false NOT NULL",
        "ALTER TABLE call ADD CONSTRAINT c CHECK (x > 0) NOT VALID",
        "UPDATE alembic_version SET version_num='0011'",
    ],
)
def test_what_locks_nobody_is_let_through(sql: str) -> None:
    assert faults(sql) == []


@pytest.mark.postgres
@pytest.mark.skipif(needs.postgres() is None, reason=POSTGRES_MISSING)
def test_two_machines_that_start_at_once_migrate_one_after_the_other(tmp_path: Path) -> None:
    """The second waits for the first without a transaction: indexes made beside the writers would wait for it for ever.
    """
    with postgres(tmp_path) as url:
        apps = [_app(tmp_path / str(number), url) for number in range(2)]
        threads = [threading.Thread(target=up.migrate_database, args=(app,), daemon=True) for app in apps]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
            assert not thread.is_alive()
        with apps[0].app_context():
            with db.engine.connect() as connection:
                invalid = connection.scalar(text("SELECT count(*) FROM pg_index WHERE NOT indisvalid"))
                version = connection.scalar(text("SELECT max(version_num) FROM alembic_version"))
            assert (invalid, version >= "0013") == (0, True)
            db.engine.dispose()
