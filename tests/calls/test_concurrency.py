"""One drain of a portal runs in a process, and none of what others were woken for is missed; folds take turns in few
slots.
"""

from __future__ import annotations

import fcntl
import threading
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import text

from bx24app import create_app
from bx24app.calls import concurrency, drain
from bx24app.calls.concurrency import DrainSlot
from bx24app.cli import up
from bx24app.infra.runtime import runtime
from bx24app.models import db
from scripts import needs
from tests.conftest import config_for
from tests.support.servers import POSTGRES_MISSING, postgres


def test_a_second_drain_asks_the_first_to_look_again() -> None:
    slot, nudges = DrainSlot(), []
    assert slot.enter(lambda: nudges.append(1))
    assert not slot.is_nudged
    assert not slot.enter(lambda: nudges.append(2))
    assert not slot.enter(lambda: nudges.append(3))
    assert nudges == [1], "one nudge until the drain has looked"
    assert not slot.leave_unless_nudged(), "whoever asked has ended: the drain must not"
    assert slot.take_nudge()
    assert slot.ask_again()
    assert nudges == [1, 1]
    assert slot.leave(), "it had not looked"
    assert not slot.ask_again(), "nobody is there to look"
    assert slot.enter(lambda: None)
    assert slot.leave_unless_nudged()


def test_a_drain_that_comes_while_one_runs_ends_at_once(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """The running one looks again."""
    inside, go_on, steps = threading.Event(), threading.Event(), list[int]()

    def run_step(portal_id: int, *_: object) -> drain._DrainStep:
        steps.append(threading.get_ident())
        inside.set()
        assert go_on.wait(10)
        return drain._DrainStep([], [])

    def first() -> None:
        with app.app_context():
            drain.drain(7)

    monkeypatch.setattr(drain, "_run_step", run_step)
    thread = threading.Thread(target=first, daemon=True)
    thread.start()
    assert inside.wait(10)
    drain.drain(7)
    assert len(steps) == 1, "the second one ended without a step"
    go_on.set()
    thread.join(10)
    assert steps == [thread.ident] * 2, "the first one has looked again"
    drain.drain(8)
    assert len(steps) == 3


def test_a_failure_leaves_the_slot_free(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        assert not concurrency.drain_slot(7).enter(lambda: None)
        raise ValueError("x")

    monkeypatch.setattr(drain, "_run_step", fail)
    with pytest.raises(ValueError, match="x"):
        drain.drain(7)
    assert concurrency.drain_slot(7).enter(lambda: None)
    assert runtime().redis.zscore("wakeups:calls", 7), "whoever asked meanwhile is not forgotten"


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
