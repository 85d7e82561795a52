"""The page of back-fills: a period is begun, shown, stopped; wrong input says what is wrong; another portal's is not
there.
"""

from __future__ import annotations

from datetime import timedelta

import pytest

from bx24app.models import Backfill, Pbx, Portal, db, utcnow
from tests.support.frame_pages import Frame, frame, mango

__all__ = ["frame", "mango"]
URL = "/frame/backfill"


def day(ago: int) -> str:
    return (utcnow() - timedelta(days=ago)).date().isoformat()


def rows(frame: Frame) -> list[Backfill]:
    with frame.site.app_context():
        return list(db.session.query(Backfill))


def test_a_period_is_begun_shown_and_stopped(frame: Frame) -> None:
    said = frame.post(URL, {"from": day(3), "to": day(2), "records": "1"})
    [row] = rows(frame)
    assert (row.records, row.state, row.end - row.start) == (True, "running", timedelta(days=2))
    assert f'data-testid="backfill-{row.id}"' in said
    assert "every 2s" in frame.get(f"{URL}/progress")
    frame.post(f"{URL}/{row.id}/stop", {})
    assert rows(frame)[0].state == "stopped"
    assert "every 2s" not in frame.get(f"{URL}/progress")
    frame.post(f"{URL}/{row.id}/stop", {}, status=404)


@pytest.mark.parametrize(
    ("form", "field"),
    [
        ({"from": "", "to": day(1)}, "from"),
        ({"from": day(1), "to": "yesterday"}, "to"),
        ({"from": day(1), "to": day(3)}, "to"),
        ({"from": day(-3), "to": day(-5)}, "to"),
        ({"from": day(3), "to": day(1), "pbx": "nowhere"}, "pbx"),
    ],
)
def test_wrong_input_is_told_at_its_field(frame: Frame, form: dict[str, str], field: str) -> None:
    said = frame.post(URL, form)
    assert f'data-testid="wrong-{field}"' in said
    assert rows(frame) == []


def test_another_portals_is_not_there(frame: Frame) -> None:
    with frame.site.app_context():
        other = Portal(
            member_id="other", domain="o", client_endpoint="https://o/rest/", server_endpoint="", client_id="c"
        )
        other.pbxs.append(Pbx(key="moscow", hook_key="other", position=0))
        db.session.add(other)
        db.session.flush()
        now = utcnow()
        row = Backfill(portal_id=other.id, pbx_id=other.pbxs[0].id, start=now - timedelta(days=1), end=now)
        row.done_until, row.seen, row.made, row.skipped, row.failures = row.start, 0, 0, 0, 0
        row.state, row.records = "running", False
        db.session.add(row)
        db.session.commit()
        number = row.id
    frame.post(f"{URL}/{number}/stop", {}, status=404)
    assert f'data-testid="backfill-{number}"' not in frame.get(URL)
