"""Turns at SQLite's write lock: notifications are stored before the next fold, and never wait for a frozen one."""

from __future__ import annotations

import fcntl
import threading
import time
from pathlib import Path

import pytest

from bx24app.infra.sqlite_turns import SqliteTurns
from tests.support.stack import until


class Line:
    """Those who wait for the desk, each with files of its own as another process would have, and who got it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.served = list[str]()
        self.threads = list[threading.Thread]()

    def join(self, name: str, inbox: bool = False) -> None:
        turns = SqliteTurns()

        def work() -> None:
            with turns.inbox_turn(self._folder, 20) if inbox else turns.fold_turn(self._folder):
                self.served.append(name)

        self.threads.append(threading.Thread(target=work, daemon=True))
        self.threads[-1].start()

    def leave(self) -> None:
        for thread in self.threads:
            thread.join(20)
            assert not thread.is_alive()


def holds_turn(folder: Path) -> bool:
    """Does somebody who waits for the desk hold the turn?"""
    with (folder / "turn.lock").open("ab") as other:
        try:
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def test_notifications_come_before_a_fold_that_gives_the_desk_back_and_takes_it_again(tmp_path: Path) -> None:
    line, folds = Line(tmp_path), SqliteTurns()
    with folds.fold_turn(tmp_path):
        line.join("inbox", inbox=True)
        until(lambda: holds_turn(tmp_path), "it does not wait", 20)
        assert not line.served
    with folds.fold_turn(tmp_path):
        assert line.served == ["inbox"]
    line.leave()


def test_folds_of_other_processes_come_too(tmp_path: Path) -> None:
    line, inbox = Line(tmp_path), SqliteTurns()
    with inbox.inbox_turn(tmp_path, 20):
        line.join("fold")
        until(lambda: holds_turn(tmp_path), "it does not wait", 20)
        assert not line.served
    line.leave()
    assert line.served == ["fold"]


def test_a_frozen_fold_holds_notifications_up_for_a_bounded_time(tmp_path: Path) -> None:
    frozen, inbox = SqliteTurns(), SqliteTurns()
    with frozen.fold_turn(tmp_path):
        began = time.monotonic()
        with inbox.inbox_turn(tmp_path, 0.2):
            assert time.monotonic() - began >= 0.2
        with inbox.inbox_turn(tmp_path, 0.01):
            pass
    with inbox.inbox_turn(tmp_path, 20), SqliteTurns().inbox_turn(tmp_path, 0.01):
        pass  # the turn was given back each time, and the desk is its own


def test_an_error_gives_the_desk_back(tmp_path: Path) -> None:
    turns = SqliteTurns()
    for take in (lambda: turns.fold_turn(tmp_path), lambda: turns.inbox_turn(tmp_path, 20)):
        with pytest.raises(ValueError, match="x"), take():
            raise ValueError("x")
    with SqliteTurns().fold_turn(tmp_path):
        pass
