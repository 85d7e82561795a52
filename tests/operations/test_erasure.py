"""`bx24app forget`: one person goes, everybody else stays, and nothing that is under way breaks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import JSON, String

from bx24app import create_app, settings
from bx24app.calls import drain
from bx24app.calls.recordings import spool_files
from bx24app.cli import up
from bx24app.domain import phone
from bx24app.domain.calls.commands import Finish
from bx24app.domain.settings import EmployeeSettings, Settings
from bx24app.models import (
    Audit,
    Base,
    Call,
    Delivery,
    Notification,
    Portal,
    PortalUser,
    Recording,
    SetAside,
    SettingsVersion,
    Todo,
    db,
    utcnow,
)
from bx24app.operations import erasure
from scripts import needs
from tests.calls.fold.test_portal_fold import tell
from tests.cli.test_journal import AT, call, sent, told
from tests.conftest import DOCUMENT, config_for, make_portal
from tests.support import commands
from tests.support.servers import POSTGRES_MISSING, postgres

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
    up.migrate_database(app)
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
    for name in (spool_files.files_of(tapes)[tapes[0]].name, f"{tapes[0]}-x.part", f"{tapes[0]}.mp3", "999.mp3"):
        (spool / name).write_bytes(b"voice")
    gone = erasure.erase_person(portal_id, NUMBER)
    assert gone == erasure.ErasureResult(
        calls=3, deliveries=3, recordings=3, files=1, notifications=12, remaining_calls=0
    )
    assert left() == {"call": 2, "delivery": 2, "recording": 2, "notification": 8}
    assert [path.name for path in spool.iterdir()] == ["999.mp3"]
    audit = db.session.query(Audit).filter_by(what="forgot").one()
    assert (audit.portal_id, audit.facts) == (portal_id, {"calls": 3, "notifications": 12})
    db.session.rollback()
    assert erasure.erase_person(portal_id, NUMBER) == erasure.ErasureResult()


def test_sqlite_keeps_no_trace_of_the_bytes(app: Flask, tmp_path: Path) -> None:
    portal = make_portal()
    portal_id = portal.id
    for number in range(20):
        person(portal, f"E{number}")
    db.session.commit()
    files = [path for path in (tmp_path / "var").iterdir() if path.is_file()]
    assert any(b"9160000001" in path.read_bytes() for path in files)
    db.session.remove()
    erasure.erase_person(portal_id, NUMBER)
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
    assert erasure.has_number(body, NUMBER) is found


def test_notifications_of_other_calls_that_name_the_number(app: Flask, portal: Portal) -> None:
    portal_id = portal.id
    other = person(portal, "other", OTHER)
    told(other, "events/call", 10, body='{"to": {"number": "79160000001"}}')
    told(other, "ONEXTERNALCALLBACKSTART", 11, pbx_id=0, entry_id=None, body='{"PHONE_NUMBER": "8 916 000 00 01"}')
    told(other, "events/call", 12, entry_id=None, state="rejected", body="8 916 000 00 01 is no JSON")
    db.session.commit()
    assert erasure.erase_person(portal_id, NUMBER) == erasure.ErasureResult(notifications=3)
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
    gone = erasure.erase_person(portal_id, NUMBER)
    assert (gone.calls, gone.remaining_calls) == (1, 1)
    assert left() == {"call": 1, "delivery": 1, "recording": 1, "notification": 4}


def test_a_call_that_is_not_in_the_journal_yet_is_kept(app: Flask) -> None:
    portal = make_portal(state="active")
    portal_id = portal.id
    made = person(portal, "E0", OTHER)
    for second in (1, 2):
        told(
            made,
            "events/call",
            second,
            state="new",
            entry_id="E1",
            received_at=utcnow(),
            body=f'{{"n": "{NUMBER[1:]}{second}"}}',
        )
    db.session.commit()
    assert erasure.erase_person(portal_id, NUMBER) == erasure.ErasureResult(remaining_calls=1)
    assert db.session.query(Notification).filter_by(entry_id="E1").count() == 2


@pytest.mark.parametrize("state", ["paused", "needs_admin", "removed"])
def test_what_waits_for_an_administrator_keeps_nobody(app: Flask, state: str) -> None:
    portal = make_portal(state=state)
    portal_id = portal.id
    made = person(portal, "E1", state="open", heard_at=utcnow())
    told(made, "events/summary", 9, state="new", received_at=utcnow())
    db.session.commit()
    gone = erasure.erase_person(portal_id, NUMBER)
    assert (gone.calls, gone.notifications, gone.remaining_calls) == (1, 5, 0)


def test_real_notifications_are_all_found_and_the_drain_goes_on(app: Flask, portal_id: int, hook: str) -> None:
    tell(hook, "incoming_answered_by_group")
    drain.drain(portal_id)
    assert erasure.erase_person(portal_id, NUMBER).calls == 1
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
    assert (ran.exit_code, "1 call with this number still under way and not erased" in ran.output) == (1, True)
    for portal_of, number, words in (
        (member_id, "101", "'101' is not a telephone number"),
        ("nobody", NUMBER, "no portal with the member_id nobody"),
    ):
        ran = commands.run(environ, "forget", "--portal", portal_of, "--number", number)
        assert (ran.exit_code, words in ran.output) == (2, True), ran.output


def test_other_calls_and_the_directory_and_old_settings_no_longer_name_the_person(both: Flask) -> None:
    portal, theirs = make_portal(document=WITH_MOBILE), make_portal("b" * 32, document=WITH_MOBILE)
    portal_id, their_id = portal.id, theirs.id
    for one in (portal, theirs):
        other = person(
            one, "other", OTHER, facts={"rang": ["101", NUMBER[1:]], "case": {"client_name": "Vera"}, "open": True}
        )
        told(other, "events/call", 10, body='{"to": {"number": "79160000001"}}')
        sent(
            other,
            Finish(
                key="finish2", user_id=11, seconds=62, status="304", number=NUMBER, reason="8 916 000-00-01 is busy"
            ),
            2,
        )
        db.session.add(
            PortalUser(portal_id=one.id, user_id=11, name="Anna", email="anna@example.ru", phones=["8 (916) 000-00-01"])
        )
        db.session.add(PortalUser(portal_id=one.id, user_id=12, name="Vera", phones=["+79160000002"]))
    db.session.commit()
    gone = erasure.erase_person(portal_id, NUMBER)
    assert (gone.calls, gone.employees, gone.is_in_settings) == (0, 1, True)
    left_of = db.session.query(Call).filter_by(portal_id=portal_id).one()
    assert left_of.facts == {"rang": ["101", "0" * 11], "case": {"client_name": "Vera"}, "open": True}
    assert {
        (row.user_id, row.name, tuple(row.phones))
        for row in db.session.query(PortalUser).filter_by(portal_id=portal_id)
    } == {
        (11, "", ()),
        (12, "Vera", ("+79160000002",)),
    }
    said = settings.current(db.session.get_one(Portal, portal_id))
    settings.save_version(db.session.get_one(Portal, portal_id), DOCUMENT, {})
    db.session.commit()
    assert said.pbxs[0].employees[0].numbers
    gone = erasure.erase_person(portal_id, NUMBER)
    assert (gone.employees, gone.is_in_settings) == (0, False)
    for version in db.session.query(SettingsVersion).filter_by(portal_id=portal_id):
        assert Settings.model_validate(version.document).pbxs[0].employees[0].extension == "101", (
            "calls may go on under it"
        )
    db.session.rollback()
    assert places_of(NUMBER, portal_id) == set()
    assert {"call.facts", "delivery.command", "portal_user.phones", "settings_version.document"} <= places_of(
        NUMBER, their_id
    )


ANNA = EmployeeSettings(extension="101", user_id=11, numbers=(NUMBER[1:],))
WITH_MOBILE = Settings(pbxs=(DOCUMENT.pbxs[0].model_copy(update={"employees": (ANNA,)}),))
KEEPS_NOBODY = {
    "alembic_version": "the schema",
    "database_identity": "random ids",
    "registration": "the operator's applications",
    "grant": "tokens of an administrator, by id",
    "dictionary": "pipelines, stages, sources",
    "line_counter": "our own lines",
    "figure": "counts; keys are lines, ids of users, hours",
    "figure_mark": "how far the counting is",
    "backfill": "periods of a PBX",
    "call_person": "ids of users",
    "call_record": "ids of records",
    "audit": "ids and counts: the log is append-only, so no name and no telephone may enter it",
    "portal": "domain, licence, ids",
    "pbx": "keys; what Mango said of its own refusals",
    "pbx_member": "extensions and Mango's own ids of them",
    "intent": "ids, job names",
    "worker": "names of processes",
    "notice": "an employee's name while the notice holds",
}
"""Tables in which no telephone of a person may stand, and why. Any other text column must be emptied by `forget`."""
ERASED = {
    "call": {
        "entry_id",
        "command_id",
        "client_number",
        "crm",
        "facts",
        "problem",
        "users",
        "continues",
        "rule",
        "unmapped",
        "bitrix_call_id",
    },
    "delivery": {"key", "command", "answer", "code", "reason"},
    "notification": {"entry_id", "command_id", "dedup_key", "body", "reason", "name"},
    "recording": {"recording_id", "url", "file_name", "problem", "bitrix_call_id"},
    "todo": {"client_number", "title", "key", "entity"},
    "portal_user": {"name", "email", "inner_number", "phones"},
    "settings_version": {"document"},
    "set_aside": {"entry_id", "reason"},
}
"""Columns that may name a person, by tables whose rows `forget` takes away or goes through."""
WORDS_OF_OURS = {
    "call": {"pbx_key", "state", "direction", "line_number", "outcome", "problem_delivery"},
    "delivery": {"kind", "state", "owner"},
    "notification": {"dialect", "state"},
    "recording": {"state", "problem_code", "owner"},
    "todo": {"state"},
    "portal_user": {"day"},
    "settings_version": {"source", "note"},
    "set_aside": {"kind", "version"},
}
"""Columns of the same tables that hold words of the program or the portal's own lines."""


def test_every_column_that_holds_text_is_decided_about() -> None:
    for table in Base.metadata.sorted_tables:
        if table.name in KEEPS_NOBODY:
            continue
        texts = {column.name for column in table.columns if isinstance(column.type, String | JSON)}
        decided = ERASED[table.name] | WORDS_OF_OURS[table.name]
        assert texts == decided, f"{table.name}: say of {texts ^ decided} whether `forget` empties it"


def places_of(number: str, portal_id: int) -> set[str]:
    """`table.column` of all that names the telephone in a portal's rows."""
    found: set[str] = set()
    for table in Base.metadata.sorted_tables:
        if "portal_id" not in table.columns:
            continue
        for row in db.session.execute(table.select().where(table.c.portal_id == portal_id)).mappings():
            for name, value in row.items():
                if not isinstance(value, int | datetime | date) and number[2:] in phone.digits_only(
                    json.dumps(value, default=str)
                ):
                    found.add(f"{table.name}.{name}")
    db.session.rollback()
    return found


def test_a_person_is_in_no_table_any_more(both: Flask) -> None:
    """Planted in every column that may name somebody: all of them are empty afterwards."""
    portal = make_portal()
    portal_id = portal.id
    made = person(
        portal,
        f"e{NUMBER}",
        facts={"case": {"client_name": f"Vera {NUMBER}"}},
        problem=f"no lead for {NUMBER}",
        continues=NUMBER,
    )
    made.crm = [{"entity": "lead", "id": 1, "title": NUMBER}]
    tape = db.session.query(Recording).one()
    tape.url, tape.problem = f"https://host/{NUMBER}.mp3", NUMBER
    at = {"missed_at": utcnow(), "deadline_at": utcnow()}
    db.session.add(
        Todo(
            portal_id=portal_id,
            client_number=NUMBER,
            call_id=made.id,
            key="todo",
            title=f"Call {NUMBER}",
            entity="lead",
            **at,
        )
    )
    db.session.add(
        PortalUser(portal_id=portal_id, user_id=5, name=f"Vera {NUMBER}", inner_number=NUMBER, phones=[NUMBER])
    )
    db.session.query(Delivery).update({"reason": NUMBER, "answer": {"phone": NUMBER}})
    aside = {"portal_id": portal_id, "entry_id": NUMBER, "reason": NUMBER, "version": "0"}
    note = db.session.query(Notification).first()
    assert note is not None
    db.session.add_all(
        [
            SetAside(kind="call", row_id=made.id, call_id=made.id, **aside),
            SetAside(kind="notification", row_id=note.id, **aside),
        ]
    )
    db.session.commit()
    before = places_of(NUMBER, portal_id)
    assert {
        "call.facts",
        "call.problem",
        "delivery.answer",
        "notification.body",
        "recording.url",
        "todo.title",
        "portal_user.phones",
    } <= before
    assert before <= {f"{table}.{column}" for table, columns in ERASED.items() for column in columns}
    erasure.erase_person(portal_id, NUMBER)
    assert places_of(NUMBER, portal_id) == set()
