"""The migrations make what the models say, from nothing and back, on both databases; their names say their order."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from cryptography.fernet import Fernet
from flask import Flask
from flask_migrate import downgrade
from sqlalchemy import inspect

from bx24app import create_app
from bx24app.bitrix24.budget import BUDGET_USED_UP
from bx24app.calls.recordings.outcomes import DISK_FULL
from bx24app.cli import up
from bx24app.config import load
from bx24app.infra import migrate
from bx24app.mango.errors import ADDRESS_REFUSED
from bx24app.models import Base, db
from scripts import needs
from tests.support.servers import POSTGRES_MISSING, postgres

VERSIONS = Path(__file__).parents[2] / "migrations/versions"
POSTGRES = pytest.param(
    "postgresql",
    marks=[pytest.mark.postgres, pytest.mark.skipif(needs.postgres() is None, reason=POSTGRES_MISSING)],
)


@pytest.fixture(params=["sqlite", POSTGRES])
def app(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Flask]:
    """An app with an empty database."""
    if request.param == "sqlite":
        yield _app(tmp_path, "")
    else:
        with postgres(tmp_path) as url:
            yield _app(tmp_path, url)


def _app(tmp_path: Path, url: str) -> Flask:
    return create_app(
        load(
            {"BX24APP_DATA_DIR": str(tmp_path / "var")},
            database_url=url,
            redis_url="redis://127.0.0.1:1",
            secret_key="tests only",
            encryption_keys=(Fernet.generate_key().decode(),),
        )
    )


def test_from_nothing_to_the_models_and_back(app: Flask) -> None:
    up.migrate_database(app)
    up.migrate_database(app)  # again: nothing to do
    with app.app_context():
        with db.engine.connect() as connection:
            context = MigrationContext.configure(connection, opts={"compare_type": True, "render_as_batch": True})
            assert compare_metadata(context, Base.metadata) == []
            indexes = {
                table: {one["name"] for one in inspect(connection).get_indexes(table)} for table in Base.metadata.tables
            }
        for table in Base.metadata.sorted_tables:
            assert {index.name for index in table.indexes} <= indexes[table.name]
        downgrade(revision="base")
        with db.engine.connect() as connection:
            assert inspect(connection).get_table_names() == ["alembic_version"]
        db.engine.dispose()


def test_partial_indexes_are_partial(app: Flask) -> None:
    """`compare_metadata` does not look at an index's condition; without it the sweep would read whole tables."""
    up.migrate_database(app)
    with app.app_context():
        with db.engine.connect() as connection:
            column, table = (
                ("sql", "sqlite_master") if db.engine.dialect.name == "sqlite" else ("indexdef", "pg_indexes")
            )
            texts = connection.exec_driver_sql(f"SELECT {column} FROM {table}").scalars().all()  # noqa: S608
        db.engine.dispose()
    partial = {
        str(index.name)
        for table in Base.metadata.sorted_tables
        for index in table.indexes
        if index.dialect_options["sqlite"]["where"] is not None
    }
    assert partial
    made = {name for name in partial for text in texts if text and re.search(rf"\b{name}\b.* WHERE ", text, re.DOTALL)}
    assert made == partial


def test_names_say_the_order() -> None:
    names = sorted(path.stem for path in VERSIONS.glob("*.py"))
    assert [name.partition("_")[0] for name in names] == [f"{number:04d}" for number in range(1, len(names) + 1)]
    previous = None
    for name in names:
        text = (VERSIONS / f"{name}.py").read_text()
        revision = name.partition("_")[0]
        assert f'revision = "{revision}"' in text
        assert f"down_revision = {repr(previous).replace(chr(39), chr(34))}" in text
        previous = revision


def _fail(how: str) -> None:
    if how == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    raise SystemExit(3) if how == "ended" else ValueError(how)


@pytest.mark.parametrize(("how", "met"), [("wrong", ValueError), ("ended", SystemExit), ("killed", RuntimeError)])
def test_what_a_migration_in_its_own_process_meets_is_heard_here(how: str, met: type[BaseException]) -> None:
    with pytest.raises(met):
        migrate.in_subprocess(partial(_fail, how))


def test_in_a_process_of_its_own_it_leaves_its_tables_and_nothing_else(tmp_path: Path) -> None:
    app = _app(tmp_path, "")
    migrate.in_subprocess(partial(up.migrate_database, app))
    with app.app_context():
        assert "notification" in inspect(db.engine).get_table_names()
        db.engine.dispose()
    assert isinstance(app.extensions["migrate"], migrate.LazyMigrate), "Alembic was not needed here"


def test_codes_are_filled_from_the_texts_of_older_versions(app: Flask) -> None:
    """0017. What only looks alike stays without a code."""
    up.migrate_database(app)
    with app.app_context():
        downgrade(revision="0016")
        with db.engine.begin() as connection:
            for table, rows in OLD_ROWS.items():
                for row in rows:
                    connection.execute(sa.table(table, *map(sa.column, row)).insert().values(**row))
        db.engine.dispose()
    up.migrate_database(app)
    with app.app_context():
        with db.engine.connect() as connection:
            recordings = connection.exec_driver_sql("SELECT id, problem_code FROM recording ORDER BY id").all()
            calls = connection.exec_driver_sql("SELECT id, problem_delivery FROM call ORDER BY id").all()
            pbxs = connection.exec_driver_sql("SELECT id, ask_problem_code FROM pbx ORDER BY id").all()
        db.engine.dispose()
    assert recordings == [(1, "portal_budget"), (2, "portal_disk"), (3, None), (4, None)]
    assert calls == [(1, "register"), (2, None), (3, None)]
    assert pbxs == [(1, "address_refused"), (2, None), (3, None)]


_AT = "2026-01-01 00:00:00"
_PORTAL = {"id": 1, "member_id": "a", "domain": "", "client_endpoint": "", "server_endpoint": "", "client_id": "",
           "state": "active", "scopes": "", "license": "", "crm_mode": 1, "lang": "ru",
           "installed_at": _AT}  # fmt: skip
_PBX = {"portal_id": 1, "position": 0, "dialects": "vpbx", "refused_count": 0, "created_at": _AT}
_CALL = {"portal_id": 1, "pbx_id": 1, "pbx_key": "a", "visible": True, "state": "dead", "direction": "in",
         "started_at": _AT, "talk_seconds": 0, "users": "[]", "crm": "[]", "facts": "{}", "heard_at": _AT,
         "updated_at": _AT}  # fmt: skip
_DELIVERY = {"portal_id": 1, "command": "{}", "state": "dead", "reason": "no rights", "uncertain": False, "attempts": 1,
             "created_at": _AT}  # fmt: skip
_RECORDING = {"portal_id": 1, "call_id": 1, "seconds": 0, "state": "waiting", "tries": 0, "attempted": False,
              "due_at": _AT}  # fmt: skip
OLD_ROWS: dict[str, list[dict[str, object]]] = {
    "portal": [_PORTAL],
    "pbx": [
        {**_PBX, "id": number, "key": key, "hook_key": key, "ask_problem": problem}
        for number, key, problem in ((1, "a", ADDRESS_REFUSED), (2, "b", "5201"), (3, "c", None))
    ],
    "call": [
        {**_CALL, "id": number, "entry_id": str(number), "problem": problem}
        for number, problem in ((1, "no rights"), (2, "its own words"), (3, None))
    ],
    "delivery": [
        {**_DELIVERY, "id": number, "call_id": call_id, "key": kind.lower(), "kind": kind}
        for number, call_id, kind in ((1, 1, "Notify"), (2, 1, "Register"), (3, 1, "Finish"), (4, 2, "Finish"))
    ],
    "recording": [
        {**_RECORDING, "id": 1, "recording_id": "1", "problem": BUDGET_USED_UP},
        {**_RECORDING, "id": 2, "recording_id": "2", "problem": DISK_FULL},
        {**_RECORDING, "id": 3, "recording_id": "3", "problem": None},
        {**_RECORDING, "id": 4, "recording_id": "4", "problem": BUDGET_USED_UP, "state": "attached", "due_at": None},
    ],
}
"""As version 4f532bf would have written them."""
