"""The database is restored from a backup over the Redis and the spool of its later life, as docs/operator.md says.

In the later life another tenant came, whose recordings wait in the spool under the row ids that everybody's next
recordings get.
"""

from __future__ import annotations

import os
import sqlite3
import subprocess
from pathlib import Path

import psycopg
import redis

from bx24app.infra import redis_marker
from bx24app.models import DatabaseIdentity, Recording, database_identity, db
from bx24app.sandbox.bitrix.state import User
from scripts import needs
from tests.conftest import KEY, SALT
from tests.end_to_end.test_two_portals import SCENARIO, TALKERS, document
from tests.stress.chaos.faults import Fault, nothing
from tests.stress.chaos.processes import ChaosStack
from tests.stress.chaos.run import run as run_day
from tests.stress.chaos.verdict import Row
from tests.support.replayed_scenario import absorb, as_new_call, post
from tests.support.stack import World, until

NAME = "restored database over Redis and spool of its later life"
SECRET = b"the other tenant's secret"
LEFT_KEY = "bx24app:left behind:mango:users:1"


def run(stack: ChaosStack, count: int, seconds: float, patience: float = 300) -> Row:
    """Back up, let the other tenant's recordings wait, stop, restore, start, and send everybody's day of calls."""
    world = stack.world
    until(lambda: _identity(world) and not world.pending(), "an earlier day is in flight", 60)
    backup, identity = _back_up(stack), _identity(world)
    waiting = _let_recordings_wait(world, max(2, count // 20))
    until(lambda: _is_remembered(stack), "Redis never learnt how far the ids had come", 60)  # every `BEAT_SECONDS`
    stack.kill_all()
    hits = world.sandbox.portals[1].hits
    with redis.Redis.from_url(stack.valkey.url) as client:
        client.set(LEFT_KEY, b"employees of a tenant")
        until(lambda: not client.exists(redis_marker.ALIVE_KEY), "a killed scheduler counts as alive", 60)
        _restore(stack, backup)
        stack.start("worker")
        stack.start("cron")
        until(lambda: _identity(world) != identity, "nobody saw that the database was restored", 60)
        row = run_day(stack, Fault(NAME, nothing), count, seconds, patience)
        if client.exists(LEFT_KEY):
            _blame(row, "a key of the later life is still there")
    if world.sandbox.portals[1].hits != hits:
        _blame(row, "the tenant of the later life was asked something")
    if wrong := [file.name for file in world.portal.files.values() if file.content.endswith(SECRET)]:
        row.wrong["recording"] += len(wrong)
        row.details.append(f"{NAME}: the other tenant's recordings at calls: {wrong}")
    left = {name for name in waiting if (world.config.data_dir / "spool" / name).exists()}
    if left:
        _blame(row, f"files of the later life are still there: {left}")
    return row


def _blame(row: Row, what: str) -> None:
    row.wrong["else"] += 1
    row.details.append(f"{NAME}: {what}")


def _identity(world: World) -> str:
    with world.app.app_context():
        value: str = db.session.query(DatabaseIdentity.value).scalar()
        db.session.rollback()
        return value


def _is_remembered(stack: ChaosStack) -> bool:
    """Does Redis know of the later recordings? Only then can a restore be noticed."""
    with redis.Redis.from_url(stack.valkey.url) as client:
        mark = redis_marker.read_mark(client)
    with stack.world.app.app_context():
        last_ids = database_identity.read_last_ids()
        db.session.rollback()
    # A table's name on SQLite, that of its sequence on PostgreSQL.
    later = {name: last for name, last in last_ids.items() if name in ("recording", "recording_id_seq")}
    return mark is not None and bool(later) and all(mark.last_ids.get(name, 0) >= last for name, last in later.items())


def _let_recordings_wait(world: World, calls: int) -> set[str]:
    """The other tenant installs the app; their portal's disk is full. Returns the names of their files in the spool."""
    portal = world.sandbox.portals[1]
    portal.limits.rate = 0
    world.sandbox.call(lambda: world.mango.add_pbx(api_key=KEY, api_salt=SALT, name="theirs"))
    users = {user: User(id=user, name="Worker", last_name=str(user), email=f"{user}@x.test") for user in TALKERS[1]}
    world.sandbox.call(portal.users.update, users)
    world.install(number=1)
    hook = world.connect(document(1, "SECOND"), {"moscow": (KEY, SALT)}, 1)["moscow"]
    world.sandbox.call(portal.switches.switch_on, "disk_full")
    for _ in range(calls):
        retold = as_new_call(SCENARIO)
        world.sandbox.call(absorb, world.mango, retold.notices)
        for notice in retold.notices:
            assert post(hook, notice) == 200
    until(lambda: len(_files(world)) >= calls, "no recording of the other tenant waits in the spool", 90)
    for name in _files(world):
        with (world.config.data_dir / "spool" / name).open("ab") as file:
            file.write(SECRET)
    return _files(world)


def _files(world: World) -> set[str]:
    """Of recordings that wait, so that no worker removes them a moment later."""
    with world.app.app_context():
        rows = {str(row.id) for row in db.session.query(Recording.id).filter_by(state="waiting")}
        db.session.rollback()
    return {path.name for path in (world.config.data_dir / "spool").glob("*.mp3") if path.name.split("-")[0] in rows}


def _back_up(stack: ChaosStack) -> Path:
    if stack.postgres is None:
        return _copy_sqlite(_sqlite_file(stack), stack.folder / "backup.sqlite")
    backup = stack.folder / "backup.dump"
    _run_postgres("pg_dump", "--format=custom", f"--file={backup}", _plain_url(stack))
    return backup


def _restore(stack: ChaosStack, backup: Path) -> None:
    with stack.world.app.app_context():
        db.engine.dispose()
    if stack.postgres is None:
        _copy_sqlite(backup, _sqlite_file(stack))
        return
    server = _plain_url(stack).removesuffix("bx24app") + "postgres"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute("DROP DATABASE bx24app WITH (FORCE)")
        connection.execute("CREATE DATABASE bx24app")
    _run_postgres("pg_restore", "--exit-on-error", f"--dbname={_plain_url(stack)}", str(backup))


def _plain_url(stack: ChaosStack) -> str:
    return stack.world.config.database_url.replace("postgresql+psycopg", "postgresql")


def _sqlite_file(stack: ChaosStack) -> Path:
    return Path(stack.world.config.database_url.removeprefix("sqlite:///"))


def _copy_sqlite(source: Path, target: Path) -> Path:
    with sqlite3.connect(source) as from_database, sqlite3.connect(target) as to_database:
        from_database.backup(to_database)
    from_database.close()
    to_database.close()
    return target


def _run_postgres(program: str, *arguments: str) -> None:
    command = [f"{needs.postgres()}/{program}", *arguments]
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, "LC_ALL": "C"})
