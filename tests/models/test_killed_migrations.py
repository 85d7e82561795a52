"""A migration that is killed is simply started again: whatever it has committed by then, it finds and goes on.

Only what was committed outlives a death. So each run ends before a migration is noted as done, and before each
statement of an autocommit block.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from cryptography.fernet import Fernet
from flask import Flask
from sqlalchemy import event
from sqlalchemy.exc import PendingRollbackError

from bx24app import create_app
from bx24app.cli import up
from bx24app.config import load
from bx24app.models import Base, db
from scripts import needs
from tests.support.servers import POSTGRES_MISSING, postgres

VERSIONS = Path(__file__).parents[2] / "migrations/versions"
POSTGRES = pytest.param(
    "postgresql",
    marks=[pytest.mark.postgres, pytest.mark.skipif(needs.postgres() is None, reason=POSTGRES_MISSING)],
)
NOTED_AS_DONE = ("INSERT INTO ALEMBIC_VERSION", "UPDATE ALEMBIC_VERSION")
CHANGES = ("CREATE", "ALTER", "DROP", "INSERT", "UPDATE", "DELETE")


class Killed(BaseException):
    """The process ends here."""


@pytest.fixture(params=["sqlite", POSTGRES])
def app(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Flask]:
    """An app with an empty database."""

    def make(url: str) -> Flask:
        environ = {"BX24APP_DATA_DIR": str(tmp_path / "var")}
        keys = (Fernet.generate_key().decode(),)
        config = load(environ, database_url=url, redis_url="redis://127.0.0.1:1", secret_key="x", encryption_keys=keys)
        return create_app(config)

    if request.param == "sqlite":
        yield make("")
    else:
        with postgres(tmp_path) as url:
            yield make(url)


def _kill_everywhere_once(app: Flask) -> list[str]:
    """The statements before which a run was ended, in order."""
    killed: list[str] = []

    def end_run(_connection: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        words = " ".join(statement.upper().split())
        is_by_itself = getattr(cursor.connection, "autocommit", False) is True and words.startswith(CHANGES)
        mark = f"{words} {parameters}"
        if (is_by_itself or words.startswith(NOTED_AS_DONE)) and mark not in killed:
            killed.append(mark)
            raise Killed

    with app.app_context():
        engine = db.engine
    event.listen(engine, "before_cursor_execute", end_run)
    while True:
        try:
            up.migrate_database(app)
        except (Killed, PendingRollbackError):  # Alembic still wants to end its block on the connection that has gone
            with app.app_context():
                engine.dispose()
        else:
            return killed


def test_a_migration_that_was_killed_goes_on(app: Flask) -> None:
    killed = _kill_everywhere_once(app)
    assert len([mark for mark in killed if mark.startswith(NOTED_AS_DONE)]) == len(list(VERSIONS.glob("*.py")))
    with app.app_context(), db.engine.connect() as connection:
        if db.engine.dialect.name == "postgresql":
            assert any("ADD COLUMN" in mark for mark in killed), "the statements of autocommit blocks"
        context = MigrationContext.configure(connection, opts={"compare_type": True, "render_as_batch": True})
        assert compare_metadata(context, Base.metadata) == []
    with app.app_context():
        db.engine.dispose()
