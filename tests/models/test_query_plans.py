"""No query of the sweeps and of a call's way reads a big table from end to end:

PostgreSQL's own plans, with the statistics of filled tables.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from flask import Flask
from sqlalchemy import event, select

from benchmarks import filled
from bx24app import settings
from bx24app.calls import notifications, replay, sweep
from bx24app.calls.fold import grouping
from bx24app.calls.reconciliation import schedule
from bx24app.calls.recordings import attempts, turns
from bx24app.infra import queue
from bx24app.models import Call, Notification, Pbx, Portal, db, utcnow
from bx24app.models.locking import portal_lock
from bx24app.operations import retention, system_counts
from bx24app.operations.alerts import candidates, monitor
from scripts import needs
from tests.support.servers import POSTGRES_MISSING

pytestmark = [pytest.mark.postgres, pytest.mark.skipif(needs.postgres() is None, reason=POSTGRES_MISSING)]
BIG = {"call", "notification", "delivery", "recording", "call_person", "call_record", "audit"}
CALLS = 20_000


@pytest.fixture(scope="module")
def year() -> Iterator[Flask]:
    """One portal with a year of calls; nothing of them is under way but a few deliveries."""
    with filled.filled(CALLS, 3, quick=True) as (app, _):
        yield app


def scans(node: dict[str, Any]) -> Iterator[str]:
    """Big tables that this plan reads from end to end."""
    if node["Node Type"] == "Seq Scan" and node["Relation Name"] in BIG:
        yield node["Relation Name"]
    for below in node.get("Plans", ()):
        yield from scans(below)


def scanned(app: Flask, work: Callable[[], object]) -> tuple[int, list[str]]:
    """(queries on big tables, those of them that scan) of one piece of work."""
    said: list[tuple[str, Any]] = []

    def hear(connection: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.lstrip().startswith(("SELECT", "UPDATE", "DELETE", "WITH")):
            said.append((statement, parameters))

    event.listen(db.engine, "before_cursor_execute", hear)
    try:
        work()
    finally:
        event.remove(db.engine, "before_cursor_execute", hear)
        db.session.rollback()
    found, count = [], 0
    with db.engine.connect() as connection:
        for statement, parameters in said:
            [[plan]] = connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {statement}", parameters).all()
            count += any(f" {table}" in statement for table in BIG)
            found += [f"{table}: {' '.join(statement.split())[:600]}" for table in scans(plan[0]["Plan"])]
    return count, found


def _gather() -> None:
    """What a drain reads for one notification of a known call, and for one that only its command joins."""
    with portal_lock(1) as (session, portal):
        assert portal is not None
        last = session.scalars(select(Call).order_by(Call.id.desc()).limit(1)).one()
        last.command_id = "bx24app-known"
        session.flush()
        grouping.load_new_notifications(session, portal)
        row = Notification(
            portal_id=1,
            pbx_id=1,
            dialect="vpbx",
            name="result/callback",
            command_id="bx24app-known",
            dedup_key="one",
            body="{}",
            received_at=utcnow(),
        )
        grouping.find_or_create_calls(session, portal, [row])
        notifications.load_by_call(session, [last])
        session.rollback()


def _portal_call() -> None:
    """A click, and the tab in the call card, know a call by the portal's id."""
    db.session.scalar(select(Call.id).where(Call.portal_id == 1, Call.bitrix_call_id == "externalCall.77"))


def _watch() -> None:
    portal, now = db.session.get_one(Portal, 1), utcnow()
    document = settings.current(portal)
    monitor._lost_recordings(1, document, "en", now)
    monitor._unmapped_extensions(1, document, "en", now)
    monitor._is_usually_busy(1, filled.PBX, now)


def _window() -> None:
    pbx = db.session.scalars(select(Pbx)).one()
    schedule._request_window(pbx.id, utcnow(), sweep.ANSWER_TIMEOUT)


WORK: dict[str, Callable[[], object]] = {
    "sweep": sweep.sweep,
    "close silent calls": sweep.close_silent_calls,
    "prune": retention.prune,
    "gather": _gather,
    "a portal's call": _portal_call,
    "watch": _watch,
    "of whom there is something to tell": lambda: candidates.find_candidates(utcnow()),
    "reconcile": lambda: schedule._find_due(utcnow(), sweep.ANSWER_TIMEOUT),
    "window of the statistics": _window,
    "a turn of recordings": lambda: turns._read_waiting(1),
    "take a recording": lambda: attempts.claim_recording(7),
    "who leaves with a recording": lambda: attempts.batch_with(
        cast(Any, SimpleNamespace(portal_id=1, spool_file=Path(__file__)))
    ),
    "hurry": lambda: replay.retry_now(1),
    "health": lambda: system_counts.count_pending(utcnow()),
}


@pytest.mark.parametrize("name", WORK)
def test_nothing_reads_a_big_table_from_end_to_end(year: Flask, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue, "wake_portal", lambda *_, **__: None)
    monkeypatch.setattr(queue, "wake_recordings", lambda *_, **__: None)
    with year.app_context():
        count, found = scanned(year, WORK[name])
    assert count, "the work asked a big table"
    assert found == []


def test_a_scan_is_found(year: Flask) -> None:
    with year.app_context():
        _, found = scanned(year, lambda: db.session.scalars(select(Call.id).where(Call.activity_id == 1)).all())
    assert [one.partition(":")[0] for one in found] == ["call"]
