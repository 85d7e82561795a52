"""Which notifications belong to a call: by entry on its PBX, by command on its PBX or at the portal."""

from __future__ import annotations

import pytest
from flask import Flask
from sqlalchemy import text

from bx24app.calls import notifications
from bx24app.models import Call, Notification, db, utcnow


def _call(pbx_id: int = 1, entry_id: str = "E1", command_id: str | None = "C1", portal_id: int = 1) -> Call:
    return Call(
        portal_id=portal_id, pbx_id=pbx_id, pbx_key="msk", entry_id=entry_id, command_id=command_id,
        started_at=utcnow(), heard_at=utcnow(), users=[], crm=[], facts={},
    )  # fmt: skip


def _notification(
    key: str, pbx_id: int, entry_id: str | None, command_id: str | None, portal_id: int = 1
) -> Notification:
    return Notification(
        portal_id=portal_id,
        pbx_id=pbx_id,
        dialect="vpbx",
        name="events/call",
        entry_id=entry_id,
        command_id=command_id,
        dedup_key=key,
        body="{}",
    )


ROWS = {
    "entry": (1, "E1", None),
    "command": (1, None, "C1"),
    "both": (1, "E1", "C1"),
    "portal": (0, None, "C1"),
    "other entry": (1, "E2", None),
    "other pbx": (2, "E1", "C1"),
    "entry of the portal": (0, "E1", None),
    "nothing": (1, None, None),
}
OURS = ["entry", "command", "both", "portal"]


@pytest.fixture
def call(app: Flask) -> Call:
    calls = [_call(), _call(entry_id="E9", command_id=None), _call(pbx_id=2, entry_id="E3", command_id=None)]
    db.session.add_all(
        [
            *calls,
            *(_notification(key, *row) for key, row in ROWS.items()),
            _notification("tenant", 1, "E1", "C1", portal_id=2),
        ]
    )
    db.session.flush()
    return calls[0]


def test_by_entry_and_by_command(call: Call) -> None:
    by_call = notifications.load_by_call(db.session(), list(db.session.query(Call)))
    assert {call_id: [row.dedup_key for row in rows] for call_id, rows in by_call.items()} == {call.id: OURS}


def test_ids_are_of_the_same_rows(call: Call) -> None:
    by_call = notifications.load_by_call(db.session(), [call])
    assert notifications.load_ids(db.session(), [call]) == {row.id for row in by_call[call.id]}


def test_one_row_is_judged_alike(call: Call) -> None:
    rows = db.session.query(Notification).filter_by(portal_id=1).order_by(Notification.id)
    assert [row.dedup_key for row in rows if notifications.belongs_to(row, call)] == OURS


def test_more_calls_than_one_statement_names(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notifications, "CALLS_PER_STATEMENT", 2)
    calls = [_call(entry_id=f"E{number}", command_id=None) for number in range(5)]
    db.session.add_all([*calls, *(_notification(f"n{number}", 1, f"E{number}", None) for number in range(5))])
    db.session.flush()
    by_call = notifications.load_by_call(db.session(), calls)
    assert [[row.dedup_key for row in by_call[call.id]] for call in calls] == [[f"n{number}"] for number in range(5)]


@pytest.mark.parametrize(
    ("statement", "index"),
    [("_ROWS_BY_ENTRY", "ix_notification_entry"), ("_ROWS_BY_COMMAND", "ix_notification_command")],
)
def test_sqlite_takes_the_index(app: Flask, statement: str, index: str) -> None:
    query = getattr(notifications, statement).params(portal=1, pbx=1, names=["a", "b"])
    compiled = query.compile(db.engine, compile_kwargs={"render_postcompile": True, "literal_binds": True})
    plan = db.session.execute(text(f"EXPLAIN QUERY PLAN {compiled}")).all()
    assert index in str(plan), plan
