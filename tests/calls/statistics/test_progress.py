"""No run needs its end for its progress: each continues where the last one was cut, portal by portal and day by day."""

from __future__ import annotations

from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest
from flask import Flask
from sqlalchemy import func, select, update

from bx24app.calls.statistics import aggregation, report, stored_days
from bx24app.infra.runtime import runtime
from bx24app.models import Call, Figure, FigureMark, db, portal_loop, utcnow
from tests.calls.statistics.test_statistics import MONDAY, TODAY, Book
from tests.conftest import make_portal

DAYS = 6


class CutShort(BaseException):
    """What ends a worker: no handler of the program sees it."""


@pytest.fixture
def portals(app: Flask) -> list[int]:
    """Three portals with calls on six days around the end of a month."""
    ids = [make_portal(member_id=letter * 32).id for letter in "abc"]
    for portal_id in ids:
        book = Book(portal_id)
        for number in range(DAYS):
            book.call(MONDAY + timedelta(days=20 + number), "10:00")
    return ids


def counted(portal_id: int) -> int:
    """How many days of the portal are stored."""
    days = select(func.count(Figure.day.distinct())).where(Figure.portal_id == portal_id, Figure.grain == "day")
    return db.session.scalar(days) or 0


def cut_after(monkeypatch: pytest.MonkeyPatch, days: int) -> None:
    """End the run before it has counted another day than this many."""
    store, left = stored_days.store_day, iter(range(days))

    def store_or_die(*args: object) -> None:
        if next(left, None) is None:
            raise CutShort
        store(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(stored_days, "store_day", store_or_die)


def run_until_cut(monkeypatch: pytest.MonkeyPatch, days: int) -> None:
    with monkeypatch.context() as patched:
        cut_after(patched, days)
        try:
            aggregation.refresh_counts()
        except CutShort:
            db.session.rollback()
    runtime().redis.delete("figures")  # the lease of a worker that died is freed


def test_runs_that_are_all_cut_short_come_to_an_end(portals: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    for run in range(1, DAYS * len(portals) // 2 + 1):
        run_until_cut(monkeypatch, 2)
        assert sum(counted(number) for number in portals) == 2 * run, "each run counts two days more"
    run_until_cut(monkeypatch, 0)
    assert [report.counted_at(number) is not None for number in portals] == [True] * 3
    for number in portals:
        result = report.load_period(number, MONDAY, TODAY, TODAY)
        assert result.total.calls == DAYS
        months = select(func.sum(Figure.calls)).where(Figure.portal_id == number, Figure.grain == "month")
        assert db.session.scalar(months.where(Figure.kind == "line")) == DAYS, "each month with its last day"


def test_a_portal_that_raises_does_not_stop_those_behind_it(
    portals: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = stored_days.store_day

    def store_or_raise(portal_id: int, *args: object) -> None:
        if portal_id == portals[0]:
            raise OverflowError
        store(portal_id, *args)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(stored_days, "store_day", store_or_raise)
        aggregation.refresh_counts()
        aggregation.refresh_counts()
    assert [counted(number) for number in portals] == [0, DAYS, DAYS]
    assert portal_loop.failing_ids("figures") == {portals[0]}
    aggregation.refresh_counts()
    assert [counted(number) for number in portals] == [DAYS] * 3
    assert portal_loop.failing_ids("figures") == set()


def test_a_large_portal_yields_to_the_others_and_goes_on(portals: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    stored: list[int] = []
    store = stored_days.store_day

    def note(portal_id: int, *args: object) -> None:
        stored.append(portal_id)
        store(portal_id, *args)  # type: ignore[arg-type]

    def begin_turn(portal_id: int) -> bool:
        stored.clear()
        return True

    monkeypatch.setattr(stored_days, "store_day", note)
    monkeypatch.setattr(aggregation, "_claim_portal", begin_turn)
    monkeypatch.setattr(aggregation, "seconds_left", lambda most: 0.0 if stored[-2:] == [portals[0]] * 2 else most)
    for run in range(1, DAYS // 2):
        aggregation.refresh_counts()
        assert counted(portals[0]) == 2 * run, "its time is over after two days"
        assert [counted(number) for number in portals[1:]] == [DAYS, DAYS]
        assert report.counted_at(portals[0]) is None
    aggregation.refresh_counts()
    assert report.counted_at(portals[0]) is not None


def test_what_changes_behind_the_counted_day_is_counted_by_the_next_pass(
    portals: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    run_until_cut(monkeypatch, 3)
    Book(portals[0]).call(MONDAY + timedelta(days=20), "11:00", entry_id="late")
    for _ in range(3):
        aggregation.refresh_counts()
    assert report.load_period(portals[0], MONDAY, TODAY, TODAY).total.calls == DAYS + 1


def test_marks_of_an_older_version_are_understood(portals: list[int]) -> None:
    """It counted everything, and set `at` and `zone` alone."""
    aggregation.refresh_counts()
    an_hour_ago = utcnow() - timedelta(hours=1)
    none = {"changed_at": None, "tried_at": None, "began_at": None, "day": None}
    db.session.execute(update(FigureMark).values(at=an_hour_ago, **none))
    db.session.execute(update(Call).values(updated_at=utcnow() - timedelta(hours=2)))
    db.session.execute(update(Figure).values(calls=77))
    db.session.commit()
    assert abs((report.counted_at(portals[1]) or utcnow()) - an_hour_ago) < timedelta(seconds=1)
    Book(portals[0]).call(MONDAY + timedelta(days=22), "11:00", entry_id="new")
    aggregation.refresh_counts()
    kept = select(func.count()).where(Figure.portal_id == portals[0], Figure.calls == 77, Figure.kind == "line")
    assert (db.session.scalar(kept.where(Figure.grain == "day")), counted(portals[0])) == (DAYS - 2, DAYS), (
        "the changed day and the one before it, and no other"
    )
    assert ZoneInfo("Europe/Moscow").key == db.session.get_one(FigureMark, portals[0]).zone
