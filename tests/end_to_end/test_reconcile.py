"""Notifications that never came: the PBX's statistics tell what they would have told, and nothing is told twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select

from bx24app.calls.reconciliation import schedule, statistics_requests
from bx24app.infra import key_guard, key_tries
from bx24app.infra.runtime import runtime
from bx24app.models import Call, Pbx, db, utcnow
from bx24app.sandbox.mango.rest import RestFault
from tests.conftest import KEY, config_for
from tests.end_to_end.test_scenarios import connect, known_clients, told
from tests.support.replayed_scenario import ReplayedCall, absorb, as_json, as_new_call, in_portal, post
from tests.support.scenarios import FIXTURES, Notice, Scenario
from tests.support.stack import World, until, world

GROUP = Scenario(FIXTURES / "incoming_answered_by_group")
MISSED = Scenario(FIXTURES / "incoming_missed_by_group")
OUT = Scenario(FIXTURES / "outgoing_answered")
HANDED = Scenario(FIXTURES / "transfer_blind_by_api")
CONSULTED = Scenario(FIXTURES / "transfer_consultative")
RECORDED = Scenario(FIXTURES / "incoming_answered_becomes_contact")


@pytest.fixture(scope="module")
def earth(tmp_path_factory: pytest.TempPathFactory, valkey_url: str) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("world"), valkey_url, config_for, quiet_seconds=2, reconcile_seconds=1) as made:
        made.portal.limits.rate = 0
        made.portal.license = "ru_ent250"
        made.work()
        made.install()
        yield made
        assert not made.portal.violations, made.portal.violations


def some(earth: World, scenario: Scenario, arrives: Callable[[Notice], bool]) -> ReplayedCall:
    """The PBX lived through the whole call; we heard of a part of it."""
    hook = connect(earth, scenario)
    retold = as_new_call(scenario)
    known_clients(earth, scenario, retold)
    earth.sandbox.call(absorb, earth.mango, retold.notices)
    for notice in retold.notices:
        if arrives(notice):
            assert post(hook, notice) == 200
    return retold


def look(earth: World, hourly: bool = True) -> int:
    """One look at the statistics, now; as if its hour had come."""
    with earth.app.app_context():
        if hourly:
            db.session.query(Pbx).update({"ask_at": utcnow() - timedelta(seconds=1)})
            db.session.commit()
        return schedule.queue_due_pbxs()


def held(earth: World) -> dict[str, Any]:
    with earth.app.app_context():
        row = db.session.query(Pbx).one()
        names = ("lost_found", "read_until", "asked_at", "ask_at", "ask_failures", "ask_problem")
        return {name: getattr(row, name) for name in names}


def looked(earth: World) -> int:
    """One look to its end; returns what it found."""
    until(lambda: db_over(earth), "a call is not over yet")
    before = held(earth)
    assert look(earth) == 1
    until(lambda: held(earth)["read_until"] != before["read_until"], "the statistics were never read", 60)
    earth.settle(90)
    return int(held(earth)["lost_found"]) - int(before["lost_found"])


def db_over(earth: World) -> bool:
    """What ended this second is left for the next look."""
    with earth.app.app_context():
        ended = db.session.scalar(select(func.max(Call.ended_at)))
        return ended is None or utcnow() - ended > timedelta(seconds=2)


def nothing(_: Notice) -> bool:
    return False


def without_end(notice: Notice) -> bool:
    return notice.name != "events/summary"


def without_recordings(notice: Notice) -> bool:
    return "record" not in notice.name


CASES = [(scenario, arrives) for scenario in (GROUP, MISSED, OUT, HANDED) for arrives in (nothing, without_end)]


@pytest.mark.parametrize(("scenario", "arrives"), CASES, ids=lambda one: str(getattr(one, "__name__", one)))
def test_what_was_lost_is_in_the_portal_as_if_it_had_come(
    earth: World, scenario: Scenario, arrives: Callable[[Notice], bool]
) -> None:
    _, fair = told(earth, scenario, "as it is")
    retold = some(earth, scenario, arrives)
    assert looked(earth) == 1
    assert in_portal(earth, retold) == fair, as_json((in_portal(earth, retold), fair))
    assert looked(earth) == 0, "found twice"
    assert in_portal(earth, retold) == fair


@pytest.fixture
def without_extensions(earth: World) -> Iterator[None]:
    """Mango's statistics as in its documentation's example: employees are named by their ids alone."""
    connect(earth, OUT)
    board = earth.mango.board(KEY)
    for extension in ("101", "102", "103"):
        if board.pbx.find_employee(extension) is None:
            earth.sandbox.call(board.pbx.add_employee, extension, f"Employee {extension}")
    board.statistics_shape.has_extensions = False
    yield
    board.statistics_shape.has_extensions = True


@pytest.mark.usefixtures("without_extensions")
@pytest.mark.parametrize("scenario", [OUT, GROUP, CONSULTED], ids=lambda one: one.folder.name)
def test_employees_are_found_by_their_ids(earth: World, scenario: Scenario) -> None:
    _, fair = told(earth, scenario, "as it is")
    retold = some(earth, scenario, nothing)
    assert looked(earth) == 1
    assert in_portal(earth, retold) == fair, as_json((in_portal(earth, retold), fair))


def test_a_recording_that_nobody_told_of(earth: World) -> None:
    _, fair = told(earth, RECORDED, "as it is")
    retold = some(earth, RECORDED, without_recordings)
    earth.settle(60)
    assert in_portal(earth, retold) != fair
    assert looked(earth) == 1
    assert in_portal(earth, retold) == fair, as_json((in_portal(earth, retold), fair))


def test_nothing_is_found_where_nothing_was_lost(earth: World) -> None:
    for scenario in (GROUP, OUT):
        told(earth, scenario, "as it is")
    assert looked(earth) == 0


def test_what_comes_after_all_changes_nothing(earth: World) -> None:
    """A notification that was only late, behind the look that took it for lost."""
    _, fair = told(earth, GROUP, "as it is")
    retold = some(earth, GROUP, nothing)
    assert looked(earth) == 1
    hook = connect(earth, GROUP)
    for notice in retold.notices:
        assert post(hook, notice) == 200
    earth.settle(60)
    assert in_portal(earth, retold) == fair, as_json((in_portal(earth, retold), fair))


@pytest.mark.parametrize("lost", ["order", "result"])
def test_the_older_statistics_stand_in(earth: World, lost: str) -> None:
    _, fair = told(earth, GROUP, "as it is")
    whole, end = some(earth, GROUP, nothing), some(earth, GROUP, without_end)
    path = "stats/calls/request" if lost == "order" else "stats/calls/result"
    earth.mango.rest_faults = {path: RestFault("code", 5201, -1)}
    try:
        assert looked(earth) == 2
    finally:
        earth.mango.rest_faults = {}
    for retold in (whole, end):
        found = in_portal(earth, retold)
        assert found == fair, as_json((found, fair))


def test_newer_statistics_that_are_wrong_are_not_asked_for_again(
    earth: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each answer 3xxx stops all questions of the key for two minutes."""
    monkeypatch.setattr(key_guard, "LOCK_SECONDS", 0.5)
    earth.mango.rest_faults = {"stats/calls/request": RestFault("code", 3100, -1)}
    before = list(earth.mango.requests).count("POST stats/calls/request")
    try:
        for _ in range(2):
            some(earth, MISSED, nothing)
            assert looked(earth) == 1
    finally:
        earth.mango.rest_faults = {}
        with earth.app.app_context():
            runtime().redis.delete(statistics_requests._refusal_name(db.session.query(Pbx).one().id))
    assert list(earth.mango.requests).count("POST stats/calls/request") == before + 1


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (RestFault("http", 429, 1), "slow down"),
        (RestFault("http", 500, 1), "500"),
        (RestFault("code", 3102, 1), "3102"),
    ],
)
def test_a_pbx_that_does_not_answer_is_asked_later(earth: World, fault: RestFault, words: str) -> None:
    retold = some(earth, MISSED, nothing)
    earth.mango.rest_faults = {"stats/calls/request": fault}
    before = held(earth)
    assert look(earth) == 1
    until(lambda: held(earth)["ask_failures"] == 1, "the failure was not noticed", 30)
    earth.mango.rest_faults = {}
    after = held(earth)
    assert words in after["ask_problem"]
    assert after["read_until"] == before["read_until"]
    assert after["ask_at"] >= utcnow() + timedelta(seconds=30)
    assert look(earth, hourly=False) == 0, "a failed PBX waits for its time"
    with earth.app.app_context():  # a PBX with a wrong key waits an hour, longer than Mango locks an address
        key = str(db.session.query(Pbx).one().api_key)
        wrong = key_guard.RememberedKey(runtime(), key)._wrong
        runtime().redis.delete("key_tries:all", key_tries._of_key(key), wrong)
        db.session.rollback()
    assert looked(earth) == 1
    assert held(earth)["ask_failures"] == 0
    assert in_portal(earth, retold)["calls"]


def test_statistics_wait_for_the_end_of_a_lock_and_not_for_an_hour(
    earth: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    retold = some(earth, MISSED, nothing)
    with earth.app.app_context():
        key_guard.RememberedKey(runtime(), KEY).record_worked()
    until(lambda: db_over(earth), "a call is not over yet")
    monkeypatch.setattr(key_guard, "LOCK_SECONDS", 3.0)
    monkeypatch.setattr(earth.mango.limits, "lockout_seconds", 3.0)
    for _ in range(2):  # another program with the same key
        earth.mango.limits.count_malformed(KEY)
    before, sent = held(earth), list(earth.mango.requests)
    assert look(earth) == 1
    until(lambda: held(earth)["read_until"] != before["read_until"], "the statistics were never read", 60)
    assert list(earth.mango.requests)[len(sent)] == "POST stats/calls/request", "it met the lock"
    after = held(earth)
    assert (after["ask_failures"], after["ask_problem"]) == (0, None)
    earth.settle(90)
    assert in_portal(earth, retold)["calls"]


def test_two_schedulers_send_a_pbx_off_once(earth: World) -> None:
    connect(earth, MISSED)
    with earth.app.app_context():
        db.session.query(Pbx).update({"ask_at": utcnow() - timedelta(seconds=1)})
        db.session.commit()
        due = schedule._find_due(utcnow(), timedelta(seconds=1))
        db.session.rollback()
        [turn] = due
        assert [schedule._claim_turn(turn, utcnow(), asks=True) for _ in range(2)] == [True, False]


def test_a_quiet_pbx_costs_one_request_an_hour(earth: World) -> None:
    connect(earth, MISSED)
    with earth.app.app_context():
        quiet = utcnow() - timedelta(hours=2)
        values = {"last_notification_at": quiet, "created_at": quiet, "lost_at": None, "ask_failures": 0}
        db.session.query(Pbx).update({**values, "asked_at": quiet, "ask_at": utcnow() - timedelta(seconds=1)})
        db.session.query(Call).filter(Call.state == "open").update({"state": "finished"})
        db.session.commit()
        assert schedule.queue_due_pbxs() == 1
        assert schedule.queue_due_pbxs() == 0
        row = db.session.query(Pbx).one()
        assert row.ask_at is not None
        assert utcnow() < row.ask_at <= utcnow() + timedelta(hours=1)
        assert schedule.next_hour(row.id, utcnow()) == row.ask_at


def test_hours_are_spread(earth: World) -> None:
    now = utcnow()
    turns = [schedule.next_hour(pbx, now) for pbx in range(600)]
    minutes = {int((turn - now).total_seconds() // 60) for turn in turns}
    assert all(now < turn <= now + timedelta(hours=1) for turn in turns)
    assert len(minutes) >= 55
