"""What is old goes, what is wanted stays: notifications, calls with all that hangs on them, files in the spool."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from flask import Flask

from bx24app import create_app
from bx24app.calls.recordings import spool_files
from bx24app.calls.statistics import aggregation
from bx24app.cli import up
from bx24app.domain.calls.commands import Finish
from bx24app.models import (
    Call,
    CallPerson,
    CallRecord,
    Delivery,
    Figure,
    FigureMark,
    Notification,
    Portal,
    Recording,
    SetAside,
    Todo,
    db,
    utcnow,
)
from bx24app.operations import retention
from scripts import needs
from tests.cli.test_journal import call, sent, told
from tests.conftest import config_for, make_portal
from tests.support.servers import POSTGRES_MISSING, postgres

POSTGRES = pytest.param(
    "postgresql",
    marks=[pytest.mark.postgres, pytest.mark.skipif(needs.postgres() is None, reason=POSTGRES_MISSING)],
)
DAYS = {"keep_notifications_days": 30, "keep_calls_days": 100, "keep_spool_days": 3}
TABLES = (Call, Delivery, Recording, Notification, Todo, CallPerson, CallRecord)


@pytest.fixture(params=["sqlite", POSTGRES])
def kept(request: pytest.FixtureRequest, tmp_path: Path, valkey_url: str) -> Iterator[Portal]:
    """A portal on either database, where things are kept for the days above."""

    def made(url: str) -> Iterator[Portal]:
        app: Flask = create_app(config_for(tmp_path, valkey_url, **DAYS, **({"database_url": url} if url else {})))
        up.migrate_database(app)
        with app.app_context():
            yield make_portal()
            db.session.remove()
            db.engine.dispose()

    if request.param == "sqlite":
        yield from made("")
    else:
        with postgres(tmp_path) as url:
            yield from made(url)


def whole(portal: Portal, entry_id: str, days: float, state: str = "finished") -> Call:
    """A call of so many days ago with everything that may hang on it."""
    at = utcnow() - timedelta(days=days)
    made = call(
        portal,
        entry_id,
        at,
        state=state,
        ended_at=at,
        heard_at=at,
        updated_at=at,
        user_id=11,
        users=[11],
        crm=[{"entity": "lead", "id": 1, "created": True}],
        outcome="missed",
    )
    told(made, "events/call", 1, received_at=at)
    sent(made, Finish(key="finish", user_id=11, seconds=0, status="304", number="+79160000001"), 1)
    todo = Todo(
        portal_id=portal.id,
        client_number="+79160000001",
        call_id=made.id,
        key="todo",
        title="Call back",
        entity="lead",
        missed_at=at,
        deadline_at=at,
    )
    db.session.add_all([Recording(portal_id=portal.id, call_id=made.id, recording_id="R", state="attached"), todo])
    db.session.commit()
    return made


def left(portal_id: int) -> dict[str, set[str]]:
    found = {
        "calls": {row.entry_id for row in db.session.query(Call).filter_by(portal_id=portal_id)},
        "told": {str(row.entry_id) for row in db.session.query(Notification).filter_by(portal_id=portal_id)},
    }
    db.session.rollback()
    return found


def test_each_table_by_its_own_days(kept: Portal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "ROWS_PER_STATEMENT", 2)  # several steps
    portal_id = kept.id
    for days in (1, 29, 31, 99, 101, 200, 900):
        whole(kept, f"E{days}", days)
    for state in ("open", "dead"):
        whole(kept, state, 400, state)
    db.session.query(Notification).filter_by(entry_id="E900").update({"state": "new"})
    db.session.commit()
    retention.prune()
    assert left(portal_id) == {"calls": {"E1", "E29", "E31", "E99", "open", "dead"}, "told": {"E1", "E29", "E900"}}
    counts = {table: db.session.query(table).count() for table in TABLES if table is not Notification}
    assert set(counts.values()) == {6}, f"what hangs on a call goes and stays with it: {counts}"
    db.session.rollback()
    retention.prune()
    assert len(left(portal_id)["calls"]) == 6


def test_an_entry_of_a_row_that_is_gone_goes_too(kept: Portal) -> None:
    row = Notification(portal_id=kept.id, pbx_id=1, dialect="vpbx", name="x", dedup_key="x", body="{}")
    db.session.add(row)
    db.session.flush()
    common = {"portal_id": kept.id, "reason": "KeyError", "version": "0"}
    db.session.add_all(SetAside(kind="notification", row_id=row.id + more, **common) for more in (0, 5))
    db.session.add(SetAside(kind="call", row_id=7, **common))
    db.session.commit()
    retention.prune()
    assert [(one.kind, one.row_id) for one in db.session.query(SetAside)] == [("notification", row.id)]


def test_nothing_goes_where_calls_are_kept_for_ever(app: Flask, tmp_path: Path) -> None:
    portal = make_portal()
    whole(portal, "E", 3000)
    config = app.extensions["bx24app"].config
    app.extensions["bx24app"].config = config.model_copy(update={"keep_calls_days": 0})
    retention.prune()
    assert left(portal.id) == {"calls": {"E"}, "told": set()}


def test_statistics_of_calls_that_are_gone_stay(kept: Portal) -> None:
    portal_id = kept.id
    whole(kept, "old", 300)
    whole(kept, "young", 5)
    aggregation.refresh_counts()
    before = {(row.kind, row.day, row.key): row.calls for row in db.session.query(Figure).filter_by(grain="day")}
    retention.prune()
    assert left(portal_id)["calls"] == {"young"}
    db.session.query(FigureMark).filter_by(portal_id=portal_id).update(
        {"zone": "Asia/Omsk"}
    )  # the zone was changed: all is counted anew
    db.session.query(Call).update({"updated_at": utcnow()})
    db.session.commit()
    aggregation.refresh_counts()
    after = {(row.kind, row.day, row.key): row.calls for row in db.session.query(Figure).filter_by(grain="day")}
    assert after == before


def test_the_spool(kept: Portal, tmp_path: Path) -> None:
    spool = tmp_path / "var/spool"
    spool.mkdir(parents=True, exist_ok=True)
    held = whole(kept, "E", 1)
    tapes = {}
    for state in ("waiting", "attached", "lost"):
        row = Recording(portal_id=kept.id, call_id=held.id, recording_id=state, state=state)
        db.session.add(row)
        db.session.flush()
        tapes[state] = row.id
    late = Recording(portal_id=kept.id, call_id=held.id, recording_id="late", state="waiting")
    db.session.add(late)
    db.session.commit()
    names = {number: file.stem for number, file in spool_files.files_of([*tapes.values(), late.id]).items()}
    waiting = names[tapes["waiting"]]
    hours = {
        f"{waiting}.mp3": 50,
        f"{waiting}.random.part": 50,
        f"{tapes['waiting']}-of-another-database.mp3": 2,
        f"{tapes['waiting']}.mp3": 2,  # as versions before 0019 named it
        f"{names[tapes['attached']]}.mp3": 2,
        f"{names[tapes['lost']]}.part": 2,
        f"{names[late.id]}.mp3": 73,
        "999999.mp3": 2,
        "888888.part": 0,
    }
    for name, age in hours.items():
        (spool / name).write_bytes(b"voice")
        os.utime(spool / name, times=(time.time() - age * 3600,) * 2)
    (spool / "notes.txt").write_text("not ours")
    retention.prune()
    assert {path.name for path in spool.iterdir()} == {
        f"{waiting}.mp3",
        f"{waiting}.random.part",
        "888888.part",
        "notes.txt",
    }
