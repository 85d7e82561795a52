"""Every key of ours holds the database's id, whoever makes it up; RQ's names stay as they are."""

from __future__ import annotations

import ast
from datetime import timedelta
from pathlib import Path

import pytest
import redis
from flask import Flask

from bx24app.bitrix24.budget import RequestBudget
from bx24app.infra import circuit_breaker, own_keys, queue, rate_limit
from bx24app.infra.own_keys import DatabaseId, KeyNames
from bx24app.infra.runtime import runtime
from bx24app.models import DatabaseIdentity, db, utcnow
from bx24app.web.monitoring import ack_latency

PACKAGE = Path(__file__).parents[2] / "bx24app"
PLAIN_CLIENTS = {
    "cli/demo.py", "infra/embedded_redis.py", "infra/keyed_redis.py", "infra/queue.py", "infra/redis_client.py",
    "infra/redis_marker.py", "infra/runtime.py", "infra/worker.py", "operations/adoption.py",
}  # fmt: skip
"""Modules that may see a client which does not name keys."""


def own_prefix() -> str:
    return f"bx24app:{db.session.query(DatabaseIdentity.value).scalar()}:"


def keys_in_redis() -> list[str]:
    keys = [key.decode() for key in runtime().queue_redis.keys("*")]  # type: ignore[union-attr]
    return sorted(key for key in keys if not key.startswith("rq:"))


def test_whatever_is_kept_holds_the_databases_id(app: Flask) -> None:
    queue.wake_portal(7)
    queue.enqueue_background("watch")
    queue.wake_at(8, utcnow() + timedelta(minutes=1))
    circuit_breaker.of_pbx(1).record_failure()
    RequestBudget(runtime().redis, "member").acquire()
    rate_limit.is_over_limit("hook", "127.0.0.1")
    ack_latency.record_latency(0.1)
    ack_latency.flush_counts()
    client = runtime().redis
    with client.lock("refresh:7", timeout=60) as lock, client.pipeline() as pipe:
        assert client.exists("refresh:7") == 1
        pipe.set("gather:7", b"1").incrby("made up by somebody tomorrow", 2).get("gather:7")
        assert pipe.execute()[1:] == [2, b"1"]
        names = keys_in_redis()
        assert lock.owned()
    prefix = own_prefix()
    assert [name for name in names if not name.startswith(prefix)] == []
    written = {name.removeprefix(prefix).split(":")[0] for name in names}
    assert written >= {"wakeups", "alarm", "circuit", "budget", "flood", "refresh", "gather", "bx24app"}
    assert client.delete("wakeups:calls", "gather:7") == 2
    assert client.llen("rq:queue:background") == runtime().queue_redis.llen("rq:queue:background") == 1


def test_a_command_whose_keys_nobody_named_is_refused(app: Flask) -> None:
    with pytest.raises(ValueError, match=r"say in infra\.keyed_redis where SINTERCARD has its keys"):
        runtime().redis.sintercard(1, ["a"])


def test_nobody_else_uses_a_client_that_does_not_name_keys() -> None:
    users = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and (
                node.attr == "queue_redis" or ast.unparse(node) in ("redis.Redis.from_url", "redis_client.connect")
            ):
                users.add(path.relative_to(PACKAGE).as_posix())
    assert users <= PLAIN_CLIENTS


def test_two_databases_never_meet_in_one_redis(app: Flask) -> None:
    client = runtime().redis
    client.set("mango:users:1", b"alice")
    runtime().key_names._current = DatabaseId("another")
    assert client.get("mango:users:1") is None


def test_old_processes_are_understood_for_an_hour(app: Flask) -> None:
    """The same flags and locks while both run; a key that they do not know has its full name at once."""
    database = db.session.query(DatabaseIdentity).one()
    database.old_names_until = utcnow() + timedelta(hours=1)
    db.session.commit()
    old = redis.Redis.from_url(runtime().config.redis_url)
    runtime().redis.set("gather:7", b"1")
    assert old.get("gather:7") == b"1"
    assert old.set("refresh:7", "theirs", ex=60)
    assert not runtime().redis.lock("refresh:7", timeout=60, blocking=False).acquire()
    runtime().redis.set("lease:7", b"1")
    assert old.get("lease:7") is None
    old.close()


def test_without_a_database_it_is_as_without_redis(app: Flask) -> None:
    runtime().key_names = names = KeyNames(lambda: None)
    with pytest.raises(redis.ConnectionError, match="has not said its id"):
        names("wake:7")


def test_a_process_ends_when_the_database_was_replaced_under_it() -> None:
    answers = [DatabaseId("one"), None, DatabaseId("one"), DatabaseId("two")]
    names, changes = KeyNames(lambda: answers.pop(0)), []
    names.on_change = lambda: changes.append("changed")
    seen = []
    for _ in range(4):
        names._checked_at = -own_keys.CHECK_SECONDS
        seen.append((names("wake:7"), len(changes)))
    assert seen == [("bx24app:one:wake:7", 0)] * 3 + [("bx24app:two:wake:7", 1)]
