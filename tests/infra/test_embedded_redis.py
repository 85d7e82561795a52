"""The embedded Valkey: what it offers, and that nothing a predecessor left is in its way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import redis

from bx24app.infra import embedded_redis
from tests.infra.processes.test_supervisor import ROOT, lives, until

HOLD = "import sys, time; from pathlib import Path; from bx24app.infra import embedded_redis\nwith embedded_redis.run_server(Path(sys.argv[1])): print('up', flush=True); time.sleep(600)"  # noqa: E501


def test_it_serves_under_the_url_that_others_compute(tmp_path: Path) -> None:
    assert not embedded_redis.is_answering(tmp_path)
    with embedded_redis.run_server(tmp_path) as url, redis.Redis.from_url(url) as client:
        assert url == embedded_redis.socket_url(tmp_path)
        client.set("key", "value")
        assert client.config_get("save") == {"save": ""}
        pid = client.info("server")["process_id"]
        assert (tmp_path / "valkey.sock").stat().st_mode & 0o077 == 0, "no other user may reach it"
    assert not lives(pid)
    with embedded_redis.run_server(tmp_path) as url, redis.Redis.from_url(url) as client:
        assert client.get("key") is None, "an alarm clock, not a store"


def test_it_dies_with_its_parent_and_a_successor_starts(tmp_path: Path) -> None:
    owner = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    assert owner.stdout.readline() == "up\n"
    with redis.Redis.from_url(embedded_redis.socket_url(tmp_path)) as client:
        pid = client.info("server")["process_id"]
    owner.kill()
    owner.communicate()
    until(lambda: not lives(pid), "the server is gone")
    assert (tmp_path / "valkey.sock").exists(), "a killed server leaves its socket"
    with embedded_redis.run_server(tmp_path):
        assert embedded_redis.is_answering(tmp_path)


def test_a_second_one_on_the_same_directory_is_refused_in_one_line(tmp_path: Path) -> None:
    with embedded_redis.run_server(tmp_path):
        with pytest.raises(
            embedded_redis.EmbeddedRedisError, match=r"another bx24app up runs on .*BX24APP_DATA_DIR"
        ) as error:
            embedded_redis.claim_data_dir(tmp_path, timeout=0.1)
        assert "\n" not in str(error.value)
        assert embedded_redis.is_answering(tmp_path), "the first one is not hurt"


def test_a_data_directory_may_have_a_long_path(tmp_path: Path) -> None:
    deep = tmp_path / ("ordner-" * 10) / ("каталог-" * 10)
    with embedded_redis.run_server(deep) as url, redis.Redis.from_url(url) as client:
        assert client.ping()
        assert len(url.removeprefix("unix://")) < 100
    Path(embedded_redis.socket_url(deep).removeprefix("unix://")).unlink(missing_ok=True)


def test_the_short_place_must_be_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (tmp_path / f"bx24app-{os.geteuid()}").mkdir(mode=0o777)
    (tmp_path / f"bx24app-{os.geteuid()}").chmod(0o777)
    with pytest.raises(embedded_redis.EmbeddedRedisError, match="not a private directory"):
        embedded_redis.socket_url(tmp_path / ("x" * 100))


def test_a_server_that_cannot_start_says_where_its_log_is(tmp_path: Path) -> None:
    (tmp_path / "valkey.sock").mkdir()
    with (
        pytest.raises(embedded_redis.EmbeddedRedisError, match=r"did not start; its log is .*valkey\.log"),
        embedded_redis.run_server(tmp_path),
    ):
        pass
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
