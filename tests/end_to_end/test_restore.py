"""Back-up and restore as docs/operator.md says: dump, another database, the same keys; calls go on, none is told twice.
"""

from __future__ import annotations

import os
import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bx24app.models import db
from scripts import needs
from tests.conftest import config_for
from tests.end_to_end.test_scenarios import connect, told
from tests.support import servers
from tests.support.replayed_scenario import absorb, as_new_call, in_portal, post
from tests.support.scenarios import all_scenarios
from tests.support.stack import until, world

SCENARIO = next(s for s in all_scenarios() if s.folder.name == "transfer_blind_by_api")


def run(program: str, *arguments: str) -> None:
    command = [f"{needs.postgres()}/{program}", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "LC_ALL": "C"})
    assert done.returncode == 0, (command, done.stderr)


def from_postgres(url: str, folder: Path) -> str:
    """pg_dump while the app runs; the dump restored beside the first database."""
    plain = url.replace("postgresql+psycopg", "postgresql")
    dump = str(folder / "bx24app.dump")
    run("pg_dump", "--format=custom", f"--file={dump}", plain)
    run("createdb", f"--maintenance-db={plain}", "restored")
    run("pg_restore", "--exit-on-error", f"--dbname={plain.removesuffix('bx24app')}restored", dump)
    return f"{url.removesuffix('bx24app')}restored"


def from_sqlite(url: str, folder: Path) -> str:
    source, target = sqlite3.connect(url.removeprefix("sqlite:///")), sqlite3.connect(folder / "restored.sqlite")
    source.backup(target)
    source.close()
    target.close()
    return f"sqlite:///{folder / 'restored.sqlite'}"


@pytest.mark.postgres
@pytest.mark.parametrize("kind", ["postgresql", "sqlite"])
def test_the_restored_app_goes_on(kind: str, tmp_path: Path, valkey_url: str) -> None:
    """Half a call is told, the database saved, the machine gone; the restored app hears the rest and finishes that call
    once.
    """
    if kind == "sqlite":
        live(tmp_path, valkey_url, from_sqlite)
        return
    with servers.postgres(tmp_path) as url:
        live(tmp_path, valkey_url, from_postgres, database_url=url)


def live(tmp_path: Path, redis_url: str, save: Callable[[str, Path], str], **more: Any) -> None:
    with world(tmp_path / "one", redis_url, config_for, quiet_seconds=2, **more) as earth:
        earth.portal.limits.rate = 0
        earth.work()
        earth.install()
        hook = connect(earth, SCENARIO)
        retold = as_new_call(SCENARIO)
        earth.sandbox.call(absorb, earth.mango, retold.notices)
        half = len(retold.notices) // 2
        for notice in retold.notices[:half]:
            assert post(hook, notice) == 200
        until(lambda: in_portal(earth, retold)["open"], "the first half never registered")
        earth.settle_quietly()
        restored = save(earth.config.database_url, tmp_path)
        before = earth.config
        earth.move(before.model_copy(update={"database_url": restored, "data_dir": tmp_path / "two"}))
        for notice in retold.notices:  # whoever was not sure says it again
            assert post(hook, notice) == 200
        earth.settle(90)
        until(lambda: all(row[7] for row in in_portal(earth, retold)["calls"]), "no recording")
        found = in_portal(earth, retold)
        _, fair = told(earth, SCENARIO, "as it is")
        with earth.app.app_context():
            assert str(db.engine.url) == restored
    assert len(fair["calls"]) == 2  # type: ignore[arg-type]
    assert found == fair
