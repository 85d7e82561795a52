"""The other loops over rows: stored answers, claimed commands, finished attachments, missing calls. One row that fails
takes no other along."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from bx24app.bitrix24 import commands as rest_commands
from bx24app.calls import drain, set_aside
from bx24app.calls.outbox import sender
from bx24app.calls.outbox.batch import Batch, BatchItem
from bx24app.calls.outbox.sender import BatchOutcome
from bx24app.calls.reconciliation import missing_calls
from bx24app.calls.recordings import attempts, transfer
from bx24app.calls.recordings.outcomes import Attached
from bx24app.domain.calls.command_json import to_json
from bx24app.domain.calls.commands import AddComment, Record, Register
from bx24app.models import Call, Delivery, Notification, Pbx, Portal, Recording, SetAside, db, utcnow

START = 1776060000


def add_call(portal_id: int, entry_id: str) -> int:
    call = Call(portal_id=portal_id, pbx_id=1, pbx_key="moscow", entry_id=entry_id, started_at=utcnow(),
                settings_version_id=db.session.get_one(Portal, portal_id).settings_version_id)  # fmt: skip
    db.session.add(call)
    db.session.flush()
    return call.id


def register(number: str = "+79160000001") -> Register:
    return Register(
        key="register", user_id=11, number=number, type=2, started_at=START, line=None, external_id="moscow:x"
    )


def sent(portal_id: int, entry_id: str, at: Any) -> BatchItem:
    command = register()
    row = Delivery(portal_id=portal_id, call_id=add_call(portal_id, entry_id), key=command.key, kind="Register",
                   command=to_json(command), state="sent", sent_at=at, attempts=1)  # fmt: skip
    db.session.add(row)
    db.session.flush()
    return BatchItem(row.id, row.call_id, command)


def states() -> dict[int, str]:
    return {row.id: row.state for row in db.session.query(Delivery)}


def test_an_answer_that_cannot_be_stored_takes_no_other_along(app: Flask, portal_id: int, monkeypatch: Any) -> None:
    at = utcnow()
    items = [sent(portal_id, name, at) for name in ("one", "bad", "two")]
    db.session.commit()
    outcome = BatchOutcome(Batch(items, is_shared=True, claimed_at=at))
    outcome.answers = {item.delivery_id: {"CALL_ID": f"c{item.delivery_id}"} for item in items}
    bad, original = items[1].delivery_id, rest_commands.parse_answer

    def parse(command: Any, result: Any) -> dict[str, Any]:
        return {"call_id": b"no JSON"} if result == {"CALL_ID": f"c{bad}"} else original(command, result)

    monkeypatch.setattr(sender.rest_commands, "parse_answer", parse)
    drain._run_step(portal_id, [outcome], None)
    assert states() == {items[0].delivery_id: "done", bad: "dead", items[2].delivery_id: "done"}
    row = db.session.query(SetAside).one()
    assert (row.kind, row.row_id, row.entry_id) == ("delivery", bad, "bad")
    monkeypatch.undo()
    assert set_aside.retry(portal_id) == 1
    again = db.session.get_one(Delivery, bad)
    assert (again.state, again.uncertain) == ("waiting", True), "the portal is asked before it is repeated"


@pytest.mark.parametrize("result", [{"CALL_ID": "c" * 300}, {"CALL_ID": "c", "CRM_CREATED_LEAD": 2**40}, [], 7, None])
def test_an_answer_beyond_any_column_is_unreadable(app: Flask, portal_id: int, result: Any) -> None:
    at = utcnow()
    items = [sent(portal_id, name, at) for name in ("bad", "good")]
    db.session.commit()
    outcome = BatchOutcome(Batch(items, is_shared=True, claimed_at=at))
    outcome.answers = {items[0].delivery_id: result, items[1].delivery_id: {"CALL_ID": "c2\x00\ud800"[:2]}}
    drain._run_step(portal_id, [outcome], None)
    assert states() == {items[0].delivery_id: "dead", items[1].delivery_id: "done"}
    assert db.session.get_one(Delivery, items[0].delivery_id).code == "UNREADABLE"
    assert not db.session.query(SetAside).count()


def test_a_text_that_no_database_keeps_is_cleaned(app: Flask, portal_id: int) -> None:
    facts = rest_commands.parse_answer(register(), {"CALL_ID": "c", "LEAD_CREATION_ERROR": "a\x00b\ud800" + "x" * 5000})
    assert facts["problem"].startswith("a\ufffdb\ufffd")
    assert len(facts["problem"]) == 1000


def test_a_command_that_nobody_can_read_holds_up_no_other_call(app: Flask, portal_id: int) -> None:
    good = AddComment(key="comment/1", record=Record("lead", 7), text="Missed")
    rows = []
    for name, kind, command in (("bad", "OfANewerVersion", {"key": "x"}), ("good", "AddComment", to_json(good))):
        call_id = add_call(portal_id, name)
        rows.append(Delivery(portal_id=portal_id, call_id=call_id, key="k", kind=kind, command=command))
    db.session.add_all(rows)
    db.session.get_one(Portal, portal_id).state = "active"
    db.session.commit()
    bad_id, good_id = rows[0].id, rows[1].id
    requests = drain._Requests(portal_id)
    step = drain._run_step(portal_id, [], requests)
    assert [item.delivery_id for batch in step.claimed_batches for item in batch.items] == [good_id]
    row = db.session.query(SetAside).filter_by(kind="delivery").one()
    assert (row.row_id, states()[bad_id], states()[good_id]) == (bad_id, "dead", "sent")


def attempt_for(portal: Portal, name: str) -> attempts.Attempt:
    row = Recording(portal_id=portal.id, call_id=add_call(portal.id, name), recording_id="r", bitrix_call_id="x",
                    state="waiting", due_at=utcnow(), claimed_at=utcnow())  # fmt: skip
    db.session.add(row)
    db.session.flush()
    return attempts._build_attempt(row, utcnow(), Path(f"/nowhere/{name}"))


def test_a_vanished_row_throws_away_no_finished_attachment(app: Flask, portal: Portal) -> None:
    batch = [attempt_for(portal, f"e{number}") for number in range(12)]
    db.session.commit()
    db.session.query(Recording).filter_by(id=batch[3].id).delete()
    db.session.commit()
    transfer._store_attached(portal.id, [(attempt, Attached(number)) for number, attempt in enumerate(batch)])
    assert [row.state for row in db.session.query(Recording)] == ["attached"] * 11
    assert not db.session.query(SetAside).count()


def test_a_recording_that_fails_takes_no_other_along(app: Flask, portal: Portal) -> None:
    batch = [attempt_for(portal, f"e{number}") for number in range(3)]
    portal_id = portal.id
    db.session.commit()
    transfer._store_attached(portal_id, [(attempt, Attached(2**70 if attempt is batch[1] else 5)) for attempt in batch])
    assert [row.state for row in db.session.query(Recording).order_by(Recording.id)] == ["attached", "lost", "attached"]
    row = db.session.query(SetAside).one()
    assert (row.kind, row.row_id) == ("recording", batch[1].id)
    assert set_aside.retry(portal_id) == 1
    assert db.session.get_one(Recording, batch[1].id).state == "waiting"


def test_a_recording_on_which_the_program_fails_ends_no_turn(app: Flask, portal: Portal, monkeypatch: Any) -> None:
    number = attempt_for(portal, "e").id
    portal.state = "active"
    db.session.query(Recording).update({"claimed_at": None})
    db.session.commit()
    monkeypatch.setattr(transfer, "_carry_out", lambda _: json.loads("x"))
    assert transfer.transfer_recording(number) is True
    assert db.session.get_one(Recording, number).state == "lost"


def entry(entry_id: str) -> dict[str, Any]:
    leg = {"call_type": "user", "call_abonent_extension": "101", "call_start_time": START, "external_call_id": entry_id,
           "call_answer_time": START + 10, "call_end_time": START + 60}  # fmt: skip
    return {"entry_id": entry_id, "context_type": 1, "context_status": 1, "caller_number": "79160000001",
            "duration": 60, "called_number": "74950000001", "context_start_time": START, "talk_duration": 50,
            "context_calls": [leg]}  # fmt: skip


def test_an_entry_of_the_statistics_that_fails_takes_no_other_along(
    app: Flask, portal_id: int, monkeypatch: Any
) -> None:
    pbx_id = db.session.query(Pbx).one().id
    db.session.rollback()
    original = missing_calls._create_call

    def create(session: Any, portal: Any, pbx: Any, entry: Any, how: Any) -> Call:
        call = original(session, portal, pbx, entry, how)
        if entry.entry_id == "bad":
            raise KeyError
        return call

    monkeypatch.setattr(missing_calls, "_create_call", create)
    entries = missing_calls.read_calls([entry("one"), entry("bad"), entry("two"), {"entry_id": "odd"}])
    for _ in range(2):
        counts = missing_calls.store_missing(portal_id, pbx_id, entries)
    assert {row.entry_id for row in db.session.query(Call)} == {"one", "two"}
    assert counts.calls == 0
    row = db.session.query(SetAside).one()
    assert (row.kind, row.entry_id, row.tries) == ("notification", "bad", 2)
    monkeypatch.undo()
    assert set_aside.retry(portal_id) == 1
    drain.drain(portal_id)
    assert {row.entry_id for row in db.session.query(Call)} == {"one", "bad", "two"}
    assert {row.state for row in db.session.query(Notification)} == {"handled"}


def test_the_same_entry_twice_in_one_answer(app: Flask, portal_id: int) -> None:
    pbx_id = db.session.query(Pbx).one().id
    db.session.rollback()
    entries = missing_calls.read_calls([entry("one"), entry("one") | {"duration": 61}])
    assert missing_calls.store_missing(portal_id, pbx_id, entries).calls == 1
    assert db.session.query(Call).count() == 1
    assert not db.session.query(SetAside).count()
