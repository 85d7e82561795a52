"""PostgreSQL restarts between two uses of the pool: whoever comes next sees nothing of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from flask import Flask
from sqlalchemy import select, text

from bx24app import create_app
from bx24app.cli import up
from bx24app.models import Portal, connections, db
from bx24app.models.connections import open_reader
from scripts import needs
from tests.conftest import config_for
from tests.support.servers import POSTGRES_MISSING, postgres

pytestmark = [pytest.mark.postgres, pytest.mark.skipif(needs.postgres() is None, reason=POSTGRES_MISSING)]


@pytest.fixture(scope="module")
def on_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Flask, str]]:
    folder: Path = tmp_path_factory.mktemp("server")
    with postgres(folder) as url:
        app = create_app(config_for(folder, "redis://127.0.0.1:1", database_url=url))
        up.migrate_database(app)
        yield app, url
        with app.app_context():
            db.engine.dispose()


def read() -> int:
    with open_reader() as connection:
        return len(connection.execute(select(Portal.id)).all())


def end_all_connections(url: str) -> None:
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")


def test_a_rested_connection_is_asked_and_replaced(
    on_server: tuple[Flask, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    app, url = on_server
    monkeypatch.setattr(connections, "FRESH_SECONDS", 0)
    with app.app_context():
        assert read() == 0
        with db.engine.connect(), db.engine.connect():  # several in the pool
            pass
        end_all_connections(url)
        assert [read() for _ in range(3)] == [0, 0, 0]


def test_one_that_was_just_used_is_not_asked(on_server: tuple[Flask, str], monkeypatch: pytest.MonkeyPatch) -> None:
    app, _ = on_server
    monkeypatch.setattr(connections, "FRESH_SECONDS", 3600)
    with app.app_context():
        read()
        monkeypatch.setattr(db.engine.dialect, "do_ping", lambda _: pytest.fail("asked"))
        assert [read(), read()] == [0, 0]


def test_a_reader_leaves_no_transaction_and_no_autocommit_behind(on_server: tuple[Flask, str]) -> None:
    app, _ = on_server
    with app.app_context():
        with open_reader() as connection:
            connection.execute(select(Portal.id))
            raw = connection.connection.dbapi_connection
            assert raw is not None
            assert raw.info.transaction_status == psycopg.pq.TransactionStatus.IDLE  # type: ignore[attr-defined]
        with db.engine.connect() as connection:
            connection.execute(text("CREATE TEMPORARY TABLE gone (id int)"))
            connection.rollback()
            assert connection.execute(text("SELECT to_regclass('pg_temp.gone')")).scalar() is None
