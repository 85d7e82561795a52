"""`bx24app up` over a Redis that remembers something: another life's jobs go before anybody works, another installation
is not disturbed.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import redis
from cryptography.fernet import Fernet

from bx24app.cli.up import close_to_others
from bx24app.infra import redis_marker
from tests.cli.test_up import ROOT, rows, up
from tests.support.servers import valkey
from tests.support.stack import until


def test_what_older_versions_left_readable_is_closed(tmp_path: Path) -> None:
    (tmp_path / "spool").mkdir()
    (tmp_path / "bx24app.sqlite").touch()
    (tmp_path / "notes.txt").touch()
    for name, mode in (("spool", 0o755), ("bx24app.sqlite", 0o644), ("notes.txt", 0o644)):
        (tmp_path / name).chmod(mode)  # whatever umask an earlier command left behind
    close_to_others(tmp_path)
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert modes == {"spool": 0o750, "bx24app.sqlite": 0o640, "notes.txt": 0o644}


MARK = {"id": "another database", "last_ids": {}}


@pytest.fixture
def environ(tmp_path: Path, request: pytest.FixtureRequest) -> dict[str, str]:
    url = request.getfixturevalue("own_valkey")
    return {
        "BX24APP_DATA_DIR": str(tmp_path / "var"),
        "BX24APP_REDIS_URL": url,
        "BX24APP_ALLOW_LOOPBACK": "1",
        "BX24APP_ENCRYPTION_KEYS": Fernet.generate_key().decode(),
        "BX24APP_SECRET_KEY": "tests only",
        "BX24APP_WORKERS": "1",
        "BX24APP_WORKER_THREADS": "2",
    }


@pytest.fixture
def own_valkey(tmp_path: Path) -> object:
    with valkey(tmp_path) as url:
        yield url


@pytest.fixture
def client(own_valkey: str) -> object:
    with redis.Redis.from_url(own_valkey) as made:
        yield made


def test_it_begins_with_nothing_of_another_life(environ: dict[str, str], client: redis.Redis) -> None:
    client.set(redis_marker.MARKER_KEY, json.dumps(MARK))
    client.set("bx24app:another database:mango:users:1", b"employees of a tenant")
    client.rpush("rq:queue:background", "job of another life")
    with up(environ) as running:
        [(mine,)] = rows(environ, "SELECT value FROM database_identity")
        assert json.loads(client.get(redis_marker.MARKER_KEY) or b"")["id"] == mine
        assert list(client.scan_iter("bx24app:another*")) == []
        assert b"job of another life" not in client.lrange("rq:queue:background", 0, -1)
        starter = client.get(redis_marker.ALIVE_KEY)
        until(lambda: client.get(redis_marker.ALIVE_KEY) != starter, "the periodic part does not say that it works", 20)
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(15) == 0
    assert client.get(redis_marker.ALIVE_KEY) is None, "the next one need not wait"


def test_it_does_not_start_over_another_installations_redis(environ: dict[str, str], client: redis.Redis) -> None:
    client.set(redis_marker.MARKER_KEY, json.dumps(MARK))
    client.set(redis_marker.ALIVE_KEY, "somebody", ex=600)
    client.set("bx24app:another database:mango:users:1", b"employees of a tenant")
    for command in ("up", "web", "worker", "cron"):
        arguments = ["--port", "0"] if command in ("up", "web") else []
        done = subprocess.run(
            [sys.executable, "-m", "bx24app.cli", command, *arguments],
            cwd=ROOT, env=environ, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert (done.returncode, "another installation" in done.stderr) == (1, True), (command, done.stderr)
        assert "Traceback" not in done.stderr
    assert client.get("bx24app:another database:mango:users:1") is not None
