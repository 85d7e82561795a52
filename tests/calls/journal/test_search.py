"""Pages of the journal on both databases: what a filter leaves, in windows, is what a plain look at every call leaves;
PostgreSQL can follow the indexes.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from flask import Flask
from sqlalchemy import event
from sqlalchemy.orm import Session

from bx24app.calls.journal import search
from bx24app.calls.journal.search import CallFilter
from bx24app.cli import up
from bx24app.models import Call, CallPerson, Recording, db
from tests.models.test_migrations import POSTGRES, _app
from tests.support.servers import postgres

ZONE = "Europe/Moscow"
BEGAN = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture(params=["sqlite", POSTGRES])
def app(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Flask]:
    """Ninety calls of one portal and some of another, in a database as the migrations make it."""
    if request.param == "sqlite":
        yield from filled(_app(tmp_path, ""))
    else:
        with postgres(tmp_path) as url:
            yield from filled(_app(tmp_path, url))


def filled(made: Flask) -> Iterator[Flask]:
    up.migrate_database(made)
    with made.app_context():
        for number in range(100):
            call = Call(**values(number))
            db.session.add(call)
            db.session.flush()
            if number % 9 == 4:
                tape = Recording(portal_id=call.portal_id, call_id=call.id, recording_id="r", state="waiting")
                db.session.add(tape)
                db.session.flush()
                tape.state = "lost"
            if number % 18 == 13:
                tape.state = "attached"  # it got through after all
        db.session.commit()
        yield made
        db.session.remove()
        db.engine.dispose()


def values(number: int) -> dict[str, Any]:
    """Several calls begin at the same moment; of every tenth the portal is another one."""
    return {
        "portal_id": 2 if number % 10 == 0 else 1,
        "pbx_id": 1,
        "pbx_key": "spb" if number % 4 == 1 else "moscow",
        "entry_id": f"e{number}",
        "started_at": BEGAN + timedelta(hours=number // 3),
        "visible": number % 11 != 5,
        "state": "dead" if number % 13 == 3 else "finished",
        "direction": ("in", "out", "callback")[number % 3],
        "line_number": f"7495{number % 5}",
        "client_number": f"+7916000{number % 20:04d}",
        "outcome": ("answered", "missed")[number % 2],
        "user_id": number % 6 or None,
        "users": [number % 6, 9] if number % 6 and number % 7 == 2 else [],
        "responsible_id": 8 if number % 8 == 3 else None,
        "problem": "x" if number % 17 == 6 else None,
    }


def fits(call: Call, wanted: CallFilter, viewer: int | None, lost: set[int]) -> bool:
    """The same decision, call by call."""
    digits = "".join(sign for sign in wanted.q if sign.isdigit())
    people = {call.user_id, call.responsible_id, *call.users}
    day = call.started_at.astimezone(ZoneInfo(ZONE)).date()
    return all(
        (
            call.portal_id == 1 and call.visible,
            not digits or digits in (call.client_number or ""),
            not wanted.pbx or call.pbx_key == wanted.pbx,
            not wanted.line or call.line_number == wanted.line,
            not wanted.direction or call.direction == wanted.direction,
            not wanted.outcome or call.outcome == wanted.outcome,
            wanted.employee is None or viewer is not None or wanted.employee in people,
            viewer is None or viewer in people,
            wanted.since is None or day >= wanted.since,
            wanted.until is None or day <= wanted.until,
            not wanted.problems or call.problem is not None or call.state == "dead" or call.id in lost,
        )
    )


PARTS: tuple[dict[str, str], ...] = (
    {},
    {"pbx": "spb"},
    {"line": "74952"},
    {"direction": "callback"},
    {"outcome": "missed"},
    {"employee": "3"},
    {"employee": "9"},
    {"problems": "1"},
    {"q": "+79160000007"},
    {"q": "0013"},
    {"since": "2026-03-02"},
    {"until": "2026-03-02"},
)


def test_every_filter_leaves_what_a_plain_look_leaves(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "PAGE_SIZE", 7)
    monkeypatch.setattr(search, "SCAN_LIMIT", 10)
    calls = sorted(db.session.query(Call), key=lambda call: (call.started_at, call.id), reverse=True)
    lost = {row.call_id for row in db.session.query(Recording).filter_by(state="lost")}
    db.session.expunge_all()
    db.session.rollback()
    for one, other, viewer in product(PARTS, PARTS, (None, 3)):
        wanted = CallFilter.from_params({**one, **other})
        expected = [call.id for call in calls if fits(call, wanted, viewer, lost)]
        assert walked(wanted, viewer) == expected, (wanted, viewer)
        with Session(db.engine) as session:
            exported = {call.id for call in session.scalars(search.filtered_query(1, wanted, ZONE, viewer))}
        assert exported == set(expected), (wanted, viewer)


def walked(wanted: CallFilter, viewer: int | None) -> list[int]:
    """All pages one after another."""
    seen: list[int] = []
    below = None
    for _ in range(60):
        with Session(db.engine) as session:
            found = search.find_calls(session, 1, wanted, ZONE, viewer, below)
            assert len(found.calls) <= search.PAGE_SIZE
            seen += [call.id for call in found.calls]
        below = found.next_cursor
        if below is None:
            return seen
    raise AssertionError(f"no end of {wanted}")


INDEXES = {
    "direction": ({"direction": "callback"}, "ix_call_portal_started"),
    "pbx": ({"pbx": "spb"}, "ix_call_pbx_latest"),
    "line": ({"line": "74952"}, "ix_call_line_latest"),
    "problems": ({"problems": "1"}, "ix_call_problem"),
    "number": ({"q": "+79160000007"}, "ix_call_portal_client"),
    "employee": ({"employee": "3"}, "ix_call_person_latest"),
}


def test_each_filter_can_follow_its_index(app: Flask) -> None:
    """Of a table as small as this PostgreSQL would rather read all of it, so that is forbidden. SQLite chooses by
    itself.
    """
    told: list[Any] = []
    event.listen(db.engine, "before_cursor_execute", lambda *said: told.append(said[2:4]))
    for asked, index in INDEXES.values():
        told.clear()
        plans = explained(asked, index, told)
        assert plans
        for plan in plans:
            assert index in plan, plan


def explained(asked: dict[str, str], index: str, told: list[Any]) -> list[str]:
    """The plans of the statements of one page."""
    with Session(db.engine) as session:
        connection = session.connection()
        explain = "EXPLAIN QUERY PLAN "
        if db.engine.dialect.name == "postgresql":
            explain = "EXPLAIN "
            for what in ("seqscan", "bitmapscan", "sort", "hashjoin", "mergejoin"):
                connection.exec_driver_sql(f"SET LOCAL enable_{what} = off")
            if index != "ix_call_portal_started":  # to so few rows each index is as good; rolled back with the session
                connection.exec_driver_sql("DROP INDEX ix_call_portal_started")
        search.find_calls(session, 1, CallFilter.from_params(asked), ZONE)
        return [
            " | ".join(str(row[-1]) for row in connection.exec_driver_sql(explain + statement, values))
            for statement, values in list(told)
            if statement.startswith("SELECT") and "FROM call" in statement
        ]


def test_rows_of_people_go_with_their_call(app: Flask) -> None:
    call = db.session.query(Call).filter_by(entry_id="e9").one()
    assert {row.user_id for row in db.session.query(CallPerson).filter_by(call_id=call.id)} == {3, 9}
    db.session.delete(call)
    db.session.commit()
    assert db.session.query(CallPerson).filter_by(call_id=call.id).count() == 0
