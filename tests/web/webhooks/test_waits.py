"""How long a notification waits for what hangs: Redis one second, SQLite's write lock six. Nothing is lost."""

from __future__ import annotations

import socket
import sqlite3
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text

from bx24app.cli.up import load_for_web
from bx24app.infra import redis_client
from bx24app.models import db
from tests.web.conftest import HOOK
from tests.web.webhooks.test_mango_hooks import CALL, rows, signed

ADDRESS = f"/mango/{HOOK}/events/call"


@contextmanager
def silent_server() -> Iterator[int]:
    """Takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listening:
        yield listening.getsockname()[1]


@pytest.fixture
def web(site: Flask, portal: int) -> Flask:
    """As the web process has it."""
    return load_for_web(site)


def test_a_hung_redis_costs_one_notification_in_a_while_a_second(web: Flask) -> None:
    client, seconds = web.test_client(), []
    with silent_server() as port:
        web.extensions["bx24app"].config = web.extensions["bx24app"].config.model_copy(
            update={"redis_url": f"redis://127.0.0.1:{port}/0"}
        )
        for number in range(20):
            began = time.monotonic()
            answer = client.post(ADDRESS, data=signed(CALL | {"entry_id": f"entry-{number}"}))
            seconds.append(time.monotonic() - began)
            assert answer.status_code == 200
    assert len(rows(web)) == 20
    assert max(seconds) < 4, "it took 20 with three more tries of five seconds each"
    assert sorted(seconds)[10] < 0.5


def test_the_web_process_tries_once(site: Flask) -> None:
    options = redis_client.impatient()
    assert options["socket_timeout"] == options["socket_connect_timeout"] == 1
    assert options["retry"].get_retries() == 1
    assert load_for_web(site).extensions["bx24app"].redis.ping()


@contextmanager
def locked(path: Path) -> Iterator[sqlite3.Connection]:
    """A tool holds the write lock."""
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as tool:
        tool.execute("BEGIN IMMEDIATE")
        yield tool


def database_of(site: Flask) -> Path:
    return Path(site.config["SQLALCHEMY_DATABASE_URI"].removeprefix("sqlite:///"))


def test_a_lock_on_sqlite_is_503_in_time(web: Flask) -> None:
    """The second comes while the first waits: it does not begin to wait when the first has given up."""
    assert web.test_client().post(ADDRESS, data=signed(CALL)).status_code == 200

    def post(number: int) -> float:
        time.sleep(number / 2)
        began = time.monotonic()
        answer = web.test_client().post(ADDRESS, data=signed(CALL | {"entry_id": f"other-{number}"}))
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "10")
        return time.monotonic() - began

    with locked(database_of(web)), ThreadPoolExecutor() as pool:
        first, second = pool.map(post, range(2))
    assert 4 < first < 10 > second > 4, "it took 30, and the second 12 where one try lasts six"


def test_a_lock_that_goes_is_waited_for(web: Flask, client: FlaskClient) -> None:
    with locked(database_of(web)) as tool:
        release = threading.Timer(2, lambda: tool.execute("ROLLBACK"))
        release.start()
        assert client.post(ADDRESS, data=signed(CALL)).status_code == 200
        release.join()
    assert rows(web) == [("events/call", "new")]


def test_pages_wait_for_a_lock_for_three_seconds(web: Flask) -> None:
    """Whatever else the web process writes: somebody waits for it."""
    with web.app_context():
        assert db.session.execute(text("PRAGMA busy_timeout")).scalar_one() == 3000
        db.session.remove()
