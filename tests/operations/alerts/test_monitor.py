"""Troubles are told to the administrators in Bitrix24: each once, and once more when it is over. Over real HTTP."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import event, update

from bx24app import settings
from bx24app.bitrix24 import errors
from bx24app.domain.settings import EmployeeSettings, HoursBlock, LineSettings, PbxSettings, Settings
from bx24app.models import Call, Notice, Portal, Recording, db, utcnow
from bx24app.models import Pbx as PbxRow
from bx24app.operations.alerts import monitor, notices
from bx24app.portals import lifecycle
from tests.support.installations import change, installed, w
from tests.support.stack import World

__all__ = ["w"]
DOCUMENT = Settings(
    pbxs=(
        PbxSettings(
            key="moscow", name="Moscow", lines=(LineSettings(number="74951234567"),),
            employees=(EmployeeSettings(extension="101", user_id=1),),
        ),
    )
)  # fmt: skip


class Watched:
    """An installed portal with one PBX that was heard a minute ago."""

    def __init__(self, w: World) -> None:
        self.w, self.id, self.count = w, installed(w), 0
        self.save(DOCUMENT)
        self.heard(timedelta(minutes=1))
        w.sandbox.call(w.portal.notifications.clear)

    def save(self, document: Settings) -> None:
        settings.save_version(db.session.get_one(Portal, self.id), document, {"moscow": ("k", "s")})
        db.session.commit()

    def heard(self, ago: timedelta) -> None:
        db.session.execute(update(PbxRow).values(last_notification_at=utcnow() - ago))
        db.session.commit()

    def call(self, ago: timedelta, **more: Any) -> int:
        self.count += 1
        row = Call(
            portal_id=self.id, pbx_id=1, pbx_key="moscow", entry_id=f"e{self.count}", started_at=utcnow() - ago, **more
        )
        db.session.add(row)
        db.session.flush()
        number = row.id
        db.session.commit()
        return number

    def usually(self, weeks: tuple[int, ...] = (1, 2), calls: int = 3) -> None:
        for week in weeks:
            for _ in range(calls):
                self.call(timedelta(days=7 * week, minutes=10))

    def look(self) -> list[str]:
        """What is told by the next two looks: nothing twice."""
        before = self.told()
        monitor.check_all()
        found = self.told()
        monitor.check_all()
        assert self.told() == found, "told once"
        return [words for number, words in found.items() if number not in before]

    def told(self) -> dict[int, str]:
        """By id: one with the tag of an older one takes its place, under an id of its own."""
        return {one.id: one.message for one in self.w.sandbox.call(list, self.w.portal.notifications.values())}


@pytest.fixture
def watched(w: World) -> Iterator[Watched]:
    yield Watched(w)
    assert w.portal.violations == []


def test_all_is_well(watched: Watched) -> None:
    watched.usually()
    assert watched.look() == []


def test_portals_without_trouble_cost_nothing(watched: Watched) -> None:
    """The first look is about suspects alone: as many queries for forty further portals as for one."""
    watched.usually()
    assert watched.look() == []
    one = queries(monitor.check_all)
    portal = db.session.get_one(Portal, watched.id)
    for number in range(40):
        values = {
            column.name: getattr(portal, column.key) for column in Portal.__table__.columns if column.name != "id"
        }
        more = Portal(**values | {"member_id": f"{number:032d}"})
        db.session.add(more)
        db.session.flush()
        heard = utcnow() - timedelta(hours=2)
        known = {"hook_key": f"h{number}", "last_notification_at": heard, "api_key": "k", "api_salt": "s"}
        db.session.add(PbxRow(portal_id=more.id, key="moscow", **known))
    db.session.commit()
    assert queries(monitor.check_all) == one


def queries(work: Callable[[], object]) -> int:
    """How many statements a piece of work sends."""
    said: list[str] = []

    def hear(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        said.append(statement)

    event.listen(db.engine, "before_cursor_execute", hear)
    try:
        work()
    finally:
        event.remove(db.engine, "before_cursor_execute", hear)
    return len(said)


def test_a_silent_pbx(watched: Watched) -> None:
    watched.usually()
    watched.heard(timedelta(minutes=61))
    (words,) = watched.look()
    assert "Moscow" in words
    assert watched.look() == []
    watched.heard(timedelta(0))
    (words,) = watched.look()
    assert "снова на связи" in words
    assert watched.look() == []


@pytest.mark.parametrize(("weeks", "calls", "ago"), [((1,), 9, 61), ((1, 2, 3), 2, 61), ((1, 2), 3, 59), ((), 0, 600)])
def test_silence_that_means_nothing(watched: Watched, weeks: tuple[int, ...], calls: int, ago: int) -> None:
    watched.usually(weeks, calls)
    watched.heard(timedelta(minutes=ago))
    assert watched.look() == []


def test_silence_outside_working_hours(watched: Watched) -> None:
    watched.usually()
    watched.heard(timedelta(minutes=61))
    yesterday = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")[(datetime.now(UTC).weekday() + 3) % 7]
    hours = HoursBlock.model_validate({"days": [yesterday]})
    line = DOCUMENT.pbxs[0].lines[0].model_copy(update={"working_hours": (hours,)})
    watched.save(Settings(pbxs=(PbxSettings(key="moscow", name="Moscow", lines=(line,)),)))
    assert watched.look() == []


def test_silence_is_not_over_because_the_day_is(watched: Watched) -> None:
    watched.usually()
    watched.heard(timedelta(minutes=61))
    assert len(watched.look()) == 1
    db.session.query(Call).delete()
    db.session.commit()
    assert watched.look() == []


def test_lost_recordings(watched: Watched) -> None:
    call_id = watched.call(timedelta(hours=1))
    db.session.add(Recording(portal_id=watched.id, call_id=call_id, recording_id="r", state="lost"))
    db.session.commit()
    (words,) = watched.look()
    assert "(1)" in words
    db.session.execute(update(Recording).values(state="attached"))
    db.session.commit()
    (words,) = watched.look()
    assert "снова приходят" in words


def test_an_old_loss_is_over(watched: Watched) -> None:
    call_id = watched.call(timedelta(days=4))
    db.session.add(Recording(portal_id=watched.id, call_id=call_id, recording_id="r", state="lost"))
    db.session.commit()
    assert watched.look() == []


def test_an_unmapped_employee(watched: Watched) -> None:
    watched.call(timedelta(hours=1), unmapped="105")
    watched.call(timedelta(hours=2), unmapped="101,105")
    (words,) = watched.look()
    assert "105" in words
    db.session.query(Call).delete()
    db.session.commit()
    assert watched.look() == [], "it stands until it is mapped"
    pbx = DOCUMENT.pbxs[0]
    employees = (*pbx.employees, EmployeeSettings(extension="105", user_id=1))
    watched.save(Settings(pbxs=(PbxSettings(key="moscow", name="Moscow", lines=pbx.lines, employees=employees),)))
    (words,) = watched.look()
    assert "назначен" in words


def test_many_unmapped_employees_are_one_notice(watched: Watched) -> None:
    watched.call(timedelta(hours=1), unmapped="105,106,107,108")
    (words,) = watched.look()
    assert "4: 105, 106, 107" in words
    watched.call(timedelta(hours=1), unmapped="109")
    assert watched.look() == []


def test_a_dead_authorisation_is_told_when_it_is_over_at_the_latest(watched: Watched) -> None:
    watched.w.sandbox.call(watched.w.portal.notifications.clear)
    lifecycle.mark_needs_admin(watched.id, errors.NeedsAdmin("authorise", "dead"))
    watched.w.sandbox.call(watched.w.sandbox.oauth.revoke_tokens, watched.w.portal)
    assert watched.look() == [], "nobody lets us in"
    assert db.session.query(Notice).filter_by(portal_id=watched.id).count() == 1
    db.session.rollback()
    watched.w.open(1)
    assert lifecycle.state_of(watched.id) == "active"
    db.session.rollback()
    (words,) = watched.look()
    assert "восстановлен" in words
    assert watched.look() == []


def test_where_rest_still_works_the_beginning_is_told_too(watched: Watched) -> None:
    lifecycle.mark_needs_admin(watched.id, errors.NeedsAdmin("rights", "of lines"))
    (words,) = watched.look()
    assert "звонки ждут" in words
    lifecycle.resume(watched.id)
    assert watched.look() == [], "a trial is no end"
    db.session.execute(update(Portal).values(probe_at=utcnow()))
    lifecycle.end_long_trials()
    assert len(watched.look()) == 1


def test_a_portal_that_cannot_be_told_now_is_told_later(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    watched.call(timedelta(hours=1), unmapped="105")
    with monkeypatch.context() as patch:
        patch.setattr(notices, "_send_notices", _later)
        assert watched.look() == []
    assert len(watched.look()) == 1


def _later(*_: Any) -> list[str]:
    raise errors.NotSent("busy", 1.0)


def test_a_paused_or_removed_portal_hears_nothing(watched: Watched) -> None:
    watched.call(timedelta(hours=1), unmapped="105")
    for state in ("paused", "removed", "pending"):
        change(watched.id, state=state)
        assert watched.look() == []


def test_english_portals_read_english(watched: Watched) -> None:
    change(watched.id, lang="en")
    watched.call(timedelta(hours=1), unmapped="105")
    (words,) = watched.look()
    assert words.startswith("PBX Moscow: extension 105 has no employee")
