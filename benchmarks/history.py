"""What a long history costs: notifications acknowledged and the journal's first page, with a full year against empty tables.

python -m benchmarks history [--quick]
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from time import perf_counter

from flask import Flask
from sqlalchemy import func, select

from benchmarks.filled import filled, portal, server
from benchmarks.measure import Figure, Measure, best_of
from bx24app import finding, gathering, inbox
from bx24app.mango import vpbx
from bx24app.models import Notification, Pbx, Portal, db, utcnow

CALLS, EACH = 1_000_000, 10
"""A million calls, ten million notifications."""
REACH = 1.2
_numbers = iter(range(10**9))


def _said() -> dict[str, str]:
    """The notification of a new call, as Mango signs it."""
    number = next(_numbers)
    at = int(utcnow().timestamp())
    body = {
        "entry_id": f"bench{number}", "call_id": f"leg{number}", "timestamp": at, "seq": 1, "call_state": "Appeared", "location": "abonent",
        "from": {"number": f"7916{number:07d}"}, "to": {"extension": "1001", "number": "sip:u@bench.test", "line_number": "74950000001"},
    }  # fmt: skip
    raw = json.dumps(body)
    return {"vpbx_api_key": "k" * 32, "sign": vpbx.sign("k" * 32, "s" * 32, raw), "json": raw}


def _acknowledge(hook: str, count: int) -> float:
    """Milliseconds from the form to the 200, one after the other; the median of `count`."""
    forms = [_said() for _ in range(count)]
    turn = iter(forms)

    def one() -> None:
        assert inbox.receive(hook, "events/call", "application/x-www-form-urlencoded", next(turn), b"", {}) == 200

    return best_of(count, one) * 1000


def _gathered(portal_id: int) -> float:
    """Milliseconds to find the calls of what just came, and all that was said of them."""
    row = db.session.get_one(Portal, portal_id)
    began = perf_counter()
    news = gathering.news(db.session(), row)
    calls = gathering.calls_of(db.session(), row, news)
    db.session.flush()
    gathering.notifications_of(db.session(), row, list(calls.values()))
    taken = (perf_counter() - began) * 1000
    db.session.rollback()
    return taken


def _page(portal_id: int) -> None:
    found = finding.find(db.session(), portal_id, finding.Filter(), "Europe/Moscow")
    assert found.calls
    db.session.rollback()


def measure(app: Flask, portal_id: int, hook: str, quick: bool) -> tuple[float, float, float]:
    """(a notification acknowledged, calls gathered, first page of the journal), each in milliseconds. The app is thrown away afterwards."""
    with app.app_context():
        _acknowledge(hook, 100)  # warm: connections, prepared statements
        acknowledged = _acknowledge(hook, 100 if quick else 400)
        db.session.remove()
        _gathered(portal_id)
        gathered = best_of(5, lambda: _gathered(portal_id)) * 1000
        page = best_of(20, lambda: _page(portal_id)) * 1000 if _has_calls(portal_id) else 0.0
        db.session.remove()
    return acknowledged, gathered, page


def _has_calls(portal_id: int) -> bool:
    return bool(finding.find(db.session(), portal_id, finding.Filter(), "Europe/Moscow").calls)


def hook_of(app: Flask) -> str:
    """The hook address's key, told anew since only its digest is kept."""
    with app.app_context():
        return str(db.session.scalars(select(Pbx)).one().hook_key)


def _run(quick: bool) -> list[Figure]:
    calls, each = (20_000, 3) if quick else (CALLS, EACH)
    with tempfile.TemporaryDirectory() as place, server(Path(place)) as app:
        with app.app_context():
            empty_portal = portal(quick)
        empty = measure(app, empty_portal, hook_of(app), quick)
    with filled(200, 3, quick) as (app, small_portal):
        small = measure(app, small_portal, hook_of(app), quick)
    with filled(calls, each, quick) as (app, portal_id):
        full = measure(app, portal_id, hook_of(app), quick)
        with app.app_context():
            rows = db.session.scalar(select(func.count()).select_from(Notification))
            db.session.remove()
    note = f"{rows} notifications, {calls} calls"
    pairs = (
        ("a notification acknowledged", full[0], empty[0]),
        ("calls gathered", full[1], empty[1]),
        ("journal, first page", full[2], small[2]),  # of an empty one there is no page: two hundred calls fill it
    )
    return [
        Figure(f"history: {name}", ours, "ms", f"within {REACH}", ours <= REACH * base, base, note)
        for name, ours, base in pairs
    ]


MEASURES = (Measure("history", "a year behind it against empty tables", _run),)
