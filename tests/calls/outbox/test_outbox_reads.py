"""The outbox is read once in a step, by its index of open deliveries, and a claim knows from it what is open."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import event

from bx24app.calls import click_to_call
from bx24app.calls.outbox import batches, shared_batches
from bx24app.calls.outbox.ledger import MAX_OTHER_ROWS, load_outbox
from bx24app.models import Call, Delivery, Portal, db, utcnow


def add_call(portal: Portal, entry: str, *states: str) -> int:
    """A call with one hidden card for each of these states of deliveries."""
    call = Call(portal_id=portal.id, pbx_id=1, pbx_key="moscow", entry_id=entry, started_at=utcnow())
    db.session.add(call)
    db.session.flush()
    for number, state in enumerate(states):
        command = {"key": f"hide-{number}", "part": 1, "users": [11]}
        row = Delivery(portal_id=portal.id, call_id=call.id, key=command["key"], kind="HideCard", command=command)
        row.state = state
        db.session.add(row)
    db.session.commit()
    return call.id


@pytest.fixture
def statements() -> Iterator[list[tuple[str, Any]]]:
    found: list[tuple[str, Any]] = []

    def note(connection: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        found.append((statement, parameters))

    event.listen(db.engine, "before_cursor_execute", note)
    yield found
    event.remove(db.engine, "before_cursor_execute", note)


READS: dict[str, Callable[[Portal], object]] = {
    "claim": lambda portal: batches.claim(db.session(), portal, shared=False),
    "what is due": lambda portal: batches.has_due(db.session(), portal),
    "the next that is due": lambda portal: batches.find_next_due(db.session(), portal),
    "a full batch": lambda portal: shared_batches.is_batch_due(db.session(), portal),
    "dials": lambda portal: click_to_call.claim_dial_orders(db.session(), portal, 6),
    "the outbox": lambda portal: load_outbox(db.session(), portal.id, [1, 2]),
}


@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_sqlite_reads_open_deliveries_by_their_index(
    portal: Portal, statements: list[tuple[str, Any]], read: Callable[[Portal], object]
) -> None:
    """With the states as parameters it read the whole table, a year of it, at each step."""
    read(portal)
    reads = [(text, parameters) for text, parameters in statements if "FROM delivery" in text]
    assert reads
    for text, parameters in reads:
        plan = [row[3] for row in db.session.connection().exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", parameters)]
        assert not [step for step in plan if step.startswith("SCAN delivery")], plan


def test_the_outbox_of_a_step_holds_its_calls_whole_and_what_is_open_elsewhere(portal: Portal) -> None:
    mine, other = add_call(portal, "mine", "done", "waiting"), add_call(portal, "other", "done", "sent", "waiting")
    outbox = load_outbox(db.session(), portal.id, [mine])
    assert [row.state for row in outbox.by_call[mine]] == ["done", "waiting"]
    assert outbox.others is not None
    assert [(row.call_id, row.state) for row in outbox.others] == [(other, "sent"), (other, "waiting")]


def test_a_backlog_is_not_read_along(portal: Portal) -> None:
    mine = add_call(portal, "mine", "waiting")
    add_call(portal, "other", *["waiting"] * (MAX_OTHER_ROWS + 1))
    outbox = load_outbox(db.session(), portal.id, [mine])
    assert outbox.others is None
    assert len(outbox.by_call[mine]) == 1
