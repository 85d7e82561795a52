"""A flooded portal's drains wait one at a time, and none of what they were rung for is missed; folds stand in line
behind the doors.
"""

from __future__ import annotations

import fcntl
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import text

from bx24app import create_app
from bx24app.calls import concurrency, drain
from bx24app.calls.concurrency import PortalGate
from bx24app.cli import up
from bx24app.infra.runtime import runtime
from bx24app.models import db
from scripts import needs
from tests.conftest import config_for
from tests.support.servers import POSTGRES_MISSING, postgres


def until(true: Callable[[], bool]) -> None:
    end = threading.Event()
    for _ in range(1000):
        if true():
            return
        end.wait(0.01)
    raise AssertionError("it never happened")


def test_one_waits_and_the_others_hear_of_it() -> None:
    door, inside, go = PortalGate(), threading.Event(), threading.Event()
    assert not door.has_waiter

    def first() -> None:
        with door.enter():
            inside.set()
            go.wait(10)

    def second() -> None:
        with door.enter():
            pass

    threads = [threading.Thread(target=one, daemon=True) for one in (first, second)]
    threads[0].start()
    assert inside.wait(10)
    assert not door.has_waiter, "who is inside may have read already"
    threads[1].start()
    until(lambda: door.has_waiter)
    go.set()
    for thread in threads:
        thread.join(10)
    assert not door.has_waiter


def test_a_failure_leaves_the_door_open() -> None:
    door = PortalGate()
    with pytest.raises(ValueError, match="x"), door.enter():
        raise ValueError("x")
    with door.enter():
        assert not door.has_waiter


@pytest.mark.usefixtures("app")
def test_a_drain_behind_a_waiting_one_ends_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[int] = []
    nothing = drain._DrainStep([], [])
    monkeypatch.setattr(drain, "_run_step", lambda portal_id, *_, **__: steps.append(portal_id) or nothing)  # type: ignore[func-returns-value]
    drain.drain(7)
    monkeypatch.setattr(concurrency.portal_gate(7), "_waiter_count", 1)
    drain.drain(7)
    drain.drain(8)
    assert steps == [7, 8]


def taken_elsewhere(folder: Path) -> bool:
    """Does another process find SQLite's desk taken? A lock of an opening of its own is another's to the kernel."""
    with (folder / "desk.lock").open("ab") as other:
        try:
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def test_on_sqlite_the_drains_of_all_processes_stand_in_one_line(tmp_path: Path) -> None:
    gates = concurrency.DrainGates()
    with gates.fold_slot("sqlite", tmp_path):
        assert taken_elsewhere(tmp_path)
    assert not taken_elsewhere(tmp_path)
    with pytest.raises(ValueError, match="x"), gates.fold_slot("sqlite", tmp_path):
        raise ValueError("x")
    assert not taken_elsewhere(tmp_path)


def test_a_desk_is_one_for_the_threads_of_a_process_too(tmp_path: Path) -> None:
    seen: list[str] = []
    gates = concurrency.DrainGates()

    def second() -> None:
        with gates.fold_slot("sqlite", tmp_path):
            seen.append("second")

    thread = threading.Thread(target=second, daemon=True)
    with gates.fold_slot("sqlite", tmp_path):
        thread.start()
        thread.join(0.2)
        seen.append("first")
    thread.join(10)
    assert seen == ["first", "second"]


@pytest.mark.postgres
@pytest.mark.skipif(needs.postgres() is None, reason=POSTGRES_MISSING)
def test_on_postgresql_who_waits_for_a_portals_lock_takes_no_desk(tmp_path: Path) -> None:
    with postgres(tmp_path) as url:
        app = create_app(config_for(tmp_path, "redis://127.0.0.1:1", database_url=url))
        up.migrate_database(app)
        entered = threading.Event()

        def fold() -> None:
            with app.app_context(), drain._lock_for_fold(1):
                entered.set()

        with app.app_context():
            with db.engine.connect() as frozen:  # another machine's, in the middle of a transaction
                frozen.execute(text("SELECT pg_advisory_xact_lock(2852, 1)"))
                thread = threading.Thread(target=fold, daemon=True)
                thread.start()
                assert not entered.wait(0.5)
                free = runtime().get(concurrency.DrainGates)._fold_slots["postgresql"]
                taken = [free.acquire(blocking=False) for _ in range(3)]
                for one in taken:
                    if one:
                        free.release()
                assert taken == [True, True, True]
                frozen.rollback()
            assert entered.wait(10)
            thread.join(10)
            db.engine.dispose()
