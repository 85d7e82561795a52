"""The statistics page: its figures, its periods, who may see it."""

from __future__ import annotations

import re
from datetime import date, timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient

from bx24app.calls.statistics import aggregation
from bx24app.domain.settings import LineSettings, PbxSettings, Settings
from bx24app.domain.statistics import CallCounts
from bx24app.models import Call, Recording, db, utcnow
from bx24app.web import statistics
from tests.support.frame_pages import Frame, frame, has
from tests.web.conftest import claim

__all__ = ["frame"]
TODAY = date(2026, 11, 23)


def call(frame: Frame, number: int, days: float = 1, outcome: str = "answered", **more: object) -> None:
    at = utcnow() - timedelta(days=days)
    values = {
        "portal_id": frame.portal, "pbx_id": 1, "pbx_key": "moscow", "entry_id": f"e{number}", "direction": "in",
        "outcome": outcome, "line_number": "74951234567", "client_number": f"+7916000{number:04}", "started_at": at,
        "answered_at": at + timedelta(seconds=12) if outcome == "answered" else None, "state": "finished",
        "talk_seconds": 90 if outcome == "answered" else 0, "user_id": 11,
    } | more  # fmt: skip
    row = Call(**values)
    db.session.add(row)
    db.session.flush()
    if outcome == "answered":
        db.session.add(
            Recording(
                portal_id=frame.portal,
                call_id=row.id,
                recording_id="r",
                state="attached",
                lag_seconds=20,
                attached_at=utcnow(),
            )
        )


@pytest.fixture
def counted(frame: Frame) -> Frame:
    """Four calls of yesterday, one of them missed, and one of two months ago."""
    frame.save(
        Settings(
            pbxs=(PbxSettings(key="moscow", name="M", lines=(LineSettings(number="74951234567", name="Main line"),)),)
        )
    )
    with frame.site.app_context():
        for number in range(3):
            call(frame, number)
        call(frame, 3, outcome="missed", user_id=None, responsible_id=12)
        call(frame, 4, days=60)
        db.session.commit()
        aggregation.refresh_counts()
    return frame


def tile(text: str, name: str) -> str:
    met = re.search(rf'data-testid="tile-{name}">.*?<strong>([^<]+)</strong>', text, re.DOTALL)
    assert met, name
    return met[1]


def test_figures_and_tables(counted: Frame) -> None:
    said = counted.get("/frame/statistics")
    assert [tile(said, name) for name in ("calls", "missed", "back", "wait", "talk")] == [
        "4",
        "25 %",
        "0 %",
        "12 s",
        "90 s",
    ]
    for words in ("Main line", "Anna Smirnova", "Petrov Ivan", "up to 20 s"):
        assert words in said
    for table in ("t-calls", "t-lines", "t-persons", "t-waits", "t-after", "heat"):
        assert has(said, table)
    assert len(re.findall(r"<td class=\"shade-\d", said)) == 7 * 24
    assert len(re.findall(r'<td class="shade-[1-6]', said)) in (1, 2)


@pytest.mark.parametrize(("query", "calls"), [("?period=7", "4"), ("?period=90", "5"), ("?period=365&by=month", "5")])
def test_periods(counted: Frame, query: str, calls: str) -> None:
    assert tile(counted.get("/frame/statistics" + query), "calls") == calls


def test_own_dates(counted: Frame) -> None:
    far = (utcnow() - timedelta(days=70)).date(), (utcnow() - timedelta(days=50)).date()
    said = counted.get(f"/frame/statistics?period=own&since={far[1]}&until={far[0]}")
    assert tile(said, "calls") == "1", "given the wrong way round"
    assert has(said, "since")


def test_of_one_pbx(counted: Frame) -> None:
    assert not has(counted.get("/frame/statistics"), "pbx"), "nothing to choose from"
    with counted.site.app_context():
        call(counted, 9, pbx_key="tver", line_number="74820000001")
        db.session.commit()
        aggregation.refresh_counts()
    document = counted.settings()
    counted.save(document.model_copy(update={"pbxs": (*document.pbxs, PbxSettings(key="tver", name="Tver"))}))
    assert tile(counted.get("/frame/statistics"), "calls") == "5"
    said = counted.get("/frame/statistics?pbx=tver")
    assert tile(said, "calls") == "1"
    assert "Main line" not in said
    assert re.search(r'<option value="tver" selected>', said)
    assert tile(counted.get("/frame/statistics?pbx=nobody"), "calls") == "5"


def test_without_calls_it_says_so(frame: Frame) -> None:
    assert has(frame.get("/frame/statistics"), "no-figures")


def test_only_administrators(site: Flask, client: FlaskClient, portal: int) -> None:
    assert client.get("/frame/statistics", headers=claim(site, portal, admin=False)).status_code == 403
    assert client.get("/frame/statistics").status_code == 401


@pytest.mark.parametrize(
    ("asked", "days", "grain"),
    [
        ({}, 30, "day"),
        ({"period": "7"}, 7, "day"),
        ({"period": "90"}, 90, "week"),
        ({"period": "365"}, 365, "month"),
        ({"period": "365", "by": "week"}, 365, "week"),
        ({"period": "1000000"}, 30, "day"),
        ({"period": "own", "since": "nonsense"}, 30, "day"),
        ({"period": "own", "since": "0001-01-01", "until": "2026-01-01"}, statistics.MAX_PERIOD_DAYS + 1, "month"),
        ({"period": "7", "by": "century"}, 7, "day"),
    ],
)
def test_which_period_was_asked_for(asked: dict[str, str], days: int, grain: str) -> None:
    period = statistics.read_period(lambda name, default="": asked.get(name, default), TODAY)
    assert ((period.until - period.since).days + 1, period.granularity) == (days, grain)


def test_bars_hold_every_call() -> None:
    found = statistics.CallStatistics()
    for band in range(len(statistics.BUCKET_BOUNDS) + 1):
        found.add_count("wait", str(band), TODAY, CallCounts(calls=1))
    assert sum(count for _, count in _bars(found)) == len(statistics.BUCKET_BOUNDS) + 1
    assert set(statistics.WAIT_BAR_ENDS) <= set(statistics.BUCKET_BOUNDS)


def _bars(found: statistics.CallStatistics) -> list[tuple[str, int]]:
    return statistics._wait_bars(found.wait_times)
