"""Statistics are counted as one would by hand, on both databases, and follow calls that change later."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from flask import Flask
from sqlalchemy import update

from bx24app import create_app, settings
from bx24app.calls.statistics import aggregation
from bx24app.calls.statistics import report as figures
from bx24app.models import Call, Figure, FigureMark, Portal, Recording, db, utcnow
from bx24app.portals import lifecycle
from scripts import needs
from tests.conftest import DOCUMENT, config_for, make_portal
from tests.support.servers import POSTGRES_MISSING, postgres

POSTGRES = pytest.param(
    "postgresql",
    marks=[pytest.mark.postgres, pytest.mark.skipif(needs.postgres() is None, reason=POSTGRES_MISSING)],
)
MOSCOW = ZoneInfo("Europe/Moscow")
MONDAY = date(2026, 3, 9)
TODAY = date(2026, 4, 20)


@pytest.fixture(params=["sqlite", POSTGRES])
def app(request: pytest.FixtureRequest, tmp_path: Path, valkey_url: str) -> Iterator[Flask]:
    """An app with empty tables on either database."""
    (tmp_path / "var").mkdir()
    if request.param == "sqlite":
        yield from _app(tmp_path, valkey_url, "")
    else:
        with postgres(tmp_path) as url:
            yield from _app(tmp_path, valkey_url, url)


def _app(tmp_path: Path, valkey_url: str, url: str) -> Iterator[Flask]:
    app = create_app(config_for(tmp_path, valkey_url, database_url=url))
    with app.app_context():
        app.extensions["bx24app"].redis.flushall()
        db.create_all()
        yield app
        db.session.remove()
        db.engine.dispose()


class Book:
    """Calls written as the fold would leave them. Times are the portal's own."""

    def __init__(self, portal_id: int) -> None:
        self.portal_id, self.count = portal_id, 0

    def call(self, day: date, time: str, way: str = "in", outcome: str | None = "answered", **more: Any) -> int:
        self.count += 1
        hour, minute, *rest = (int(part) for part in time.split(":"))
        at = datetime(day.year, day.month, day.day, hour, minute, *rest, tzinfo=MOSCOW).astimezone(UTC)
        wait = more.pop("wait", 10)
        values = {
            "pbx_id": 1,
            "pbx_key": "moscow",
            "entry_id": f"e{self.portal_id}-{self.count}",
            "direction": way,
            "outcome": outcome,
            "line_number": "74950000001",
            "client_number": "+79160000001",
            "started_at": at,
            "state": "finished",
            "answered_at": at + timedelta(seconds=wait) if outcome == "answered" else None,
            "talk_seconds": 60 if outcome == "answered" else 0,
            "user_id": 11 if outcome == "answered" else None,
        } | more
        row = Call(portal_id=self.portal_id, **values)
        db.session.add(row)
        db.session.commit()
        return row.id

    def tape(self, call_id: int, lag: float) -> None:
        db.session.add(
            Recording(
                portal_id=self.portal_id, call_id=call_id, recording_id=f"r{call_id}", state="attached",
                lag_seconds=lag, attached_at=utcnow(),
            )
        )  # fmt: skip
        db.session.commit()


@pytest.fixture
def book(app: Flask) -> Book:
    return Book(make_portal(document=DOCUMENT.model_copy(deep=True)).id)


def found(book: Book, since: date = MONDAY, until: date = TODAY) -> figures.CallStatistics:
    aggregation.refresh_counts()
    return figures.load_period(book.portal_id, since, until, TODAY)


def test_counted_as_by_hand(book: Book) -> None:
    book.call(MONDAY, "09:59:59", wait=5)
    book.call(MONDAY, "10:00", wait=15)
    book.call(MONDAY, "10:30", outcome="missed", responsible_id=12)
    book.call(MONDAY, "23:59", way="out", outcome="failed", line_number=None)
    book.call(MONDAY + timedelta(days=1), "00:00", way="out")
    book.call(MONDAY, "12:00", way="internal")
    book.call(MONDAY, "12:00", visible=False)
    book.call(MONDAY - timedelta(days=1), "23:59:59")
    said = found(book)
    total = said.total
    assert (total.calls, total.incoming, total.answered, total.missed, total.talk) == (5, 3, 3, 1, 180)
    assert (total.mean_wait, total.mean_talk) == (10, 60)
    assert {key: tally.calls for key, tally in said.hours.items()} == {(0, 9): 1, (0, 10): 2, (0, 23): 1, (1, 0): 1}
    assert {day: tally.calls for day, tally in said.days.items()} == {MONDAY: 4, MONDAY + timedelta(days=1): 1}
    assert {key: (tally.calls, tally.missed) for key, tally in said.people.items()} == {11: (3, 0), 12: (1, 1)}
    assert {key: tally.calls for key, tally in said.lines.items()} == {"moscow:74950000001": 4, "moscow:": 1}
    assert said.wait_times.count == 2


@pytest.mark.parametrize(
    ("minutes", "way", "number", "back"),
    [
        (7, "out", "+79160000001", True),
        (7, "callback", "+79160000001", True),
        (24 * 60, "out", "+79160000001", True),
        (24 * 60 + 1, "out", "+79160000001", False),
        (7, "out", "+79160000002", False),
        (7, "in", "+79160000001", False),
        (-7, "out", "+79160000001", False),
    ],
)
def test_calling_back(book: Book, minutes: int, way: str, number: str, back: bool) -> None:
    book.call(MONDAY, "12:00", outcome="missed")
    after = datetime(2026, 3, 9, 12, tzinfo=MOSCOW) + timedelta(minutes=minutes)
    book.call(
        after.date(), f"{after:%H:%M}", way=way, outcome="failed" if way != "in" else "answered", client_number=number
    )
    said = found(book, until=MONDAY)
    assert (said.missed_clients, said.callback_times.count) == (1, int(back))
    if minutes == 7 and back:
        assert said.callback_times.percentile(0.5) == pytest.approx(420, abs=60)


def test_a_call_back_of_the_next_day_mends_the_day_of_the_miss(book: Book) -> None:
    book.call(MONDAY, "23:50", outcome="missed")
    assert found(book).callback_times.count == 0
    book.call(MONDAY + timedelta(days=1), "08:00", way="out")
    assert found(book).callback_times.count == 1


def test_what_changes_later_is_counted_anew_in_its_month_too(book: Book) -> None:
    late = book.call(MONDAY, "10:00", outcome=None, state="open")
    assert found(book, date(2026, 3, 1)).total.answered == 0
    _age_the_mark()
    db.session.execute(update(Call).where(Call.id == late).values(outcome="answered", user_id=13, updated_at=utcnow()))
    db.session.commit()
    book.tape(late, 42.0)
    said = found(book, date(2026, 3, 1))
    assert said.total.answered == 1
    assert said.people[13].calls == 1
    assert said.recording_lags.count == 1
    assert 30 <= (said.recording_lags.percentile(0.5) or 0) <= 45


def test_what_did_not_change_is_not_counted_again(book: Book) -> None:
    book.call(MONDAY, "10:00")
    found(book)
    _age_the_mark()
    db.session.execute(update(Call).values(updated_at=utcnow() - timedelta(days=1)))
    db.session.execute(update(Figure).values(calls=77))
    db.session.commit()
    assert found(book).total.calls == 77
    assert found(book, date(2026, 3, 1), date(2026, 3, 31)).lines["moscow:74950000001"].calls == 77, (
        "of the month's row"
    )


def test_portals_are_kept_apart_and_purged(book: Book) -> None:
    other = Book(make_portal(member_id="b" * 32).id)
    book.call(MONDAY, "10:00")
    for _ in range(3):
        other.call(MONDAY, "10:00")
    assert (found(book).total.calls, found(other).total.calls) == (1, 3)
    lifecycle.remove(db.session.get_one(Portal, other.portal_id), clean=True)
    db.session.commit()
    assert lifecycle.purge(other.portal_id)
    assert db.session.query(Figure).filter_by(portal_id=other.portal_id).count() == 0
    assert (found(book).total.calls, found(other).total.calls) == (1, 0)


def test_another_zone_cuts_the_days_anew(book: Book) -> None:
    book.call(MONDAY, "01:00")
    assert set(found(book, MONDAY - timedelta(days=2)).days) == {MONDAY}
    portal = db.session.get_one(Portal, book.portal_id)
    now = settings.current(portal)
    settings.save_version(
        portal, now.model_copy(update={"portal": now.portal.model_copy(update={"timezone": "Europe/London"})})
    )
    db.session.commit()
    book.call(MONDAY, "12:00")
    assert set(found(book, MONDAY - timedelta(days=2)).days) == {MONDAY - timedelta(days=1), MONDAY}


def test_when_it_was_counted(book: Book) -> None:
    assert figures.counted_at(book.portal_id) is None
    book.call(MONDAY, "10:00")
    before = utcnow()
    found(book)
    assert (figures.counted_at(book.portal_id) or before) >= before


def _age_the_mark() -> None:
    """As if the last counting were an hour old, and what it counted older."""
    db.session.execute(update(Call).values(updated_at=utcnow() - timedelta(hours=2)))
    db.session.execute(update(FigureMark).values(at=utcnow() - timedelta(hours=1)))
    db.session.commit()


def test_each_pbx_by_itself_and_all_together(book: Book) -> None:
    other = {"pbx_key": "tver", "line_number": "74820000001"}
    book.call(MONDAY, "10:00", wait=5)
    book.call(MONDAY, "10:30", wait=15, **other, user_id=12)
    book.call(MONDAY, "11:00", outcome="missed", **other, client_number="+79160000009", responsible_id=12)
    book.call(MONDAY, "11:20", way="out", **other, client_number="+79160000009")
    book.tape(book.call(MONDAY, "12:00", **other), 7)
    whole = found(book)
    tver, moscow, none = (
        figures.load_period(book.portal_id, MONDAY, TODAY, TODAY, key) for key in ("tver", "moscow", "nobody")
    )
    assert (whole.total.calls, tver.total.calls, moscow.total.calls, none.total.calls) == (5, 4, 1, 0)
    assert {key: tally.calls for key, tally in tver.hours.items()} == {(0, 10): 1, (0, 11): 2, (0, 12): 1}
    assert {day: tally.calls for day, tally in moscow.days.items()} == {MONDAY: 1}
    assert set(tver.lines) == {"tver:74820000001"}
    assert {key: (tally.calls, tally.missed) for key, tally in tver.people.items()} == {12: (2, 1), 11: (2, 0)}, (
        "by month too"
    )
    assert [one.wait_times.count for one in (whole, tver, moscow)] == [3, 2, 1]
    assert [
        (one.missed_clients, one.callback_times.count, one.recording_lags.count) for one in (whole, tver, moscow)
    ] == [(1, 1, 1), (1, 1, 1), (0, 0, 0)]
