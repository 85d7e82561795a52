"""A request whose worker is dead: when it is looked up, and when "it was not carried out" may be believed."""

from __future__ import annotations

from datetime import timedelta

import pytest

from bx24app.bitrix24.errors import AnswerLost
from bx24app.calls.outbox import batches, lost_requests, sender
from bx24app.calls.outbox.sender import BatchOutcome
from bx24app.infra.leases import worker_name
from bx24app.models import Delivery, Portal, db, utcnow
from tests.calls.outbox.test_late_answers import claimed, row

__all__ = ["row"]
SLOW = lost_requests.PROMPT_SECONDS + 0.1


def worker_died(row: Delivery) -> dict[int, timedelta]:
    pauses = lost_requests.free_requests_of(db.session(), worker_name())
    db.session.commit()
    db.session.refresh(row)
    return pauses


def looked_up(portal: Portal, row: Delivery, seconds: float) -> None:
    """The portal says in an answer that took so long that the command was not carried out."""
    row.due_at = None
    db.session.commit()
    batch = claimed(portal)
    assert batch.verification is not None
    outcome = BatchOutcome(batch, verification_seconds=seconds)
    sender.store_outcomes(db.session(), portal, outcome)
    db.session.commit()


def test_it_is_looked_up_some_seconds_later(portal: Portal, row: Delivery) -> None:
    claimed(portal)
    pauses = worker_died(row)
    assert timedelta(seconds=5) < pauses[portal.id] < timedelta(seconds=15)
    assert (row.state, row.uncertain) == ("waiting", True)
    assert row.due_at is not None
    assert utcnow() < row.due_at
    assert batches.claim(db.session(), portal, shared=False)[0] == [], "the portal may still be busy with it"


def test_nobody_else_is_touched(portal: Portal, row: Delivery) -> None:
    claimed(portal)
    assert lost_requests.free_requests_of(db.session(), "another worker") == {}
    assert row.state == "sent"


@pytest.mark.parametrize(("seconds", "is_believed"), [(0.1, True), (SLOW, False)])
def test_a_slow_portal_is_not_believed(portal: Portal, row: Delivery, seconds: float, is_believed: bool) -> None:
    claimed(portal)
    worker_died(row)
    looked_up(portal, row, seconds)
    assert (row.state, row.uncertain) == ("waiting", not is_believed)
    if not is_believed:
        assert row.due_at is not None
        assert row.lost_at is not None
        assert row.due_at - row.lost_at == lost_requests.LONGEST_REQUEST


def test_a_slow_portal_is_believed_once_the_longest_request_would_be_over(portal: Portal, row: Delivery) -> None:
    claimed(portal)
    worker_died(row)
    row.lost_at = utcnow() - lost_requests.LONGEST_REQUEST
    looked_up(portal, row, SLOW)
    assert (row.state, row.uncertain, row.due_at) == ("waiting", False, None)


def test_an_answer_of_a_worker_that_was_not_dead(portal: Portal, row: Delivery) -> None:
    """It was frozen: its failure changes nothing, its success is taken."""
    first = claimed(portal)
    worker_died(row)
    due_at = row.due_at
    sender.store_outcomes(db.session(), portal, BatchOutcome(first, error=AnswerLost("timed out")))
    assert (row.state, row.due_at) == ("waiting", due_at)
    sender.store_outcomes(db.session(), portal, BatchOutcome(first, {row.id: 5}))
    assert row.state == "done"
