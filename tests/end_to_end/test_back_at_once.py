"""A portal that refused requests for a while has its calls, and closed cards, as soon as it accepts them again."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from sqlalchemy import update

from bx24app import jobs
from bx24app.domain import probing
from bx24app.models import Portal, db, utcnow
from tests.end_to_end.test_scenarios import connect, told
from tests.support.replayed_scenario import ReplayedCall, absorb, as_new_call, in_portal, post
from tests.support.scenarios import FIXTURES, Scenario
from tests.support.stack import World, until

SCENARIO = Scenario(FIXTURES / "incoming_answered_by_group")


@pytest.fixture
def locked(earth: World) -> Iterator[World]:
    yield earth
    earth.sandbox.call(earth.portal.switches.switch_off)


def begin(earth: World) -> tuple[str, ReplayedCall]:
    hook = connect(earth, SCENARIO)
    call = as_new_call(SCENARIO)
    earth.sandbox.call(absorb, earth.mango, call.notices)
    return hook, call


def send(hook: str, call: ReplayedCall, first: int, last: int | None = None) -> None:
    for notice in call.notices[first:last]:
        assert post(hook, notice) == 200


def run_probe(earth: World) -> None:
    """The job, as if the time of the next probe had come; it lies within the minute."""
    with earth.app.app_context():
        portal = db.session.query(Portal).one()
        assert portal.probe_at is not None
        assert portal.probe_at - utcnow() <= probing.PROBE_PAUSE
        db.session.execute(update(Portal).values(probe_at=utcnow() - timedelta(seconds=1)))
        db.session.commit()
        jobs.probe_portals()
        db.session.remove()


@pytest.mark.parametrize("switch", ["payment_required", "access_removed", "right_removed", "closed"])
def test_calls_and_closed_cards_are_there_within_a_minute(locked: World, switch: str) -> None:
    earth = locked
    _, fair = told(earth, SCENARIO, "as it is")
    hook, early = begin(earth)
    rung = next(index for index, notice in enumerate(early.notices) if notice.content.get("call_state") == "Connected")
    send(hook, early, 0, rung)
    until(lambda: in_portal(earth, early)["cards"], "no card opened", 60)
    method = {"method": "telephony.*"} if switch == "right_removed" else {}
    earth.sandbox.call(lambda: earth.portal.switches.switch_on(switch, **method))
    send(hook, early, rung)
    _, late = begin(earth)
    send(hook, late, 0)
    until(lambda: earth.portal_row()["state"] == "needs_admin", "the refusal was not seen", 60)
    until(lambda: "notifications" not in earth.pending(), "notifications were not taken in", 60)
    assert in_portal(earth, early)["cards"], "it hangs on a screen"
    run_probe(earth)
    until(lambda: earth.portal_row()["state"] == "needs_admin", "it is not over", 60)
    earth.sandbox.call(earth.portal.switches.switch_off)
    run_probe(earth)
    earth.settle(60)
    assert earth.portal_row()["trouble"] is None
    assert in_portal(earth, early) == in_portal(earth, late) == fair
    assert fair["cards"] == []
    opened = earth.sandbox.call(lambda: [step.call_id for step in earth.portal.card_history if step.action == "show"])
    late_ids = [row.call_id for row in earth.portal.statistics.values() if late.entry_id in (row.external_id or "")]
    assert not set(opened) & set(late_ids), "no card flashes for a call that is over"
