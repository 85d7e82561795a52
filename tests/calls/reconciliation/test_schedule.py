"""Whose statistics are asked for, and when: busy ones often, quiet ones hourly while somebody is at work, all of them
through one limiter.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from threading import Thread
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import update

from bx24app.bitrix24.budget import RequestBudget
from bx24app.calls.reconciliation import schedule, statistics_requests
from bx24app.domain.settings import Settings
from bx24app.models import Call, Pbx, db, utcnow
from tests.cli.test_journal import call
from tests.conftest import DOCUMENT, make_portal

HOUR = timedelta(hours=1)


@pytest.fixture
def sent(app: Flask, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, float]]:
    """What was sent off: (PBX, after so many seconds)."""
    found: list[tuple[int, float]] = []
    monkeypatch.setattr(
        statistics_requests, "queue_request", lambda job, order, seconds: found.append((order.pbx_id, seconds))
    )
    return found


def at_work(open_now: bool) -> Settings:
    """The line is open round the clock, or at hours that are over, or not begun."""
    at = (datetime.now(UTC) + timedelta(hours=12)).strftime("%H:%M")
    till = (datetime.now(UTC) + timedelta(hours=12, minutes=30)).strftime("%H:%M")
    days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
    hours = {"days": days, "from": "00:00" if open_now else min(at, till), "to": "23:59" if open_now else max(at, till)}
    document: dict[str, Any] = DOCUMENT.model_dump(mode="json", by_alias=True)
    document["portal"]["timezone"] = "UTC"
    document["pbxs"][0]["lines"][0]["working_hours"] = [hours]
    return Settings.model_validate(document)


def quiet(**more: Any) -> None:
    """No word of the PBX for two hours, and its own minute of the hour has come."""
    long_ago = utcnow() - 2 * HOUR
    values = {
        "last_notification_at": long_ago,
        "created_at": long_ago,
        "asked_at": long_ago,
        "ask_at": utcnow() - timedelta(seconds=1),
    }
    db.session.execute(update(Pbx).values(**values, **more))
    db.session.commit()


@pytest.mark.parametrize("open_now", [True, False])
def test_a_quiet_pbx_is_asked_in_working_hours_only(sent: list[tuple[int, float]], open_now: bool) -> None:
    make_portal(state="active", document=at_work(open_now))
    quiet()
    before = db.session.query(Pbx.asked_at).scalar()
    db.session.rollback()
    assert schedule.queue_due_pbxs() == len(sent) == int(open_now)
    row = db.session.query(Pbx).one()
    assert utcnow() < row.ask_at <= utcnow() + HOUR
    assert (row.asked_at == before) is not open_now, "what was not asked stays in the next look's window"


@pytest.mark.parametrize("why", ["heard of lately", "a call is open", "something was lost lately"])
def test_a_busy_one_is_asked_each_period_even_at_night(sent: list[tuple[int, float]], why: str) -> None:
    portal = make_portal(state="active", document=at_work(False))
    quiet(**({"lost_at": utcnow()} if why == "something was lost lately" else {}))
    if why == "heard of lately":
        db.session.execute(update(Pbx).values(last_notification_at=utcnow()))
    if why == "a call is open":
        call(portal, "E", utcnow(), state="open", heard_at=utcnow())
    db.session.execute(update(Pbx).values(ask_at=utcnow() + HOUR))
    db.session.commit()
    assert schedule.queue_due_pbxs() == 1
    assert schedule.queue_due_pbxs() == 0, "the period has just begun"
    db.session.execute(update(Pbx).values(asked_at=utcnow() - timedelta(seconds=601)))
    db.session.commit()
    assert schedule.queue_due_pbxs() == 1


def test_never_where_it_is_switched_off(app: Flask, sent: list[tuple[int, float]]) -> None:
    make_portal(state="active", document=at_work(True))
    quiet()
    runtime = app.extensions["bx24app"]
    runtime.config = runtime.config.model_copy(update={"reconcile_seconds": 0})
    assert schedule.queue_due_pbxs() == 0


@pytest.mark.parametrize("state", ["paused", "needs_admin", "removed"])
def test_nobody_asks_for_a_portal_that_takes_nothing(sent: list[tuple[int, float]], state: str) -> None:
    make_portal(state=state, document=at_work(True))
    quiet()
    assert schedule.queue_due_pbxs() == 0


def test_many_at_once_leave_one_after_the_other(sent: list[tuple[int, float]]) -> None:
    for number in range(12):
        make_portal(f"{number:032}", "active", at_work(True))
    quiet()
    assert schedule.queue_due_pbxs() == 12
    assert sorted(seconds for _, seconds in sent) == [
        pytest.approx(number / statistics_requests.REQUESTS_PER_SECOND) for number in range(12)
    ]
    assert db.session.query(Call).count() == 0


def test_one_limiter_for_all_pbxs_and_processes(app: Flask) -> None:
    """Twenty at once, each with a limiter of its own as every process has: no more get through than ten a second and
    the first.
    """
    passed: list[float] = []

    def ask(limiter: RequestBudget) -> None:
        while time.monotonic() < end:
            if limiter.acquire() == 0:
                passed.append(time.monotonic())

    limiters = [statistics_requests.rate_limiter() for _ in range(20)]
    began = time.monotonic()
    end = began + 1.0
    threads = [Thread(target=ask, args=(limiter,)) for limiter in limiters]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    spent = time.monotonic() - began
    assert 2 <= len(passed) <= 2 + statistics_requests.REQUESTS_PER_SECOND * spent, f"{len(passed)} in {spent:.2f} s"
