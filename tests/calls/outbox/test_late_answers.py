"""A request whose worker was taken for dead: it does not leave any more, and what its late answer says spoils nothing.
"""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import pytest

from bx24app.bitrix24.budget import RequestBudget
from bx24app.bitrix24.client import Bitrix24Client, TokenSource
from bx24app.bitrix24.errors import AnswerLost, NotSent
from bx24app.bitrix24.transport import PortalResponse
from bx24app.calls.outbox import batches, lost_requests, sender
from bx24app.calls.outbox.batch import Batch
from bx24app.calls.outbox.sender import BatchOutcome
from bx24app.calls.recordings import attempts, transfer
from bx24app.calls.recordings.outcomes import FailedTry, Lost
from bx24app.domain.calls.command_json import to_json
from bx24app.domain.calls.commands import AddComment, Record
from bx24app.infra.runtime import runtime
from bx24app.models import Call, Delivery, Portal, Recording, db, utcnow

COMMAND = AddComment(key="comment/1", record=Record("lead", 7), text="Missed")


class Wire:
    """Answers each request with a comment's id."""

    sent = 0

    def post(self, *_: Any) -> PortalResponse:
        self.sent += 1
        return PortalResponse(200, {"result": 5}, None)


@pytest.fixture
def row(portal: Portal) -> Delivery:
    portal.state = "active"
    call = Call(portal_id=portal.id, pbx_id=1, pbx_key="moscow", entry_id="e", started_at=utcnow())
    db.session.add(call)
    db.session.flush()
    row = Delivery(
        portal_id=portal.id, call_id=call.id, key=COMMAND.key, kind="AddComment", command=to_json(COMMAND)
    )
    db.session.add(row)
    db.session.commit()
    return row


def claimed(portal: Portal) -> Batch:
    (parcel,), _ = batches.claim(db.session(), portal, shared=False)
    db.session.commit()
    return parcel


def given_up() -> None:
    lost_requests.recover_lost_requests(db.session(), timedelta(seconds=-1))
    db.session.commit()


def client_over(wire: Wire, portal: Portal) -> Bitrix24Client:
    grants = TokenSource(lambda: "token", lambda _: "token", lambda where: where)
    return Bitrix24Client(
        "https://portal.example/rest/", grants, RequestBudget(runtime().redis, portal.member_id), wire
    )  # type: ignore[arg-type]


@pytest.mark.parametrize(("late", "leaves"), [(False, 1), (True, 0)])
def test_a_parcel_that_waited_too_long_does_not_leave(portal: Portal, row: Delivery, late: bool, leaves: int) -> None:
    parcel, wire = claimed(portal), Wire()
    if late:
        parcel.leave_by = time.monotonic() - 0.001
    outcome = sender.send(client_over(wire, portal), parcel)
    assert wire.sent == leaves
    assert isinstance(outcome.error, NotSent) == late
    sender.store_outcomes(db.session(), portal, outcome)
    assert (row.state, row.uncertain) == (("waiting", False) if late else ("done", False))


def test_what_was_not_sent_leaves_the_row_to_its_new_worker(portal: Portal, row: Delivery) -> None:
    first = claimed(portal)
    given_up()
    row.uncertain = False  # as after a look-up that found nothing
    second = claimed(portal)
    assert second.claimed_at != first.claimed_at
    for error in (NotSent("too late", 0.0), AnswerLost("timed out")):
        sender.store_outcomes(db.session(), portal, BatchOutcome(first, error=error))
        assert (row.state, row.sent_at) == ("sent", second.claimed_at), "two would be on their way"


def test_a_late_success_is_taken_and_not_repeated(portal: Portal, row: Delivery) -> None:
    first = claimed(portal)
    given_up()
    assert (row.state, row.uncertain) == ("waiting", True)
    touched = sender.store_outcomes(db.session(), portal, BatchOutcome(first, {row.id: 5}))
    assert (touched, row.state, row.uncertain) == ({row.call_id}, "done", False)
    assert batches.claim(db.session(), portal, shared=False)[0] == []


def test_a_look_up_under_way_does_not_undo_a_late_success(portal: Portal, row: Delivery) -> None:
    first = claimed(portal)
    given_up()
    second = claimed(portal)
    sender.store_outcomes(db.session(), portal, BatchOutcome(first, {row.id: 5}))
    sender.store_outcomes(db.session(), portal, BatchOutcome(second, verified_answers={}))
    assert row.state == "done"


def test_a_row_that_is_gone_is_no_crash(portal: Portal, row: Delivery) -> None:
    parcel = claimed(portal)
    db.session.delete(row)
    db.session.commit()
    assert sender.store_outcomes(db.session(), portal, BatchOutcome(parcel, {parcel.items[0].delivery_id: 5})) == set()


@pytest.mark.parametrize("ends", ["put off", "given up"])
def test_a_recording_in_other_hands_stays_there(portal: Portal, row: Delivery, ends: str) -> None:
    portal.state = "active"
    tape = Recording(portal_id=portal.id, call_id=row.call_id, recording_id="r", bitrix_call_id="x", due_at=utcnow())
    db.session.add(tape)
    db.session.commit()
    number = tape.id
    first = attempts.claim_recording(number)
    assert first is not None
    db.session.get_one(Recording, number).claimed_at = newer = utcnow()
    db.session.commit()
    if ends == "put off":
        transfer._store(first, FailedTry("timed out"))
    else:
        transfer._store(first, Lost("no such file"))
    held = db.session.get_one(Recording, number)
    assert (held.state, held.claimed_at, held.tries) == ("waiting", newer, 0)
