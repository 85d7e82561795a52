"""The database is away just when an answer is to be stored: the answer is kept and stored later, and nothing is sent
again. The rows are a living worker's, so nobody else would go on with them for minutes.
"""

from __future__ import annotations

import sqlite3
import threading
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import event
from sqlalchemy.exc import OperationalError

from bx24app.bitrix24.client import Bitrix24Client
from bx24app.bitrix24.errors import AnswerLost
from bx24app.calls import drain
from bx24app.calls.outbox import portal_request
from bx24app.calls.outbox.batch import Batch
from bx24app.calls.recordings import transfer
from bx24app.models import Call, Delivery, Portal, Recording, db, patience, utcnow
from bx24app.portals import clients
from tests.calls.test_drain_budget import ring
from tests.calls.test_drain_share import SlowPortal, slow  # noqa: F401 - a fixture
from tests.support.stack import until


def disk_full() -> OperationalError:
    cause = sqlite3.OperationalError("database or disk is full")
    cause.sqlite_errorcode = sqlite3.SQLITE_FULL
    return OperationalError("UPDATE", {}, cause)


class FullDisk:
    """Statements that begin like this fail while `is_full`."""

    def __init__(self, beginning: str) -> None:
        self.beginning, self.is_full, self.refused = beginning, False, 0
        event.listen(db.engine, "before_cursor_execute", self._refuse)

    def _refuse(self, _connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if self.is_full and statement.startswith(self.beginning):
            self.refused += 1
            raise disk_full()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "RETRY_SECONDS", 0.05)


def test_an_answer_is_stored_when_the_database_is_back(app: Flask, portal: Portal, slow: SlowPortal) -> None:  # noqa: F811
    portal_id, disk = portal.id, FullDisk("UPDATE delivery")
    ring(portal_id)

    def work() -> None:
        with app.app_context(), suppress(OperationalError):
            drain.drain(portal_id)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    until(lambda: slow.under_way == 1, "the request never left", 10)
    disk.is_full = True
    slow.answer.set()
    until(lambda: disk.refused >= 3, "nobody tried to store the answer again", 20)
    disk.is_full = False
    thread.join(20)
    assert db.session.query(Delivery).filter_by(portal_id=portal_id).one().state == "done"
    assert slow.request_count == 1, "and nothing is sent twice"


def test_a_request_that_needed_the_database_is_tried_again_soon(monkeypatch: pytest.MonkeyPatch, app: Flask) -> None:
    def fail(_client: Bitrix24Client, _batch: Batch) -> None:
        raise disk_full()

    monkeypatch.setattr(portal_request.sender, "send", fail)
    error = portal_request.send_batch(1, None, Batch([], verification=object())).error  # type: ignore[arg-type]
    assert isinstance(error, AnswerLost)
    assert error.retry_after == portal_request.MACHINERY_PAUSE


@pytest.fixture
def recording_id(portal: Portal) -> int:
    """A recording that is due."""
    portal.state = "active"
    call = Call(portal_id=portal.id, pbx_id=1, pbx_key="moscow", entry_id="e", started_at=utcnow())
    db.session.add(call)
    db.session.flush()
    row = Recording(
        portal_id=portal.id, call_id=call.id, recording_id="r", bitrix_call_id="x", due_at=utcnow(), attempted=True,
        file_name="a.mp3",
    )  # fmt: skip
    db.session.add(row)
    db.session.commit()
    return row.id


class LostAnswer:
    """A client whose requests get no answer. The disk is full from then on."""

    def __init__(self, disk: FullDisk) -> None:
        self.disk = disk

    def call(self, *_: object) -> None:
        self.disk.is_full = True
        raise AnswerLost("timed out")


def test_what_became_of_a_recording_is_stored_when_the_database_is_back(
    recording_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = FullDisk("UPDATE recording")
    monkeypatch.setattr(clients, "client_by_id", lambda _: LostAnswer(disk))
    free = threading.Timer(0.5, lambda: setattr(disk, "is_full", False))
    free.start()
    transfer.transfer_recording(recording_id)
    free.join()
    row = db.session.get_one(Recording, recording_id)
    assert disk.refused
    assert (row.tries, row.claimed_at) == (1, None), "not another worker's for twenty minutes"


def test_a_recording_is_given_back_if_its_try_met_the_database_away(
    recording_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: int) -> None:
        raise disk_full()

    monkeypatch.setattr(clients, "client_by_id", fail)
    with pytest.raises(OperationalError):
        transfer.transfer_recording(recording_id)
    row = db.session.get_one(Recording, recording_id)
    assert (row.state, row.tries, row.claimed_at) == ("waiting", 0, None)
    assert row.due_at is not None
    assert row.due_at < utcnow() + timedelta(minutes=1)
