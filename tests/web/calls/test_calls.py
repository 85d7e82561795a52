"""The journal in the frame, and recordings by ticket."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from bx24app.calls.recordings import download
from bx24app.mango.errors import ResourceNotFound, Unreachable
from bx24app.models import Audit, Call, Delivery, Notification, Pbx, Portal, Recording, db, utcnow
from bx24app.web.base import session
from tests.support.frame_pages import Frame, frame, has, mango
from tests.web.conftest import claim

__all__ = ["frame", "mango"]


def add_call(portal: int, number: int, **fields: Any) -> Call:
    """A finished answered call, `number` minutes ago."""
    values: dict[str, Any] = {
        "portal_id": portal, "pbx_id": 1, "pbx_key": "moscow", "entry_id": f"entry-{number}", "state": "finished",
        "client_number": f"+7916{number:07d}", "line_number": "74951234567", "outcome": "answered", "talk_seconds": 65,
        "user_id": 11, "users": [11, 12], "started_at": utcnow() - timedelta(minutes=number),
    }  # fmt: skip
    row = Call(**values | fields)
    db.session.add(row)
    db.session.flush()
    return row


@pytest.fixture
def call(site: Flask, portal: int) -> int:
    """One call with a recording, notifications and deliveries."""
    with site.app_context():
        row = add_call(portal, 1, crm=[{"entity": "deal", "id": 5, "created": True}], problem="something was refused")
        tape = Recording(
            portal_id=portal,
            call_id=row.id,
            recording_id="rec",
            part=1,
            state="lost",
            problem="4002",
            bitrix_call_id="x",
        )
        db.session.add(tape)
        note = {
            "portal_id": portal,
            "pbx_id": 1,
            "dialect": "vpbx",
            "body": "{}",
            "state": "handled",
            "entry_id": "entry-1",
        }
        db.session.add(Notification(**note, name="events/summary", dedup_key="1"))
        for kind, state, reason in (
            ("Register", "done", None),
            ("CreateRecord", "dead", "no rights"),
            ("Finish", "waiting", None),
        ):
            db.session.add(
                Delivery(
                    portal_id=portal,
                    call_id=row.id,
                    key=kind,
                    kind=kind,
                    command={},
                    state=state,
                    code=reason and "ACCESS_DENIED",
                    reason=reason,
                )
            )
        db.session.commit()
        return row.id


def test_no_calls_yet(frame: Frame) -> None:
    assert has(frame.get("/frame/calls"), "no-calls")
    assert has(frame.get("/frame/calls?q=1234567"), "nothing-found")


def test_the_latest_fifty_then_more(frame: Frame, site: Flask, portal: int) -> None:
    with site.app_context():
        same = utcnow() - timedelta(minutes=60)
        for number in range(1, 121):
            add_call(portal, number, **({"started_at": same} if 40 < number < 70 else {}))
        db.session.commit()
    seen: list[str] = []
    path = "/frame/calls"
    for _ in range(3):
        said = frame.get(path)
        seen += [piece.split('"')[0] for piece in said.split('data-entry="')[1:]]
        path = said.split('hx-get="/frame/calls/more')[1].split('"')[0] if 'data-testid="more"' in said else ""
        path = "/frame/calls/more" + path.replace("&amp;", "&") if path else ""
    assert path == ""
    assert len(seen) == len(set(seen)) == 120


def test_a_call_opens_into_its_time_line(frame: Frame, call: int) -> None:
    said = frame.get(f"/frame/calls/{call}")
    for words in ("+7 916 000-00-01", "something was refused", "Anna Smirnova, Ivan Petrov".replace("Ivan Petrov", "Petrov Ivan"), "1:05",  # noqa: E501
                  "call summary", "Register the call", "ACCESS_DENIED: no rights", "waiting for delivery",
                  'data-path="/crm/deal/details/5/"', ">created<"):  # fmt: skip
        assert words in said


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("q=%2B79160000002", [2]),
        ("q=8+916+000-00-02", [2]),
        ("q=0003", [3]),
        ("outcome=missed", [3]),
        ("problems=1", [2]),
        ("pbx=spb", [1]),
        ("outcome=gift", [1, 2, 3]),
    ],
)
def test_filters(frame: Frame, site: Flask, portal: int, query: str, found: list[int]) -> None:
    with site.app_context():
        add_call(portal, 1, pbx_key="spb")
        add_call(portal, 2, problem="x")
        add_call(portal, 3, outcome="missed", talk_seconds=0)
        add_call(portal, 4, visible=False)
        db.session.commit()
    said = frame.get(f"/frame/calls?{query}")
    assert [int(piece.split('"')[0]) for piece in said.split('data-entry="entry-')[1:]] == found


def test_an_employee_sees_only_their_own(site: Flask, client: FlaskClient, portal: int) -> None:
    with site.app_context():
        mine, theirs = add_call(portal, 1, user_id=7).id, add_call(portal, 2, user_id=8).id
        made = add_call(portal, 3, user_id=8, responsible_id=7).id
        tape = Recording(portal_id=portal, call_id=theirs, recording_id="r")
        db.session.add(tape)
        db.session.commit()
        recording = tape.id
    header = claim(site, portal, admin=False)
    said = client.get("/frame/calls", headers=header).text
    assert [f"call-{number}" in said for number in (mine, theirs, made)] == [True, False, True]
    assert client.get(f"/frame/calls/{mine}", headers=header).status_code == 200
    assert client.get(f"/frame/calls/{theirs}", headers=header).status_code == 404
    assert client.get("/frame/stuck/rejected", headers=header).status_code == 403
    assert client.post(f"/frame/calls/recordings/{recording}/ticket", headers=header).status_code == 404


def test_nothing_of_another_portal_is_ever_seen(site: Flask, client: FlaskClient, portal: int, call: int) -> None:
    with site.app_context():
        other = Portal(
            member_id="m" * 32 + "x",
            domain="o.ru",
            client_endpoint="https://o.ru/rest/",
            server_endpoint="",
            client_id="l",
        )
        db.session.add(other)
        db.session.commit()
        header = {session.HEADER: session.issue(session.FrameSession(other.id, other.member_id, 7, True))}
        recording = db.session.query(Recording.id).scalar()
    for path in (f"/frame/calls/{call}", "/frame/pbxs/moscow"):
        assert client.get(path, headers=header).status_code == 404
    for path in (f"/frame/calls/recordings/{recording}/ticket", f"/frame/calls/recordings/{recording}/again"):
        assert client.post(path, headers=header).status_code == 404
    with site.app_context():
        stolen = session.issue_ticket(session.Ticket(other.id, 7, "recording", recording))
    assert client.get(f"/media/recording/{recording}?ticket={stolen}").status_code == 404


def test_try_again_of_a_lost_recording(frame: Frame, call: int) -> None:
    with frame.site.app_context():
        recording = db.session.query(Recording.id).scalar()
    assert has(frame.get(f"/frame/calls/{call}"), f"again-{recording}")
    said = frame.post(f"/frame/calls/recordings/{recording}/again", {})
    assert 'data-state="waiting"' in said
    with frame.site.app_context():
        row = db.session.query(Recording).one()
        assert (row.state, row.due_at is not None) == ("waiting", True)


def test_only_administrators_try_a_recording_again(client: FlaskClient, site: Flask, portal: int, call: int) -> None:
    with site.app_context():
        db.session.get_one(Call, call).users = [7]
        recording = db.session.query(Recording.id).scalar()
        db.session.commit()
    header = claim(site, portal, admin=False)
    assert client.get(f"/frame/calls/{call}", headers=header).status_code == 200
    assert client.post(f"/frame/calls/recordings/{recording}/again", headers=header).status_code == 404


def test_the_way_back_keeps_the_filter_and_nothing_else(frame: Frame, call: int) -> None:
    text = frame.get(f"/frame/calls/{call}?outcome=missed&endpoint=x&_external=1&_scheme=ftp")
    assert 'hx-get="/frame/calls?outcome=missed" hx-target="#app" data-testid="back"' in text


def test_unreadable_notifications_stand_with_their_reason(frame: Frame, portal: int) -> None:
    assert has(frame.get("/frame/stuck/rejected"), "none-rejected")
    with frame.site.app_context():
        db.session.add(
            Notification(
                portal_id=portal,
                pbx_id=1,
                dialect="vpbx",
                name="events/call",
                dedup_key="x",
                body="<b>",
                state="rejected",
                reason="no entry_id",
            )
        )
        db.session.commit()
    assert "no entry_id" in frame.get("/frame/stuck/rejected")


class Tape:
    """A recording as Mango streams it."""

    content_type = "audio/mpeg"
    accepts_ranges = True

    def __init__(self, byte_range: str | None) -> None:
        self.content = b"0123456789"
        self.status, self.content_range = 200, None
        if byte_range == "bytes=2-4":
            self.content, self.status, self.content_range = b"234", 206, "bytes 2-4/10"
        self.size = len(self.content)
        self.closed = False

    def iter_chunks(self, *_: Any) -> Iterator[bytes]:
        yield self.content[:1]
        yield self.content[1:]


@pytest.fixture
def tapes(monkeypatch: pytest.MonkeyPatch) -> list[Tape]:
    """Recordings that were opened."""
    opened: list[Tape] = []

    @contextmanager
    def open_stream(
        source: download.RecordingSource, byte_range: str | None = None, play: bool = False
    ) -> Iterator[Tape]:
        assert (source, play) == (download.RecordingSource("rec", None, "key", "salt"), True)
        tape = Tape(byte_range)
        opened.append(tape)
        yield tape
        tape.closed = True

    monkeypatch.setattr(download, "open_stream", open_stream)
    return opened


def ticket(frame: Frame) -> str:
    with frame.site.app_context():
        number = db.session.query(Recording.id).scalar()
        assert db.session.query(Pbx.id).scalar() == 1
    said = frame._client.post(f"/frame/calls/recordings/{number}/ticket", headers=frame._headers)
    return str(said.get_json()["url"])


def test_a_recording_is_streamed_with_ranges(frame: Frame, call: int, tapes: list[Tape]) -> None:
    url = ticket(frame)
    said = frame._client.get(url)
    assert (said.status_code, said.data, said.mimetype) == (200, b"0123456789", "audio/mpeg")
    with frame.site.app_context():
        heard = db.session.query(Audit).filter_by(what="recording heard").one()
        assert (heard.user_id, heard.source, heard.facts) == (
            7,
            "frame",
            {"recording": db.session.query(Recording.id).scalar()},
        )
    assert said.headers["Accept-Ranges"] == "bytes"
    assert said.headers["Cache-Control"] == "no-store"
    part = frame._client.get(url, headers={"Range": "bytes=2-4"})
    assert (part.status_code, part.data, part.headers["Content-Range"]) == (206, b"234", "bytes 2-4/10")
    said.close()
    part.close()
    assert all(tape.closed for tape in tapes)


@pytest.mark.parametrize(("error", "status"), [(ResourceNotFound("gone"), 404), (Unreachable("no connection"), 503)])
def test_a_recording_that_cannot_be_had(
    frame: Frame, call: int, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int
) -> None:
    @contextmanager
    def open_stream(*_: Any, **__: Any) -> Iterator[Tape]:
        raise error
        yield

    monkeypatch.setattr(download, "open_stream", open_stream)
    assert frame._client.get(ticket(frame)).status_code == status


def test_without_a_ticket_no_recording(frame: Frame, call: int, tapes: list[Tape]) -> None:
    url = ticket(frame)
    for bad in (url.split("?")[0], url + "x", url.replace("/1?", "/2?")):
        assert frame._client.get(bad).status_code == 401
    assert tapes == []


def test_a_call_leads_to_the_one_that_it_continues(site: Flask, frame: Frame, portal: int) -> None:
    with site.app_context():
        first = add_call(portal, 2, pbx_key="krasnodar", pbx_id=2)
        second = add_call(portal, 1, entry_id=first.entry_id, continues=first.entry_id, facts={"continues": first.id})
        others = add_call(portal + 1, 3, pbx_id=3)
        lost = add_call(portal, 4, continues="entry-3", facts={"continues": others.id})
        db.session.commit()
        ids = first.id, second.id, lost.id
    assert f"/calls/{ids[0]}" in frame.get(f"/frame/calls/{ids[1]}").partition('data-testid="continues"')[0]
    for call in (ids[0], ids[2]):
        assert 'data-testid="continues"' not in frame.get(f"/frame/calls/{call}")
