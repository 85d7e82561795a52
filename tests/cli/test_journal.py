"""`bx24app calls export`: the rows of the contract, in pages, with every step of each call."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import event

from bx24app.calls.journal import export
from bx24app.domain.calls.command_json import to_json
from bx24app.domain.calls.commands import Dial, Finish, Register
from bx24app.models import Call, Delivery, Notification, Pbx, Portal, Recording, db
from tests.conftest import make_portal
from tests.support import commands

AT = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
CONNECTED = '{"call_state": "Connected", "from": {"number": "79160000001"}, "to": {"extension": "101", "number": "sip:101@vpbx"}}'  # noqa: E501


def call(portal: Portal, entry_id: str, started_at: datetime = AT, **more: Any) -> Call:
    pbx = db.session.query(Pbx).filter_by(portal_id=portal.id).one()
    made = Call(portal_id=portal.id, pbx_id=pbx.id, pbx_key="moscow", entry_id=entry_id, started_at=started_at, **more)
    db.session.add(made)
    db.session.flush()
    return made


def told(of: Call, name: str, seconds: float, **more: Any) -> None:
    base: dict[str, Any] = {
        "pbx_id": of.pbx_id,
        "entry_id": of.entry_id,
        "command_id": None,
        "state": "handled",
        "dialect": "vpbx",
        "body": "{}",
        "received_at": AT + timedelta(seconds=seconds),
    }
    db.session.add(
        Notification(
            portal_id=of.portal_id, name=name, dedup_key=f"{of.id}{name}{seconds}", **{**base, **more},
        )
    )  # fmt: skip


def sent(of: Call, command: Any, seconds: float, **more: Any) -> None:
    at = AT + timedelta(seconds=seconds)
    base = {"state": "done", "sent_at": at, "done_at": at, "attempts": 1}
    row = {"portal_id": of.portal_id, "call_id": of.id, "key": command.key, "kind": type(command).__name__}
    db.session.add(Delivery(command=to_json(command), created_at=at, **row, **{**base, **more}))


@pytest.fixture
def environ(app: Flask) -> dict[str, str]:
    return commands.environment_of(app.extensions["bx24app"].config)


def exported(environ: dict[str, str], portal: Portal, *flags: str) -> str:
    member_id = portal.member_id
    db.session.commit()
    result = commands.run(environ, "calls", "export", "--portal", member_id, *flags)
    assert result.exit_code == 0, result.output
    return result.output


def rows(environ: dict[str, str], portal: Portal, *flags: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in exported(environ, portal, *flags).splitlines()]


def whole(portal: Portal) -> Call:
    """A call with everything that a row may hold."""
    made = call(
        portal,
        "E1",
        line_number="74950000001",
        client_number="+79160000001",
        answered_at=AT + timedelta(seconds=9),
        ended_at=AT + timedelta(seconds=71),
        talk_seconds=62,
        outcome="answered",
        user_id=11,
        users=[12, 11],
        bitrix_call_id="externalCall.1",
        crm=[{"entity": "lead", "id": 5, "created": True}],
        activity_id=77,
        state="finished",
        rule="Новый клиент",
    )
    told(made, "events/call", 0, body=CONNECTED)
    sent(
        made,
        Register(
            key="register", user_id=11, number="+79160000001", type=2, started_at=1, line=None, external_id="moscow:E1"
        ),
        1,
    )
    told(made, "events/summary", 71)
    sent(made, Finish(key="finish", user_id=11, seconds=62, status="200"), 72, attempts=3)
    finish = {"state": "dead", "code": "ERROR_CORE", "reason": "не найдено", "done_at": None}
    sent(made, Finish(key="finish~2", user_id=11, seconds=62, status="200"), 73, **finish)
    db.session.add(
        Recording(
            portal_id=portal.id,
            call_id=made.id,
            recording_id="R1",
            bitrix_call_id="externalCall.1",
            state="attached",
            file_id=9,
            attached_at=AT + timedelta(seconds=90),
            lag_seconds=12.5,
        )
    )
    return made


def test_a_row_is_what_the_contract_says(environ: dict[str, str], portal: Portal) -> None:
    whole(portal)
    [row] = rows(environ, portal)
    trace = row.pop("trace")
    assert row == {
        "entry_id": "E1",
        "pbx": "moscow",
        "line_number": "74950000001",
        "direction": "in",
        "client_number": "+79160000001",
        "started_at": "2026-03-02T09:00:00+00:00",
        "answered_at": "2026-03-02T09:00:09+00:00",
        "ended_at": "2026-03-02T09:01:11+00:00",
        "talk_seconds": 62,
        "outcome": "answered",
        "user_id": 11,
        "users": [12, 11],
        "bitrix_call_id": "externalCall.1",
        "crm": [{"entity": "lead", "id": 5, "created": True}],
        "activity_id": 77,
        "recordings": [
            {
                "recording_id": "R1",
                "bitrix_call_id": "externalCall.1",
                "state": "attached",
                "file_id": 9,
                "attached_at": "2026-03-02T09:01:30+00:00",
                "lag_seconds": 12.5,
            }
        ],
        "continues": None,
        "state": "finished",
        "rule": "Новый клиент",
    }
    assert [(step["from"], step["request"], step["state"], step["code"]) for step in trace] == [
        ("pbx", "events/call", "handled", 200),
        ("app", "telephony.externalCall.register", "done", 200),
        ("pbx", "events/summary", "handled", 200),
        ("app", "telephony.externalCall.finish", "done", 200),
        ("app", "telephony.externalCall.finish", "dead", "ERROR_CORE"),
        ("app", "telephony.externalCall.attachRecord", "attached", 200),
    ]
    assert trace[-2]["reason"] == "не найдено"
    assert trace[3] | {"time": ""} == {
        "time": "",
        "from": "app",
        "request": "telephony.externalCall.finish",
        "state": "done",
        "code": 200,
        "reason": None,
        "tries": 3,
        "values": {"user_id": 11, "seconds": 62, "status": "200"},
    }
    assert trace[0]["time"] == "2026-03-02T09:00:00+00:00"
    assert trace[0]["values"] == {"call_state": "Connected", "extension": "101"}
    assert trace[-1]["values"] == {"recording_id": "R1", "file_id": 9}


def test_a_click_is_joined_by_its_command(environ: dict[str, str], portal: Portal) -> None:
    made = call(portal, "E2", command_id="bx24-1", direction="out")
    told(made, "result/callback", 3, entry_id=None, command_id="bx24-1")
    sent(
        made, Dial(key="dial", command_id="bx24-1", to_number="+79160000001", extension="101", group=None, line=None), 1
    )
    told(made, "ONEXTERNALCALLSTART", 0, entry_id=None, command_id="bx24-1", pbx_id=0, dialect="bitrix24")
    [row] = rows(environ, portal)
    assert [(step["from"], step["request"]) for step in row["trace"]] == [
        ("portal", "ONEXTERNALCALLSTART"),
        ("app", "commands/callback"),
        ("pbx", "result/callback"),
    ]


@pytest.mark.parametrize(
    "body",
    ["no JSON", "[1]", '{"call_state": {"deep": 1}, "to": "101", "extension": ""}', "[" * 100_000],
    ids=["text", "list", "odd", "deep"],
)
def test_a_body_that_says_nothing_is_a_step_all_the_same(environ: dict[str, str], portal: Portal, body: str) -> None:
    told(call(portal, "E1"), "events/call", 0, body=body, state="rejected", reason="not an object")
    [row] = rows(environ, portal)
    [step] = row["trace"]
    assert (step["state"], step["reason"], step["values"]) == ("rejected", "not an object", {})


def test_a_recording_on_its_way_says_what_hinders_it(environ: dict[str, str], portal: Portal) -> None:
    made = call(portal, "E1", ended_at=AT + timedelta(seconds=60))
    held = {"portal_id": portal.id, "call_id": made.id, "bitrix_call_id": "externalCall.1", "tries": 2}
    db.session.add(Recording(recording_id="R1", state="waiting", problem="Mango does not have the file yet", **held))
    db.session.add(Recording(recording_id="R2", state="none", **held))
    [row] = rows(environ, portal)
    assert [(tape["recording_id"], tape["state"]) for tape in row["recordings"]] == [("R1", "waiting"), ("R2", "none")]
    [step] = row["trace"]
    assert (step["state"], step["reason"], step["tries"]) == ("waiting", "Mango does not have the file yet", 2)


def test_one_call_for_a_page(environ: dict[str, str], portal: Portal) -> None:
    made, hidden = call(portal, "E1"), call(portal, "internal", visible=False)
    others = call(make_portal("b" * 32), "theirs")
    [row] = rows(environ, portal)
    assert export.find_row(portal.id, made.id) == row
    assert [export.find_row(portal.id, each.id) for each in (hidden, others)] == [None, None]


def test_a_page_takes_the_same_number_of_queries_however_full(environ: dict[str, str], portal: Portal) -> None:
    counts = []
    for size in (2, 30):
        for number in range(size):
            made = call(portal, f"E{size}-{number}", command_id=f"bx24-{size}-{number}")
            told(made, "events/call", number)
            sent(made, Finish(key="finish", user_id=11, seconds=1, status="200"), number)
        portal_id = portal.id
        db.session.commit()
        asked: list[str] = []

        def count(*facts: Any, asked: list[str] = asked) -> None:
            asked.append(facts[2])

        event.listen(db.engine, "before_cursor_execute", count)
        try:
            list(export.iterate_rows(portal_id))
        finally:
            event.remove(db.engine, "before_cursor_execute", count)
        counts.append(len(asked))
    assert counts[0] == counts[1]


def test_others_are_left_out(environ: dict[str, str], portal: Portal) -> None:
    call(portal, "internal", visible=False, direction="internal")
    call(make_portal("b" * 32), "theirs")
    call(portal, "ours")
    assert [row["entry_id"] for row in rows(environ, portal)] == ["ours"]


@pytest.mark.parametrize(
    ("since", "entries"),
    [
        ("2026-03-02", ["now", "later"]),
        ("2026-03-02T12:00:00+03:00", ["now", "later"]),
        ("2026-03-02T09:00:01", ["later"]),
        ("2026-03-04", []),
    ],
)
def test_since(environ: dict[str, str], portal: Portal, since: str, entries: list[str]) -> None:
    for name, days in (("later", 1), ("before", -1), ("now", 0)):
        call(portal, name, AT + timedelta(days=days))
    assert [row["entry_id"] for row in rows(environ, portal, "--since", since)] == entries


@pytest.mark.parametrize("since", ["yesterday", "2026-13-01", ""])
def test_since_that_is_no_moment(environ: dict[str, str], portal: Portal, since: str) -> None:
    result = commands.run(environ, "calls", "export", "--portal", portal.member_id, "--since", since)
    assert (result.exit_code, "--since" in result.output) == (2, True)


def test_csv(environ: dict[str, str], portal: Portal) -> None:
    whole(portal)
    [row] = csv.DictReader(io.StringIO(exported(environ, portal, "--format", "csv")))
    assert list(row) == list(export.COLUMNS)
    assert (row["entry_id"], row["talk_seconds"], row["continues"]) == ("E1", "62", "")
    assert json.loads(row["users"]) == [12, 11]
    assert len(json.loads(row["trace"])) == 6


def test_pages_lose_and_repeat_nothing(
    environ: dict[str, str], portal: Portal, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Many calls begin in the same second."""
    monkeypatch.setattr(export, "PAGE_SIZE", 4)
    for number in range(21):
        call(portal, f"E{number:02d}", AT + timedelta(seconds=number // 5))
    assert [row["entry_id"] for row in rows(environ, portal)] == [f"E{number:02d}" for number in range(21)]


def test_an_export_keeps_no_writer_waiting(app: Flask, portal: Portal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "PAGE_SIZE", 1)
    for number in range(3):
        call(portal, f"E{number}")
    portal_id = portal.id
    db.session.commit()
    reading = export.iterate_rows(portal_id)
    next(reading)
    call(db.session.get_one(Portal, portal_id), "E3")
    db.session.commit()
    assert [row["entry_id"] for row in reading] == ["E1", "E2", "E3"]
