"""A PBX that reads the window of its statistics in its own zone: its calls are found all the same, and none twice."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from bx24app.calls.reconciliation import backfill, schedule
from bx24app.models import Call, Pbx, db, utcnow
from tests.conftest import KEY, config_for
from tests.end_to_end.test_scenarios import connect
from tests.support.replayed_scenario import ReplayedCall, absorb, as_new_call, in_portal
from tests.support.scenarios import FIXTURES, Scenario
from tests.support.stack import World, until, world

OUT = Scenario(FIXTURES / "outgoing_answered")
MISSED = Scenario(FIXTURES / "incoming_missed_as_activity")


@pytest.fixture(params=["Europe/Moscow", "Asia/Krasnoyarsk"])
def earth(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, valkey_url: str
) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("world"), valkey_url, config_for, quiet_seconds=2, reconcile_seconds=1) as made:
        made.portal.limits.rate = 0
        made.portal.license = "ru_ent250"
        made.work()
        made.install()
        connect(made, OUT)
        made.mango.board(KEY).statistics_shape.zone = request.param
        yield made
        assert not made.portal.violations, made.portal.violations


def unheard(earth: World, scenario: Scenario, **ago: float) -> ReplayedCall:
    retold = as_new_call(scenario, ago=int(timedelta(**ago).total_seconds()))
    earth.sandbox.call(absorb, earth.mango, retold.notices)
    return retold


def reconcile(earth: World) -> None:
    with earth.app.app_context():
        long_ago = utcnow() - timedelta(days=1)
        before = db.session.query(Pbx.read_until).scalar()
        db.session.query(Pbx).update({"ask_at": utcnow() - timedelta(seconds=1), "created_at": long_ago})
        db.session.commit()
        assert schedule.queue_due_pbxs() == 1

    def is_read() -> bool:
        with earth.app.app_context():
            return bool(db.session.query(Pbx.read_until).scalar() != before)

    until(is_read, "the statistics were never read", 60)
    earth.settle(60)


def fill(earth: World, **ago: float) -> None:
    portal_id = int(earth.portal_row()["id"])
    with earth.app.app_context():
        [number] = backfill.begin(portal_id, utcnow() - timedelta(**ago), utcnow())

    def is_done() -> bool:
        with earth.app.app_context():
            rows = backfill.list_progress(portal_id)
            db.session.rollback()
            return next(row for row in rows if row.id == number).state != "running"

    until(is_done, "the backfill never ended", 90)
    earth.settle(60)


def entries(earth: World) -> list[str]:
    with earth.app.app_context():
        found = sorted(db.session.scalars(db.select(Call.entry_id)))
        db.session.rollback()
        return found


def test_reconciliation_and_backfill_find_the_calls_of_their_window(earth: World) -> None:
    zone = earth.mango.board(KEY).statistics_shape.zone
    lost, older = unheard(earth, OUT, minutes=10), unheard(earth, MISSED, hours=26)
    before = unheard(earth, MISSED, hours=30)
    reconcile(earth)
    assert entries(earth) == [lost.entry_id]
    with earth.app.app_context():
        assert db.session.query(Pbx.statistics_zone).scalar() == zone
    fill(earth, hours=27)
    fill(earth, hours=27)
    assert entries(earth) == sorted([lost.entry_id, older.entry_id]), "and nothing from before the period"
    assert [len(in_portal(earth, retold)["calls"]) for retold in (lost, older, before)] == [1, 1, 0]


def test_a_backfill_does_not_need_to_know_the_zone(earth: World) -> None:
    """The first question of a new installation."""
    lost = [unheard(earth, OUT, minutes=20), unheard(earth, MISSED, hours=3)]
    fill(earth, hours=4)
    assert entries(earth) == sorted(call.entry_id for call in lost)
    assert [len(in_portal(earth, retold)["calls"]) for retold in lost] == [1, 1]
