"""`bx24app forget`: one person goes, everybody else stays, and nothing that is under way breaks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from bx24app import create_app, drain, forget, tree
from bx24app.domain.commands import Finish
from bx24app.models import Audit, Base, Call, Delivery, Notification, Portal, Recording, db, utcnow
from scripts import needs
from tests import commands
from tests.conftest import config_for, make_portal
from tests.servers import POSTGRES_MISSING, postgres
from tests.test_cli_calls import AT, call, sent, told
from tests.test_decide import tell

NUMBER, OTHER = "+79160000001", "+79160000002"
POSTGRES = pytest.param(
    "postgresql",
    marks=[pytest.mark.postgres, pytest.mark.skipif(needs.postgres() is None, reason=POSTGRES_MISSING)],
)


@pytest.fixture
def environ(app: Flask) -> dict[str, str]:
    return commands.environment_of(app.extensions["bx24app"].config)


def person(portal: Portal, entry_id: str, number: str = NUMBER, **more: Any) -> Call:
    """A finished call with everything that may be kept of somebody."""
    base: dict[str, Any] = {"state": "finished", "ended_at": AT, "heard_at": AT, "command_id": f"bx24-{entry_id}"}
    made = call(portal, entry_id, client_number=number, **{**base, **more})
    told(made, "events/call", 0, body=json.dumps({"from": {"number": number[1:]}}))
    told(made, "events/record/added", 1, body='{"recording_id": "R"}')
    told(made, "result/callback", 2, entry_id=None, command_id=made.command_id)
    told(made, "ONEXTERNALCALLSTART", 3, entry_id=None, command_id=made.command_id, pbx_id=0)
    sent(made, Finish(key="finish", user_id=11, seconds=62, status="200", number=number), 1)
    db.session.add(Recording(portal_id=portal.id, call_id=made.id, recording_id="R", file_name=f"{number}.mp3"))
    db.session.flush()
    return made


def left() -> dict[str, int]:
    tables: tuple[type[Base], ...] = (Call, Delivery, Recording, Notification)
    found = {table.__tablename__: db.session.query(table).count() for table in tables}
    db.session.rollback()
    return found


@pytest.fixture(params=["sqlite", POSTGRES])
def both(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Flask]:
    """An app on either database, inside its context."""
    if request.param == "sqlite":
        yield from _both(tmp_path, "")
    else:
        with postgres(tmp_path) as url:
            yield from _both(tmp_path, url)


def _both(tmp_path: Path, url: str) -> Iterator[Flask]:
    app = create_app(config_for(tmp_path, "redis://127.0.0.1:1", **({"database_url": url} if url else {})))
    tree.migrate(app)
    with app.app_context():
        yield app
        db.session.remove()
        db.engine.dispose()


def test_one_person_goes_and_everybody_else_stays(both: Flask, tmp_path: Path) -> None:
    portal, theirs = make_portal(), make_portal("b" * 32)
    mine = [person(portal, f"E{number}") for number in range(3)]
    for owner, entry_id in ((portal, "other"), (theirs, "theirs")):
        person(owner, entry_id, OTHER if owner is portal else NUMBER)
    portal_id, tapes = portal.id, [row.id for row in db.session.query(Recording).filter_by(call_id=mine[0].id)]
    db.session.commit()
    spool = tmp_path / "var/spool"
    spool.mkdir(parents=True)
    for name in (f"{tapes[0]}.mp3", f"{tapes[0]}.part", "999.mp3"):
        (spool / name).write_bytes(b"voice")
    gone = forget.forget(portal_id, NUMBER)
    assert gone == forget.Forgotten(calls=3, deliveries=3, recordings=3, files=1, notifications=12, kept=0)
    assert left() == {"call": 2, "delivery": 2, "recording": 2, "notification": 8}
    assert [path.name for path in spool.iterdir()] == ["999.mp3"]
    audit = db.session.query(Audit).filter_by(what="forgot").one()
    assert (audit.portal_id, audit.facts) == (portal_id, {"calls": 3, "notifications": 12})
    db.session.rollback()
    assert forget.forget(portal_id, NUMBER) == forget.Forgotten()


def test_sqlite_keeps_no_trace_of_the_bytes(app: Flask, tmp_path: Path) -> None:
    portal = make_portal()
    portal_id = portal.id
    for number in range(20):
        person(portal, f"E{number}")
    db.session.commit()
    files = [path for path in (tmp_path / "var").iterdir() if path.is_file()]
    assert any(b"9160000001" in path.read_bytes() for path in files)
    db.session.remove()
    forget.forget(portal_id, NUMBER)
    db.session.remove()
    assert not [path.name for path in files if path.exists() and b"9160000001" in path.read_bytes()]


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ('{"from": {"number": "79160000001"}}', True),
        ('{"to": {"number": "sip:79160000001@office.example"}}', True),
        ('{"PHONE_NUMBER": "8 (916) 000-00-01"}', True),
        ('{"CRM": [{"PHONE": "+7 916 000 00 01"}]}', True),
        ('{"PHONE_NUMBER": 89160000001}', True),
        ('{"text": "call 79160000001 back"}', True),
        ("no JSON: 8-916-000-00-01", True),
        ('{"from": {"number": "79160000002"}}', False),
        ('{"from": {"number": null}, "timestamp": 1773236988, "flag": true}', False),
        ("[" * 100_000, False),
        ("no JSON at all", False),
    ],
)
def test_what_names_a_number(body: str, found: bool) -> None:
    assert forget.names(body, NUMBER) is found


def test_notifications_of_other_calls_that_name_the_number(app: Flask, portal: Portal) -> None:
    portal_id = portal.id
    other = person(portal, "other", OTHER)
    told(other, "events/call", 10, body='{"to": {"number": "79160000001"}}')
    told(other, "ONEXTERNALCALLBACKSTART", 11, pbx_id=0, entry_id=None, body='{"PHONE_NUMBER": "8 916 000 00 01"}')
    told(other, "events/call", 12, entry_id=None, state="rejected", body="8 916 000 00 01 is no JSON")
    db.session.commit()
    assert forget.forget(portal_id, NUMBER) == forget.Forgotten(notifications=3)
    assert left() == {"call": 1, "delivery": 1, "recording": 1, "notification": 4}


@pytest.mark.parametrize("why", ["goes on", "leaves now", "is carried now"])
def test_a_call_under_way_is_kept_whole(app: Flask, why: str) -> None:
    portal = make_portal(state="active")
    portal_id = portal.id
    made = person(portal, "E1", **({"state": "open", "heard_at": utcnow()} if why == "goes on" else {}))
    person(portal, "E0")
    if why == "leaves now":
        db.session.query(Delivery).filter_by(call_id=made.id).update({"state": "sent"})
    if why == "is carried now":
        db.session.query(Recording).filter_by(call_id=made.id).update({"claimed_at": utcnow()})
    db.session.commit()
    gone = forget.forget(portal_id, NUMBER)
    assert (gone.calls, gone.kept) == (1, 1)
    assert left() == {"call": 1, "delivery": 1, "recording": 1, "notification": 4}


def test_a_call_that_is_not_in_the_journal_yet_is_kept(app: Flask) -> None:
    portal = make_portal(state="active")
    portal_id = portal.id
    made = person(portal, "E0", OTHER)
    for second in (1, 2):
        told(made, "events/call", second, state="new", entry_id="E1", received_at=utcnow(), body=f'{{"n": "{NUMBER[1:]}{second}"}}')  # fmt: skip
    db.session.commit()
    assert forget.forget(portal_id, NUMBER) == forget.Forgotten(kept=1)
    assert db.session.query(Notification).filter_by(entry_id="E1").count() == 2


@pytest.mark.parametrize("state", ["paused", "needs_admin", "removed"])
def test_what_waits_for_an_administrator_keeps_nobody(app: Flask, state: str) -> None:
    portal = make_portal(state=state)
    portal_id = portal.id
    made = person(portal, "E1", state="open", heard_at=utcnow())
    told(made, "events/summary", 9, state="new", received_at=utcnow())
    db.session.commit()
    gone = forget.forget(portal_id, NUMBER)
    assert (gone.calls, gone.notifications, gone.kept) == (1, 5, 0)


def test_real_notifications_are_all_found_and_the_drain_goes_on(app: Flask, portal_id: int, hook: str) -> None:
    tell(hook, "incoming_answered_by_group")
    drain.drain(portal_id)
    assert forget.forget(portal_id, NUMBER).calls == 1
    assert left() == {"call": 0, "delivery": 0, "recording": 0, "notification": 0}
    drain.drain(portal_id)
    tell(hook, "incoming_missed_by_group")
    drain.drain(portal_id)
    assert left()["call"] == 1


def test_the_words_of_the_command(environ: dict[str, str]) -> None:
    portal = make_portal(state="active")
    member_id = portal.member_id
    person(portal, "E1")
    db.session.commit()
    ran = commands.run(environ, "forget", "--portal", member_id, "--number", "8 (916) 000-00-01")
    assert (ran.exit_code, ran.output.splitlines()) == (
        0,
        ["1 call erased", "1 delivery erased", "1 recording erased", "0 files erased", "4 notifications erased"],
    )
    person(db.session.query(Portal).one(), "E2", state="open", heard_at=utcnow() - timedelta(hours=1))
    db.session.commit()
    ran = commands.run(environ, "forget", "--portal", member_id, "--number", NUMBER)
    assert (ran.exit_code, "1 call with this number still under way, and kept" in ran.output) == (1, True)
    for portal_of, number, words in (
        (member_id, "101", "'101' is no telephone number"),
        ("nobody", NUMBER, "no portal with the member_id nobody"),
    ):
        ran = commands.run(environ, "forget", "--portal", portal_of, "--number", number)
        assert (ran.exit_code, words in ran.output) == (2, True), ran.output
