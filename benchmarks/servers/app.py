"""The application of the comparison: a form post that does one INSERT and COMMIT into SQLite (WAL, synchronous=FULL).

It imports what bx24app imports, so that its memory is realistic.
"""

from __future__ import annotations

import gc
import importlib
import os
import sqlite3
import threading
from contextlib import nullcontext

import psycopg
from flask import Flask, request

HEAVY = (
    "alembic",
    "cryptography.fernet",
    "flask_babel",
    "flask_migrate",
    "flask_sqlalchemy",
    "phonenumbers",
    "prometheus_client",
    "psycopg",
    "pydantic",
    "requests_oauthlib",
    "rq",
    "sqlalchemy.dialects.postgresql",
    "sqlalchemy.dialects.sqlite",
    "structlog",
    "yaml",
)
_local = threading.local()


def connection(path: str) -> sqlite3.Connection:
    """This thread's connection, opened on first use and never carried over a fork."""
    mine: sqlite3.Connection | None = getattr(_local, "connection", None)
    if mine is None or _local.pid != os.getpid():
        mine = sqlite3.connect(path, timeout=30, isolation_level=None)
        mine.execute("PRAGMA journal_mode=WAL")
        mine.execute("PRAGMA synchronous=FULL")
        _local.connection, _local.pid = mine, os.getpid()
    return mine


def server_connection(url: str) -> psycopg.Connection:
    """This thread's connection to a PostgreSQL server."""
    mine: psycopg.Connection | None = getattr(_local, "server", None)
    if mine is None or _local.pid != os.getpid():
        mine = psycopg.connect(url)
        _local.server, _local.pid = mine, os.getpid()
    return mine


def create_server_app(url: str) -> Flask:
    """The same application with PostgreSQL, where the table `note` must exist."""
    app = Flask(__name__)

    @app.post("/store")
    def store() -> str:
        connection = server_connection(url)
        connection.execute("INSERT INTO note (body) VALUES (%s)", (request.form["json"],))
        connection.commit()
        return "ok"

    return app


def create_app() -> Flask:
    for name in HEAVY:
        importlib.import_module(name)
    if "SERVERS_POSTGRES" in os.environ:
        return create_server_app(os.environ["SERVERS_POSTGRES"])
    path = os.environ["SERVERS_DATABASE"]
    with sqlite3.connect(path) as first:
        first.execute("PRAGMA journal_mode=WAL")
        first.execute("CREATE TABLE IF NOT EXISTS note (id INTEGER PRIMARY KEY, body TEXT NOT NULL)")
    app = Flask(__name__)
    # SQLite lets one write at a time and makes the others sleep in steps of milliseconds; a lock wakes the next one at
    # once.
    one_writer = nullcontext() if os.environ.get("SERVERS_NO_LOCK") else threading.Lock()

    @app.post("/store")
    def store() -> str:
        with one_writer:
            connection(path).execute("INSERT INTO note (body) VALUES (?)", (request.form["json"],))
        return "ok"

    @app.post("/plain")
    def plain() -> str:
        return str(len(request.form["json"]))

    gc.collect()
    gc.freeze()  # what is there before the fork stays shared: a collection in a child would touch, and so copy, every page  # noqa: E501
    return app
