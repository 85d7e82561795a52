"""What a long history costs: acknowledging notifications, whole calls, and the journal's first page, before and after a
year is added.

python -m benchmarks history [--quick]

One installation over PostgreSQL with one portal. The tables are filled between the two looks, while the program runs.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import astuple, dataclass
from pathlib import Path

from sqlalchemy import delete, func, select, text

from benchmarks.backlog import program, resting
from benchmarks.filled import fill
from benchmarks.left import pbx_of
from benchmarks.measure import Figure, Measure, best_of
from benchmarks.rig import Rig, rig
from bx24app.calls import notifications
from bx24app.calls.fold import grouping
from bx24app.calls.inbox import receiver
from bx24app.calls.journal import search
from bx24app.mango import vpbx
from bx24app.models import FigureMark, Notification, Portal, db, utcnow
from tests.conftest import KEY, SALT
from tests.support.servers import postgres, valkey

CALLS, EACH = 1_000_000, 10
"""A million calls, ten million notifications."""
BEFORE = 60
"""Calls that fill the journal's first page before the year is added."""
REACH = 1.2
FORM = "application/x-www-form-urlencoded"
_numbers = iter(range(10**9))


@dataclass(frozen=True, slots=True)
class Seen:
    """Milliseconds for: acknowledging a notification, gathering the calls of a hundred, the journal's first page, a
    whole call.
    """

    acknowledged: float
    gathered: float
    page: float
    call: float


def _make_form() -> dict[str, str]:
    """The notification of a new call, signed as Mango does it."""
    number = next(_numbers)
    at = int(utcnow().timestamp())
    body = {
        "entry_id": f"bench{number}",
        "call_id": f"leg{number}",
        "timestamp": at,
        "seq": 1,
        "call_state": "Appeared",
        "location": "abonent",
        "from": {"number": f"7916{number:07d}"},
        "to": {"extension": "101", "number": "sip:u@bench.test", "line_number": "74950000001"},
    }
    raw = json.dumps(body)
    return {"vpbx_api_key": KEY, "sign": vpbx.sign_text(KEY, SALT, raw), "json": raw}


def _acknowledge(hook: str, count: int) -> float:
    """Milliseconds from the form to the 200, one after the other; the median of `count`."""
    turn = iter([_make_form() for _ in range(count)])

    def one() -> None:
        if (status := receiver.receive(hook, "events/call", FORM, next(turn), b"", {})) != 200:
            raise RuntimeError(f"answered with {status}")

    return best_of(count, one) * 1000


def _gather(portal_id: int) -> None:
    """Finds the calls of the new notifications, and loads all notifications of these calls."""
    row = db.session.get_one(Portal, portal_id)
    news = grouping.load_new_notifications(db.session(), row)
    calls = grouping.find_or_create_calls(db.session(), row, news)
    db.session.flush()
    notifications.load_by_call(db.session(), calls.values())
    db.session.rollback()


def _page(portal_id: int) -> None:
    if not search.find_calls(db.session(), portal_id, search.CallFilter(), "Europe/Moscow").calls:
        raise RuntimeError("the journal is empty")
    db.session.rollback()


def _look(made: Rig, calls: int) -> Seen:
    rate, _ = program(made, 1, calls)
    with resting(made), made.app.app_context():
        pbx = pbx_of(made, 0)
        portal_id, hook = pbx.portal_id, pbx.hook_key
        db.session.rollback()
        _acknowledge(hook, 100)  # warm: connections, prepared statements
        acknowledged = _acknowledge(hook, 100 if calls < BEFORE else 400)
        _gather(portal_id)
        gathered = best_of(5, lambda: _gather(portal_id)) * 1000
        page = best_of(20, lambda: _page(portal_id)) * 1000
        db.session.execute(delete(Notification).where(Notification.state == "new"))
        db.session.commit()
        db.session.remove()
    return Seen(acknowledged, gathered, page, 1000 / rate)


def _fill(made: Rig, calls: int, each: int) -> int:
    """Fills the tables. Returns the number of notifications in them."""
    with resting(made), made.app.app_context():
        portal_id = pbx_of(made, 0).portal_id
        # Without counting the year's statistics, which `benchmarks.pages` covers.
        db.session.merge(FigureMark(portal_id=0, at=utcnow(), zone=""))
        db.session.commit()
        fill(portal_id, calls, each, waiting=0)
        count = db.session.scalar(select(func.count()).select_from(Notification)) or 0
        db.session.execute(text("CHECKPOINT"))
        db.session.remove()
    return count


def _run(quick: bool) -> list[Figure]:
    calls, each = (4_000, 3) if quick else (CALLS, EACH)
    count = BEFORE // 6 if quick else BEFORE * 2
    with (
        tempfile.TemporaryDirectory() as folder,
        postgres(Path(folder)) as database,
        valkey(Path(folder)) as link,
        rig(license="ru_selfhosted", DATABASE_URL=database, REDIS_URL=link, RECORDING_RETRY="0") as made,
    ):
        program(made, 1, BEFORE // 6 if quick else BEFORE)  # warm, and the journal's first page
        before = _look(made, count)
        rows = _fill(made, calls, each)
        after = _look(made, count)
    names = ("a notification acknowledged", "calls gathered", "journal, first page", "a whole call")
    return [
        Figure(
            f"history: {name}",
            ours,
            "ms",
            f"within {REACH}",
            ours <= REACH * base,
            base,
            f"{rows} notifications, {calls} calls",
        )
        for name, ours, base in zip(names, astuple(after), astuple(before), strict=True)
    ]


MEASURES = (Measure("history", "a year behind it against the same tables before it", _run, 9),)
