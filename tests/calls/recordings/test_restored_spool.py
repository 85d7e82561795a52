"""A database restored from a backup meets the spool of its own later life: nobody's recording is another one's."""

from __future__ import annotations

from pathlib import Path

import pytest
from flask import Flask

from bx24app.calls.recordings import attempts, download, spool_files
from bx24app.models import Call, Recording, db, utcnow
from tests.conftest import make_portal
from tests.security.test_recordings import Download


def waiting_recording(member_id: str, entry_id: str) -> int:
    """A recording of a portal's call that is due now."""
    portal = make_portal(member_id, state="active")
    call = Call(portal_id=portal.id, pbx_id=1, pbx_key="moscow", entry_id=entry_id, started_at=utcnow())
    db.session.add(call)
    db.session.flush()
    row = Recording(
        portal_id=portal.id, call_id=call.id, recording_id="R", bitrix_call_id="b", due_at=utcnow(), state="waiting"
    )
    db.session.add(row)
    db.session.commit()
    return row.id


def fetch(row_id: int, sound: bytes, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the portal would be given as this recording, while Mango gives `sound`."""
    monkeypatch.setattr(download, "open_stream", lambda *_: Download(b"ID3", sound))
    attempt = attempts.claim_recording(row_id)
    assert attempt is not None
    assert download.fetch_to_spool(attempt.source, attempt.spool_file) is None
    return attempt.spool_file


def restore_empty() -> None:
    """The database as it was before anybody had installed the app; row ids come again."""
    db.session.remove()
    db.drop_all()
    db.create_all()


def test_a_file_is_never_taken_for_another_tenants_recording(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    row_id = waiting_recording("alice", "E1")
    alices = fetch(row_id, b"alice-secret", monkeypatch)
    restore_empty()
    assert waiting_recording("bob", "E2") == row_id, "the ids came again: this is what the test is about"
    bobs = fetch(row_id, b"bob", monkeypatch)
    assert bobs.read_bytes() == b"ID3bob"
    assert bobs != alices
    assert spool_files.stems_of([alices], waiting_only=True) != {alices.stem}


def test_the_same_recording_finds_its_file_again(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    first = fetch(waiting_recording("alice", "E1"), b"fetched once", monkeypatch)
    restore_empty()
    again = fetch(waiting_recording("alice", "E1"), b"fetched twice", monkeypatch)
    assert (again, again.read_bytes()) == (first, b"ID3fetched once")
    assert spool_files.stems_of([again], waiting_only=True) == {again.stem}
