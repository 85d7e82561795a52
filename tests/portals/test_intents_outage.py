"""The database is away while an intent is carried out: what is left of it runs soon, not after a quarter of an hour."""

from __future__ import annotations

import threading
from contextlib import suppress
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy.exc import OperationalError

from bx24app.models import Intent, Portal, db, patience, utcnow
from bx24app.portals import intents
from tests.calls.test_unstored_answers import FullDisk, disk_full


@pytest.fixture
def portal_id(portal: Portal, monkeypatch: pytest.MonkeyPatch) -> int:
    """A portal whose lines have to be compared."""
    monkeypatch.setattr(patience, "RETRY_SECONDS", 0.05)
    intents.ask(portal.id, "lines")
    db.session.commit()
    return portal.id


def test_an_intent_that_is_done_is_removed_when_the_database_is_back(app: Flask, portal_id: int) -> None:
    disk = FullDisk("DELETE FROM intent")
    with intents.carry_out(portal_id, "lines"):
        disk.is_full = True
        threading.Timer(0.5, lambda: setattr(disk, "is_full", False)).start()
    assert disk.refused
    assert db.session.query(Intent).count() == 0


def test_an_intent_that_met_the_database_away_runs_again_soon(app: Flask, portal_id: int) -> None:
    disk = FullDisk("UPDATE intent")
    with suppress(OperationalError), intents.carry_out(portal_id, "lines"):
        disk.is_full = True
        threading.Timer(0.5, lambda: setattr(disk, "is_full", False)).start()
        raise disk_full()
    assert disk.refused
    row = db.session.query(Intent).one()
    assert row.owner is None
    assert row.due_at < utcnow() + timedelta(minutes=1)
