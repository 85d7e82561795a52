"""`bx24app up` as an operator meets it: it serves, a kill loses nothing that was answered, SIGTERM ends it, a second
start goes on.
"""

from __future__ import annotations

import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
from cryptography.fernet import Fernet

from bx24app import create_app
from bx24app.config import load
from bx24app.infra import embedded_redis
from bx24app.models import Pbx as PbxRow
from bx24app.models import db
from tests.calls.inbox.test_receiver import signed
from tests.conftest import make_portal
from tests.support.scenarios import FIXTURES, Scenario

ROOT = Path(__file__).parents[2]


class Up:
    def __init__(self, process: subprocess.Popen[str], url: str, log: list[str]) -> None:
        self.process, self.url, self.log = process, url, log


@contextmanager
def up(environ: dict[str, str], *arguments: str) -> Iterator[Up]:
    """Start it, wait for its readiness line, end it whatever happens."""
    command = [sys.executable, "-m", "bx24app.cli", "up", "--port", "0", *arguments]
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, **environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    log: list[str] = []
    try:
        for line in process.stdout:
            log.append(line)
            found = re.search(r"bx24app ready on (http://\S+)", line)
            if found:
                yield Up(process, found.group(1), log)
                return
        raise AssertionError(f"it never became ready:\n{''.join(log)}")
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        process.stdout.close()


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {
        "BX24APP_DATA_DIR": str(tmp_path / "var"),
        "BX24APP_ALLOW_LOOPBACK": "1",
        "BX24APP_ENCRYPTION_KEYS": Fernet.generate_key().decode(),
        "BX24APP_WORKERS": "1",
        "BX24APP_WORKER_THREADS": "4",
    }


def hook_of(environ: dict[str, str]) -> str:
    """A paused portal with a PBX, in the database that `up` has just migrated."""
    app = create_app(load(environ))
    with app.app_context():
        make_portal()
        hook = db.session.query(PbxRow).one().hook_key
        db.session.remove()
        db.engine.dispose()
    return hook


def rows(environ: dict[str, str], query: str) -> list[tuple[object, ...]]:
    with sqlite3.connect(Path(environ["BX24APP_DATA_DIR"]) / "bx24app.sqlite") as connection:
        found = connection.execute(query).fetchall()
    connection.close()
    return found


def test_what_was_answered_survives_a_kill_and_the_next_start_goes_on(environ: dict[str, str]) -> None:
    notices = Scenario(FIXTURES / "incoming_answered_by_group").notices
    with up(environ) as first:
        hook = hook_of(environ)
        answered = 0
        for notice in notices:
            answer = requests.post(f"{first.url}/mango/{hook}/{notice.name}", data=signed(notice.raw), timeout=10)
            assert answer.status_code == 200
            answered += 1
        os.killpg(first.process.pid, signal.SIGKILL)
        first.process.wait(10)
    assert rows(environ, "SELECT count(*) FROM notification") == [(answered,)]
    with up(environ):
        end = time.monotonic() + 40
        while rows(environ, "SELECT count(*) FROM notification WHERE state = 'new'") != [(0,)]:
            assert time.monotonic() < end, "the second start did not go on"
            time.sleep(0.1)
    assert rows(environ, "SELECT outcome FROM call") == [("answered",)]


def test_sigterm_ends_it_with_0(environ: dict[str, str]) -> None:
    with up(environ) as running:
        assert requests.get(f"{running.url}/healthz", timeout=5).status_code == 200
        ready = requests.get(f"{running.url}/readyz", timeout=5)
        assert ready.status_code == 200
        assert set(ready.json()) >= {"status", "database", "redis", "pending", "oldest_pending_seconds"}
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(12) == 0


def test_a_second_one_on_the_same_directory_ends_before_it_touches_anything(environ: dict[str, str]) -> None:
    data_dir = Path(environ["BX24APP_DATA_DIR"])
    with embedded_redis.claim_data_dir(data_dir):
        done = subprocess.run(
            [sys.executable, "-m", "bx24app.cli", "up", "--port", "0"],
            cwd=ROOT,
            env={**os.environ, **environ},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 1
    assert f"another bx24app up runs on {data_dir.resolve()}" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (data_dir / "bx24app.sqlite").exists(), "the database of the running one is not migrated"


def test_a_wrong_variable_is_one_line_and_exit_2(environ: dict[str, str]) -> None:
    environ["BX24APP_QUIET_SECONDS"] = "soon"
    done = subprocess.run(
        [sys.executable, "-m", "bx24app.cli", "up"],
        cwd=ROOT,
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "BX24APP_QUIET_SECONDS" in done.stderr
    assert "Traceback" not in done.stderr


def test_web_alone_needs_redis(environ: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bx24app.cli", "web"],
        cwd=ROOT,
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "BX24APP_REDIS_URL" in done.stderr
