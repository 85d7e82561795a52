"""The servers that other tests run against are real, durable ones, and gone afterwards."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
import redis
import sqlalchemy as sa

from scripts import needs
from tests.support import servers


@pytest.mark.postgres
@pytest.mark.skipif(needs.postgres() is None, reason=servers.POSTGRES_MISSING)
def test_postgres_is_durable_and_gone_afterwards(tmp_path: Path) -> None:
    with servers.postgres(tmp_path) as url:
        engine = sa.create_engine(url)
        with engine.begin() as connection:
            settings = [
                connection.scalar(sa.text(f"SHOW {name}"))
                for name in ("fsync", "synchronous_commit", "server_encoding")
            ]
            assert settings == ["on", "on", "UTF8"]
            data = Path(str(connection.scalar(sa.text("SHOW data_directory"))))
            connection.execute(sa.text("CREATE TABLE note (body text)"))
        engine.dispose()
        assert data.stat().st_uid != 0, "PostgreSQL refuses to run as root"
    assert not data.exists()
    with pytest.raises(sa.exc.OperationalError), sa.create_engine(url).connect():
        pass


def test_two_valkeys_side_by_side(tmp_path: Path) -> None:
    with (
        servers.valkey(tmp_path) as one,
        servers.valkey(tmp_path) as other,
        redis.Redis.from_url(one) as first,
        redis.Redis.from_url(other) as second,
    ):
        first.set("key", "value")
        assert second.get("key") is None
        pid = first.info("server")["process_id"]
    assert not Path(f"/proc/{pid}").exists()
    assert list(tmp_path.iterdir()) == []


def test_needs_names_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(needs, "POSTGRES", tmp_path)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert needs.main() == 0
    assert "sudo apt-get install -y --no-install-recommends chromium postgresql" in capsys.readouterr().out


def test_needs_installs_nothing_where_all_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(needs, "missing", list)
    monkeypatch.setattr(subprocess, "run", lambda *a, **k: pytest.fail("nothing was to be run"))
    assert needs.main() == 0
