"""Storing: what a process remembers of a hook is never believed against the tables; many at once, a bad row among them,
broken connections.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import pytest
from flask import Flask, current_app
from sqlalchemy import select, text, update

from bx24app import create_app, settings
from bx24app.calls.inbox import receiver, writer
from bx24app.domain.settings import PbxSettings as PbxSettings
from bx24app.domain.settings import Settings
from bx24app.models import Notification, Pbx, Portal, db, utcnow
from bx24app.settings import hook_keys
from scripts import needs
from tests.calls.inbox.test_receiver import FORM, RING, signed
from tests.conftest import DOCUMENT, KEY, SALT, config_for, make_portal
from tests.support.servers import POSTGRES_MISSING, Postgres, postgres_server

on_postgres = [pytest.mark.postgres, pytest.mark.skipif(needs.postgres() is None, reason=POSTGRES_MISSING)]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Postgres]]:
    """Starts a PostgreSQL server for the tests that ask for it."""
    with ExitStack() as stack:
        made: list[Postgres] = []

        def get() -> Postgres:
            if not made:
                made.append(stack.enter_context(postgres_server(tmp_path_factory.mktemp("pg"))))
            return made[0]

        yield get


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=on_postgres)])
def hook(
    request: pytest.FixtureRequest, tmp_path: Path, valkey_url: str, server: Callable[[], Postgres]
) -> Iterator[str]:
    """The hook key of an app over either database, remembered by it, within its context."""
    more = {"database_url": server().url} if request.param == "postgresql" else {}
    app = create_app(config_for(tmp_path, valkey_url, **more))
    (tmp_path / "var").mkdir(exist_ok=True)
    with app.app_context():
        app.extensions["bx24app"].redis.flushall()
        if request.param == "postgresql":
            with db.engine.begin() as connection:
                connection.execute(text("DROP SCHEMA public CASCADE"))
                connection.execute(text("CREATE SCHEMA public"))
        db.create_all()
        make_portal()
        key = db.session.query(Pbx).one().hook_key
        assert post(key, 1) == 200
        yield key
        db.session.remove()
        db.engine.dispose()


def post(key: str, seq: int, salt: str = SALT) -> int:
    """One more notification of the same leg."""
    raw = json.dumps(json.loads(RING) | {"seq": seq})
    return receiver.receive(key, "events/call", FORM, signed(raw, salt=salt), b"", {})


def stored() -> int:
    count = db.session.query(Notification).count()
    db.session.rollback()
    return count


def behind_its_back(**values: object) -> None:
    """Another process changes the PBX."""
    with db.engine.begin() as connection:
        connection.execute(update(Pbx).values(values))


def test_a_hook_is_remembered_and_asked_for_again_later(hook: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    look = receiver.find_hook
    monkeypatch.setattr(receiver, "find_hook", lambda key: asked.append(key) or look(key))
    assert [post(hook, seq) for seq in (2, 3)] == [200, 200]
    assert asked == []
    now = receiver.time.monotonic()
    monkeypatch.setattr(receiver.time, "monotonic", lambda: now + receiver.RECENT_SECONDS)
    assert [post(hook, seq) for seq in (4, 5)] == [200, 200]
    assert asked == [hook]
    assert stored() == 5


def rotate_twice(key: str) -> None:
    """The second rotation ends the first one's overlap."""
    for _ in range(2):
        row = db.session.query(Pbx).one()
        assert hook_keys.rotate(row.portal_id, row.key, row.hook_key, 7)


def rotate_and_wait(key: str) -> None:
    rotate_twice(key)
    behind_its_back(old_hook_hash=hook_keys.hash_hook_key(key), old_hook_until=utcnow() - timedelta(seconds=1))


def drop_pbx(key: str) -> None:
    settings.save_version(db.session.query(Portal).one(), Settings())
    db.session.commit()


def remove_portal(key: str) -> None:
    db.session.query(Portal).update({"state": "removed"})
    db.session.commit()


def other_salt(key: str) -> None:
    settings.save_version(db.session.query(Portal).one(), DOCUMENT, {"moscow": (KEY, "x" * 32)})
    db.session.commit()


def other_dialect(key: str) -> None:
    settings.save_version(
        db.session.query(Portal).one(), Settings(pbxs=(PbxSettings(key="moscow", dialects=("events",)),))
    )
    db.session.commit()


@pytest.mark.parametrize(
    ("change", "status"),
    [
        (rotate_twice, 404),
        (rotate_and_wait, 404),
        (drop_pbx, 404),
        (remove_portal, 404),
        (other_salt, 403),
        (other_dialect, 403),
    ],
)
def test_a_change_is_obeyed_at_once(hook: str, change: Callable[[str], None], status: int) -> None:
    change(hook)
    assert post(hook, 2) == status
    assert stored() == 1
    assert post(hook, 1) == status, "a repeated one too"


def test_what_changes_nothing_for_the_sender_loses_nothing(hook: str) -> None:
    row = db.session.query(Pbx).one()
    assert hook_keys.rotate(row.portal_id, row.key, hook, 7)
    fresh = db.session.query(Pbx).one().hook_key
    assert [post(hook, 2), post(fresh, 3), post(hook, 4)] == [200] * 3, "the day of overlap"
    for row in db.session.query(Pbx):
        row.api_key, row.api_salt = KEY, SALT  # the same, sealed anew, as `keys rotate` does
    db.session.commit()
    assert [post(hook, 5), post(fresh, 6)] == [200, 200]
    db.session.query(Portal).update({"state": "paused"})
    db.session.commit()
    assert post(hook, 7) == 200, "a paused portal's calls wait"
    settings.save_version(db.session.query(Portal).one(), DOCUMENT, {"moscow": (KEY, "x" * 32)})
    db.session.commit()
    assert [post(hook, 8, "x" * 32), post(hook, 9, "x" * 32)] == [200, 200], "the new salt at once"
    assert stored() == 9


def test_refused_ones_are_counted_and_the_next_good_one_ends_the_count(hook: str) -> None:
    assert [post(hook, 2, "x" * 32), post(hook, 2, "x" * 32)] == [403, 403]
    assert db.session.scalar(select(Pbx.refused_count)) == 2
    assert post(hook, 2) == 200
    assert db.session.scalar(select(Pbx.refused_count)) == 0
    db.session.rollback()
    behind_its_back(refused_count=5)  # counted by another process
    assert post(hook, 3) == 200
    assert db.session.scalar(select(Pbx.refused_count)) == 0
    db.session.rollback()


def test_many_at_once_are_each_stored_once(hook: str, app_of: Flask) -> None:
    said: list[int] = []

    def send(first: int) -> None:
        with app_of.app_context():
            said.extend(post(hook, seq) for seq in range(first, first + 20))

    threads = [
        threading.Thread(target=send, args=(1 + 10 * number,)) for number in range(8)
    ]  # each half of its neighbour's too
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert said == [200] * 160
    assert stored() == 90


@pytest.fixture
def app_of(hook: str) -> Flask:
    return current_app._get_current_object()  # type: ignore[attr-defined,no-any-return]


def test_one_that_cannot_be_stored_takes_no_other_with_it(hook: str) -> None:
    row = db.session.query(Notification).one()
    values = {name: getattr(row, name) for name in writer._COLUMNS}
    db.session.rollback()
    desk = writer._inbox_writer()
    batch = [
        writer._PendingRow(desk._row_values(values | {"dedup_key": name, "name": name}, None))
        for name in ("a", "\ud800", "b")
    ]
    desk._store_batch(batch)
    assert [one.is_done for one in batch] == [True] * 3
    assert [one.is_new for one in batch] == [True, False, True]
    assert [one.error is None for one in batch] == [True, False, True]
    assert stored() == 3


@pytest.mark.parametrize("hook", [pytest.param("postgresql", marks=on_postgres)], indirect=True)
def test_a_connection_that_broke_unseen_is_replaced(hook: str, server: Callable[[], Postgres]) -> None:
    server().restart()
    assert post(hook, 2) == 200
    server().stop()
    assert post(hook, 3) == 503
    server().start()
    assert post(hook, 3) == 200
    db.engine.dispose()
    assert stored() == 3
