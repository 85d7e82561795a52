"""A period told afterwards: what the portal lacks arrives, what it has stays as it is, and a second run changes
nothing.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest

from bx24app.calls.reconciliation import backfill
from bx24app.models import Backfill, Call, Delivery, Notification, Recording, db, utcnow
from bx24app.sandbox.mango.rest import RestFault
from tests.conftest import config_for
from tests.end_to_end.test_scenarios import connect, told
from tests.support.replayed_scenario import ReplayedCall, absorb, as_json, as_new_call, in_portal
from tests.support.scenarios import FIXTURES, Scenario
from tests.support.stack import World, until, world

ANSWERED = Scenario(FIXTURES / "incoming_answered_becomes_contact")
MISSED = Scenario(FIXTURES / "incoming_missed_as_activity")
OUT = Scenario(FIXTURES / "outgoing_answered")
SOON, LONG_AGO = timedelta(minutes=20), timedelta(hours=30)


@pytest.fixture(scope="module")
def earth(tmp_path_factory: pytest.TempPathFactory, valkey_url: str) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("world"), valkey_url, config_for, quiet_seconds=2, reconcile_seconds=0) as made:
        made.portal.limits.rate = 0
        made.portal.license = "ru_ent250"
        made.work()
        made.install()
        yield made
        assert not made.portal.violations, made.portal.violations


def unheard(earth: World, scenario: Scenario, ago: timedelta) -> ReplayedCall:
    """A call that the PBX had so long ago, and of which nobody told us."""
    connect(earth, scenario)
    retold = as_new_call(scenario, ago=int(ago.total_seconds()))
    earth.sandbox.call(absorb, earth.mango, retold.notices)
    return retold


def filled(earth: World, ago: timedelta, records: bool = False) -> backfill.BackfillProgress:
    """A back-fill from so long ago to now, to its end; returns what it counted."""
    portal_id = int(earth.portal_row()["id"])
    with earth.app.app_context():
        now = utcnow()
        [number] = backfill.begin(portal_id, now - ago - timedelta(minutes=10), now, records=records)
    until(lambda: one(earth, number).state != "running", lambda: f"no end: {one(earth, number)}", 120)
    earth.settle(120)
    return one(earth, number)


def one(earth: World, number: int) -> backfill.BackfillProgress:
    with earth.app.app_context():
        found = backfill.list_progress(int(earth.portal_row()["id"]))
        db.session.rollback()
        return next(row for row in found if row.id == number)


def forgotten(earth: World, retold: ReplayedCall) -> None:
    """Our tables lose the call, as if another installation had told it."""
    with earth.app.app_context():
        call = db.session.query(Call).filter_by(entry_id=retold.entry_id).one()
        for table in (Recording, Delivery):
            db.session.query(table).filter_by(call_id=call.id).delete()
        db.session.query(Notification).filter_by(entry_id=retold.entry_id).delete()
        db.session.delete(call)
        db.session.commit()


@pytest.mark.parametrize("scenario", [ANSWERED, MISSED, OUT], ids=lambda one: one.folder.name)
def test_a_call_of_today_is_told_in_full(earth: World, scenario: Scenario) -> None:
    _, fair = told(earth, scenario, "as it is")
    retold = unheard(earth, scenario, SOON)
    said = filled(earth, SOON)
    assert (said.state, said.fraction, said.delivered_calls >= 1) == ("done", 1.0, True)
    assert in_portal(earth, retold) == fair, as_json((in_portal(earth, retold), fair))
    again = filled(earth, SOON)
    assert again.delivered_calls == 0
    assert in_portal(earth, retold) == fair


@pytest.mark.parametrize("records", [False, True])
def test_an_old_call_makes_no_to_do_and_records_only_if_chosen(earth: World, records: bool) -> None:
    retold = unheard(earth, MISSED, LONG_AGO)
    filled(earth, LONG_AGO, records)
    found = in_portal(earth, retold)
    assert len(found["calls"]) == 1
    assert [kind for kind, *_ in found["activities"] if "TODO" in kind] == []
    assert bool(found["records"]) == records, as_json(found)


def test_what_the_portal_has_from_somebody_else_is_left_out(earth: World) -> None:
    retold, fair = told(earth, ANSWERED, "as it is")
    forgotten(earth, retold)
    said = filled(earth, SOON)
    assert said.skipped_calls >= 1
    assert in_portal(earth, retold) == fair


def test_it_goes_on_where_it_was_left(earth: World) -> None:
    retold = unheard(earth, OUT, SOON)
    earth.mango.rest_faults = {"stats/calls/request": RestFault("http", 503, -1)}
    portal_id = int(earth.portal_row()["id"])
    with earth.app.app_context():
        start, now = utcnow() - SOON - timedelta(minutes=10), utcnow()
        [number] = backfill.begin(portal_id, start, now)
    until(lambda: one(earth, number).problem, "the trouble is not told", 30)
    with earth.app.app_context():
        assert backfill.stop(portal_id, number)
        assert not backfill.stop(portal_id + 1, number), "not another portal's"
    earth.mango.rest_faults = {}
    with earth.app.app_context():
        assert backfill.begin(portal_id, start, now) == [number]
    until(lambda: one(earth, number).state == "done", lambda: str(one(earth, number)), 60)
    earth.settle(60)
    assert len(in_portal(earth, retold)["calls"]) == 1


def test_a_lost_step_is_rung_for(earth: World) -> None:
    """Redis lost the job: the row knows."""
    retold = unheard(earth, OUT, SOON)
    portal_id = int(earth.portal_row()["id"])
    with earth.app.app_context():
        pbx_id = db.session.query(Backfill).first().pbx_id  # type: ignore[union-attr]
        start = utcnow() - SOON - timedelta(minutes=10)
        row = Backfill(portal_id=portal_id, pbx_id=pbx_id, start=start, end=utcnow(), done_until=start, state="running")
        row.due_at, row.records = utcnow() - timedelta(seconds=1), False
        row.seen = row.made = row.skipped = row.failures = 0
        db.session.add(row)
        db.session.commit()
        number = row.id
        backfill.requeue_lost()
    until(lambda: one(earth, number).state == "done", lambda: str(one(earth, number)), 60)
    earth.settle(60)
    assert len(in_portal(earth, retold)["calls"]) == 1


def test_a_period_must_be_one(earth: World) -> None:
    connect(earth, OUT)
    portal_id = int(earth.portal_row()["id"])
    now: datetime = utcnow()
    with earth.app.app_context():
        for start, end, key in (
            (now, now - SOON, None),
            (now + SOON, now + 2 * SOON, None),
            (now - SOON, now, "nowhere"),
        ):
            with pytest.raises(backfill.InvalidBackfill):
                backfill.begin(portal_id, start, end, key)
        db.session.rollback()


def test_many_calls_in_steps(earth: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backfill, "CALLS_PER_STEP", 3)
    monkeypatch.setattr(backfill, "STEP_PAUSE_SECONDS", 0.0)
    calls = [unheard(earth, OUT, SOON + timedelta(seconds=40 * index)) for index in range(8)]
    began = time.monotonic()
    said = filled(earth, SOON + timedelta(minutes=10))
    assert said.delivered_calls == len(calls), (said, time.monotonic() - began)
    assert all(len(in_portal(earth, retold)["calls"]) == 1 for retold in calls)
