"""Notifications acknowledged: signature checked, committed, a drain asked for; against the same server and Flask with one INSERT and COMMIT."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from urllib.parse import urlencode

import psycopg
from cryptography.fernet import Fernet

from benchmarks.measure import Figure, Measure
from benchmarks.rig import ROOT, serving, until
from benchmarks.servers import load
from bx24app import create_app, tree
from bx24app.config import load as configured
from bx24app.mango import vpbx
from bx24app.models import Notification, db, utcnow
from bx24app.models import Pbx as PbxRow
from bx24app.processes_child import die_with_parent
from bx24app.processes_web import answers
from tests.conftest import KEY, SALT, make_portal
from tests.servers import free_port, postgres, valkey

CONNECTIONS, RATE = 16, 200
REACH, P99_MS = 0.75, 25
THREADS = "granian worker 1x16"
"""The baseline's server: ours, with as many threads as `bx24app web` has."""


def _said(count: int) -> Iterator[bytes]:
    """Bodies of so many different notifications, signed."""
    at = int(utcnow().timestamp())
    for number in range(count):
        raw = json.dumps(
            {
                "entry_id": f"entry{number}", "call_id": f"leg{number}", "timestamp": at, "seq": 1, "call_state": "Appeared",
                "location": "abonent", "from": {"number": f"7916{number:07d}"},
                "to": {"extension": "101", "number": "sip:u@bench.test", "line_number": "74950000001"},
            }
        )  # fmt: skip
        yield urlencode({"vpbx_api_key": KEY, "sign": vpbx.sign(KEY, SALT, raw), "json": raw}).encode()


def _load(port: int, path: str, seconds: float) -> tuple[load.Measured, load.Measured]:
    """(as fast as it goes, at 200 a second); the requests are made before the clock runs."""
    most = int(seconds * 5000) + 500
    wires = iter([load.request(path, body) for body in _said(most + int(seconds * RATE) + RATE)])
    load.closed(port, path, CONNECTIONS, min(1.0, seconds / 3), wires)  # warm
    return load.closed(port, path, CONNECTIONS, seconds, wires), load.paced(port, path, RATE, seconds, wires)


@contextmanager
def _ours(folder: Path, database: str) -> Iterator[tuple[int, str, list[int]]]:
    """`bx24app web` with a PBX of a paused portal: (port, path, a list that holds how many were stored afterwards)."""
    port, stored = free_port(), list[int]()
    with valkey(folder) as redis_url:
        environ = {
            "BX24APP_DATA_DIR": str(folder), "BX24APP_DATABASE_URL": database, "BX24APP_REDIS_URL": redis_url, "BX24APP_HOOK_RATE": "0",
            "BX24APP_ADDRESS_RATE": "0", "BX24APP_LOG_LEVEL": "WARNING", "BX24APP_ENCRYPTION_KEYS": Fernet.generate_key().decode(),
            "BX24APP_SECRET_KEY": "benchmarks only", "BX24APP_ALLOW_LOOPBACK": "1",
        }  # fmt: skip
        app = create_app(configured(environ))
        tree.migrate(app)
        with app.app_context():
            make_portal()
            path = f"/mango/{db.session.query(PbxRow).one().hook_key}/events/call"
            db.session.remove()
            db.engine.dispose()
        with serving("web", environ, port, folder / "web.log"):
            yield port, path, stored
        with app.app_context():
            stored.append(db.session.query(Notification).count())
            db.session.remove()
            db.engine.dispose()


@contextmanager
def _baseline(folder: Path, database: str) -> Iterator[tuple[int, str]]:
    port = free_port()
    environ = os.environ | {"SERVERS_DATABASE": str(folder / "baseline.sqlite")}
    if database:
        url = database.replace("+psycopg", "")
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("CREATE TABLE note (id bigserial PRIMARY KEY, body text NOT NULL)")
        environ["SERVERS_POSTGRES"] = url
    command = [sys.executable, "-m", "benchmarks.servers.serve", THREADS, str(port)]
    process = subprocess.Popen(command, cwd=ROOT, env=environ, preexec_fn=partial(die_with_parent, os.getpid()))
    try:
        until(lambda: process.poll() is not None or answers(f"http://127.0.0.1:{port}"), "the baseline never served")
        if process.poll() is not None:
            raise RuntimeError(f"the baseline ended with {process.returncode}")
        yield port, "/store"
    finally:
        process.terminate()
        process.wait(20)


def _over(name: str, quick: bool) -> list[Figure]:
    seconds = 4.0 if quick else 20.0
    with tempfile.TemporaryDirectory() as place, ExitStack() as stack:
        folder = Path(place)
        database = stack.enter_context(postgres(folder)) if name == "PostgreSQL" else ""
        with _baseline(folder, database) as (port, path):
            base, base_paced = _load(port, path, seconds)
        with _ours(folder, database) as (port, path, stored):
            ours, paced = _load(port, path, seconds)
    answered = len(ours.times) + len(paced.times)
    if stored[0] < answered:
        raise RuntimeError(f"{answered} were answered, {stored[0]} are stored")
    p99, base_p99 = paced.quantile(0.99), base_paced.quantile(0.99)
    return [
        Figure(
            f"acknowledged, {name}",
            ours.rate,
            "/s",
            f"at least {REACH} of it",
            ours.rate >= REACH * base.rate,
            base.rate,
        ),
        Figure(f"acknowledged at {RATE}/s, p99, {name}", p99, "ms", f"under {P99_MS} ms", p99 < P99_MS, base_p99),
    ]


def _run(quick: bool) -> list[Figure]:
    return [figure for name in ("SQLite", "PostgreSQL") for figure in _over(name, quick)]


MEASURES = (Measure("acknowledge", "notifications a second against one INSERT and COMMIT", _run),)
