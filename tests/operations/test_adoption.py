"""Redis and spool of another life of the database are emptied, those of another installation left alone."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
import redis
import sqlalchemy as sa
from flask import Flask

from bx24app import create_app
from bx24app.calls.recordings import spool_files
from bx24app.domain.database_life import Owner
from bx24app.infra import queue, redis_marker, spool
from bx24app.infra.runtime import runtime
from bx24app.models import DatabaseIdentity, Portal, db, utcnow
from bx24app.operations import adoption, doctor
from tests.calls.recordings.test_download import full_disk
from tests.calls.recordings.test_restored_spool import waiting_recording
from tests.conftest import config_for, make_portal


@pytest.fixture
def client(app: Flask) -> redis.Redis:
    return runtime().queue_redis


def database_id() -> str:
    value: str = db.session.query(DatabaseIdentity.value).scalar()
    db.session.rollback()
    return value


def fill() -> None:
    """What a running installation leaves in Redis, and the key of a neighbour."""
    runtime().redis.set("mango:users:1", b"employees of a tenant")
    queue.wake_portal(7)
    queue.wake_at(7, utcnow() + timedelta(hours=1))
    queue.enqueue_background("try_again", 7, 1)
    runtime().queue_redis.set("shop:basket", b"not ours")


def left(client: redis.Redis) -> set[str]:
    keys = {key.decode() for key in client.keys("*")}  # type: ignore[union-attr]
    return keys - {redis_marker.MARKER_KEY, redis_marker.ALIVE_KEY, "rq:queues"}


def forget_newest() -> None:
    """What a restore does: the tables are those of an earlier moment, and so are the last ids."""
    db.session.execute(sa.delete(Portal))
    db.session.execute(sa.text("UPDATE sqlite_sequence SET seq = seq - 1 WHERE name = 'portal'"))
    db.session.commit()


def test_a_new_redis_and_one_of_an_older_version_keep_what_they_hold(client: redis.Redis) -> None:
    fill()
    before = left(client)
    assert (adoption.adopt_redis(), adoption.adopt_redis()) == (Owner.NOBODY, Owner.SAME)
    assert left(client) == before


def test_a_restored_database_empties_the_redis_of_its_later_life(client: redis.Redis) -> None:
    make_portal()
    adoption.adopt_redis()
    fill()
    forget_newest()
    before = database_id()
    assert adoption.adopt_redis() is Owner.LATER_LIFE
    assert left(client) == {"shop:basket"}
    assert database_id() != before
    assert adoption.adopt_redis() is Owner.SAME
    mark = redis_marker.read_mark(client)
    assert mark is not None
    assert mark.value == database_id()


def test_another_database_empties_it_too(client: redis.Redis) -> None:
    adoption.adopt_redis()
    fill()
    db.session.query(DatabaseIdentity).update({"value": "another"})
    db.session.commit()
    assert adoption.adopt_redis() is Owner.OTHER
    assert (left(client), database_id()) == ({"shop:basket"}, "another")


def test_keys_of_older_versions_go_while_they_may_be_used(client: redis.Redis) -> None:
    adoption.adopt_redis()
    for name in ("wake:7", "circuit:pbx:7", "clock", "clockwork", "admin"):
        client.set(name, b"1")
    later = utcnow() + timedelta(hours=1)
    db.session.query(DatabaseIdentity).update({"value": "another", "old_names_until": later})
    db.session.commit()
    assert adoption.adopt_redis() is Owner.OTHER
    assert left(client) == {"clockwork", "admin"}


def test_two_installations_are_noticed_and_neither_empties_the_other(client: redis.Redis) -> None:
    adoption.beat()
    client.set(redis_marker.ALIVE_KEY, "their process")
    fill()
    before = left(client)
    db.session.query(DatabaseIdentity).update({"value": "second installation"})
    db.session.commit()
    for _ in range(2):
        with pytest.raises(adoption.RedisInUse, match="another installation, or another copy of this database"):
            adoption.adopt_redis()
    assert left(client) == before
    finding = doctor._check_redis()
    assert (finding.is_ok, "give each its own" in finding.message) == (False, True)
    assert adoption.beat() is Owner.IN_USE
    assert left(client) == before


def test_a_copy_of_a_database_in_use_is_refused(client: redis.Redis) -> None:
    make_portal()
    adoption.beat()
    client.set(redis_marker.ALIVE_KEY, "their process")
    forget_newest()
    with pytest.raises(adoption.RedisInUse):
        adoption.adopt_redis()


def test_who_adopts_counts_as_alive_until_the_periodic_part_says_so(client: redis.Redis) -> None:
    adoption.adopt_redis()
    assert redis_marker.is_other_alive(client, "their process")
    adoption.adopt_redis()
    adoption.stop_beating()
    assert not redis_marker.is_other_alive(client, "their process")


def test_a_full_disk_stops_no_worker(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    with full_disk():
        assert adoption.adopt_spool() == 0
    assert adoption.adopt_spool() == 0
    assert (spool.folder() / "database").read_text() == database_id()


def test_a_goodbye_lets_the_next_one_in_at_once(client: redis.Redis) -> None:
    adoption.beat()
    adoption.stop_beating()
    db.session.query(DatabaseIdentity).update({"value": "another"})
    db.session.commit()
    assert adoption.adopt_redis() is Owner.OTHER


def test_a_beat_tells_an_emptied_redis_whose_it_is(client: redis.Redis) -> None:
    adoption.beat()
    client.flushall()
    assert (adoption.beat(), adoption.beat()) == (Owner.NOBODY, Owner.SAME)


@pytest.fixture
def processes(app: Flask, tmp_path: Path) -> Iterator[list[Flask]]:
    """Applications over the same database and Redis, each with connections of its own."""
    config = app.extensions["bx24app"].config
    apps = [create_app(config) for _ in range(6)]
    yield apps
    for other in apps:
        with other.app_context():
            db.engine.dispose()


def test_of_many_that_start_one_empties(client: redis.Redis, processes: list[Flask]) -> None:
    """And what the first ones queue afterwards stays."""
    make_portal()
    adoption.adopt_redis()
    client.delete(redis_marker.ALIVE_KEY)
    fill()
    forget_newest()

    def start(app: Flask) -> Owner:
        with app.app_context():
            try:
                owner = adoption.adopt_redis()
                queue.enqueue_background("look", 7)
                return owner
            finally:
                db.session.remove()

    with ThreadPoolExecutor(len(processes)) as pool:
        owners = sorted(pool.map(start, processes))
    assert owners == [Owner.LATER_LIFE, *[Owner.SAME] * (len(processes) - 1)]
    assert client.llen("rq:queue:background") == len(processes)


def test_the_spool_of_another_database_is_cleared_of_what_nobody_waits_for(app: Flask) -> None:
    row_id = waiting_recording("alice", "E1")
    mine = spool_files.files_of([row_id])[row_id]
    adoption.adopt_spool()
    for file in (mine, spool.path_of(row_id, "bob"), spool.folder() / "1.mp3"):
        file.write_bytes(b"ID3")
    assert adoption.adopt_spool() == 0, "the same database"
    db.session.query(DatabaseIdentity).update({"value": "another"})
    db.session.commit()
    assert adoption.adopt_spool() == 2
    assert spool.list_files() == [mine]
    assert adoption.adopt_spool() == 0


def test_without_redis_nothing_is_compared(app: Flask, tmp_path: Path) -> None:
    away = create_app(config_for(tmp_path, "redis://127.0.0.1:1"))
    with away.app_context(), pytest.raises(redis.RedisError):
        adoption.adopt_redis()
