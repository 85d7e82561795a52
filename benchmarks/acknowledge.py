"""Notifications acknowledged per second: signature checked, row committed, drain queued.

The baseline is the same server with a Flask app that does one INSERT and COMMIT.
"""

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
from bx24app import create_app
from bx24app.cli import up
from bx24app.config import load as configured
from bx24app.infra.processes.child_process import die_with_parent
from bx24app.infra.processes.web_server import is_answering
from bx24app.mango import vpbx
from bx24app.models import Notification, db, utcnow
from bx24app.models import Pbx as PbxRow
from tests.conftest import KEY, SALT, make_portal
from tests.support.servers import free_port, postgres, valkey

CONNECTIONS, RATE = 16, 200
REACH, P99_MS = 0.75, 25
TURNS = 5
"""The turn with the median ratio counts."""
THREADS = "ours 1x16"
"""The baseline's server: ours, with as many threads as `bx24app web` has."""


def _make_bodies(count: int) -> Iterator[bytes]:
    """Bodies of `count` different signed notifications."""
    at = int(utcnow().timestamp())
    for number in range(count):
        raw = json.dumps(
            {
                "entry_id": f"entry{number}",
                "call_id": f"leg{number}",
                "timestamp": at,
                "seq": 1,
                "call_state": "Appeared",
                "location": "abonent",
                "from": {"number": f"7916{number:07d}"},
                "to": {"extension": "101", "number": "sip:u@bench.test", "line_number": "74950000001"},
            }
        )
        yield urlencode({"vpbx_api_key": KEY, "sign": vpbx.sign_text(KEY, SALT, raw), "json": raw}).encode()


Where = tuple[int, str, Iterator[bytes]]
"""Port, path, requests."""


def _requests(port: int, path: str, seconds: float) -> Where:
    """Makes more requests than are needed before the clock runs, then warms up the server."""
    wires = iter([load.request(path, body) for body in _make_bodies(int(seconds * 6000) + 2 * RATE)])
    load.closed(port, path, CONNECTIONS, min(1.0, seconds / 3), wires)
    return port, path, wires


def _closed(where: Where, seconds: float) -> load.Measured:
    port, path, wires = where
    return load.closed(port, path, CONNECTIONS, seconds, wires)


def _paced(where: Where, seconds: float) -> load.Measured:
    port, path, wires = where
    return load.paced(port, path, RATE, seconds, wires)


def _by_turns(base: Where, ours: Where, seconds: float) -> tuple[list[load.Measured], list[load.Measured]]:
    """Runs both at full speed in short alternating turns, so that other load of the machine affects both."""
    turns = [(_closed(base, seconds / TURNS), _closed(ours, seconds / TURNS)) for _ in range(TURNS)]
    turns.sort(key=lambda turn: turn[1].rate / turn[0].rate)
    return [turn[0] for turn in turns], [turn[1] for turn in turns]


@contextmanager
def _ours(folder: Path, database: str) -> Iterator[tuple[int, str, list[int]]]:
    """`bx24app web` with the PBX of a paused portal: (port, path, a list that afterwards contains the number of stored
    rows).
    """
    port, stored = free_port(), list[int]()
    with valkey(folder) as redis_url:
        environ = {
            "BX24APP_DATA_DIR": str(folder),
            "BX24APP_DATABASE_URL": database,
            "BX24APP_REDIS_URL": redis_url,
            "BX24APP_HOOK_RATE": "100000",
            "BX24APP_ADDRESS_RATE": "100000",
            "BX24APP_LOG_LEVEL": "WARNING",
            "BX24APP_ENCRYPTION_KEYS": Fernet.generate_key().decode(),
            "BX24APP_SECRET_KEY": "benchmarks only",
            "BX24APP_ALLOW_LOOPBACK": "1",
        }
        app = create_app(configured(environ))
        up.migrate_database(app)
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
def bare_insert(folder: Path, database: str) -> Iterator[tuple[int, str]]:
    """The baseline's server: (port, path). Each request is one INSERT and COMMIT."""
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
        until(
            lambda: process.poll() is not None or is_answering(f"http://127.0.0.1:{port}"), "the baseline never served"
        )
        if process.poll() is not None:
            raise RuntimeError(f"the baseline ended with {process.returncode}")
        yield port, "/store"
    finally:
        process.terminate()
        process.wait(20)


def _over(name: str, quick: bool) -> list[Figure]:
    seconds = 0.6 if quick else 20.0
    with tempfile.TemporaryDirectory() as place, ExitStack() as stack:
        folder = Path(place)
        database = stack.enter_context(postgres(folder)) if name == "PostgreSQL" else ""
        with bare_insert(folder, database) as (base_port, base_path), _ours(folder, database) as (port, path, stored):
            base, ours = _requests(base_port, base_path, seconds), _requests(port, path, seconds)
            bases, turns = _by_turns(base, ours, seconds)
            base_paced, paced = _paced(base, seconds), _paced(ours, seconds)
    answered = sum(len(turn.times) for turn in turns) + len(paced.times)
    rate, base_rate = turns[TURNS // 2].rate, bases[TURNS // 2].rate
    if stored[0] < answered:
        raise RuntimeError(f"{answered} were answered, {stored[0]} are stored")
    p99, base_p99 = paced.quantile(0.99), base_paced.quantile(0.99)
    return [
        Figure(
            f"acknowledged, {name}",
            rate,
            "/s",
            f"at least {REACH} of it",
            rate >= REACH * base_rate,
            base_rate,
        ),
        Figure(f"acknowledged at {RATE}/s, p99, {name}", p99, "ms", f"under {P99_MS} ms", p99 < P99_MS, base_p99),
    ]


def _run(quick: bool) -> list[Figure]:
    return [figure for name in ("SQLite", "PostgreSQL") for figure in _over(name, quick)]


MEASURES = (Measure("acknowledge", "notifications a second against one INSERT and COMMIT", _run, 1),)
