"""A portal that answers nonsense, hangs, breaks off or refuses: deliveries wait, nothing is lost, nothing is doubled.
"""

from __future__ import annotations

import pytest
import requests

from bx24app.infra import circuit_breaker
from tests.end_to_end.test_scenarios import connect, lands, told
from tests.support.replayed_scenario import absorb, as_new_call, in_portal, post
from tests.support.scenarios import FIXTURES, Scenario
from tests.support.stack import World, until

SCENARIO = Scenario(FIXTURES / "incoming_answered_becomes_contact")
KINDS = ["html", "close_before", "query_limit", "expired_token", "close_after", "http502_after", "garbage_after"]


@pytest.mark.parametrize("kind", KINDS)
def test_one_fault_at_any_step_changes_nothing(earth: World, kind: str) -> None:
    _, fair = told(earth, SCENARIO, "as it is")
    for skip in (0, 2, 4):
        earth.sandbox.call(earth.portal.switches.switch_on, kind, times=1, skip=skip)
        _, found = told(earth, SCENARIO, "as it is")
        earth.sandbox.call(earth.portal.switches.switch_off)
        assert found == fair, (kind, skip)


def test_a_portal_that_is_away_for_a_while(earth: World) -> None:
    earth.sandbox.call(earth.portal.switches.switch_on, "http503", times=3)
    lands(earth, Scenario(FIXTURES / "incoming_missed_by_group"))
    earth.sandbox.call(earth.portal.switches.switch_off)


def test_a_dead_portal_costs_nothing(earth: World) -> None:
    """Its circuit opens: calls are taken in and decided, but hardly a request leaves; then all of them land."""
    hook = connect(earth, SCENARIO)
    earth.sandbox.call(earth.portal.switches.switch_on, "close_before")
    first, more = ([as_new_call(SCENARIO) for _ in range(count)] for count in (4, 20))
    for call in (*first, *more):
        earth.sandbox.call(absorb, earth.mango, call.notices)
    for notice in (one for call in first for one in call.notices):
        assert post(hook, notice) == 200
    until(lambda: tripped(earth), "the circuit never opened", 60)
    before = earth.portal.hits
    for notice in (one for call in more for one in call.notices):
        assert post(hook, notice) == 200
    until(lambda: earth.pending().get("calls", 0) >= 24 and "notifications" not in earth.pending(), "not decided", 60)
    assert earth.portal.hits - before < len(more)
    assert 'bx24app_open_circuits{of="portal"} 1.0' in requests.get(f"{earth.url}/metrics", timeout=20).text
    earth.sandbox.call(earth.portal.switches.switch_off)
    earth.settle(120)
    for call in (*first, *more):
        assert len(in_portal(earth, call)["calls"]) == 1
    assert not tripped(earth)


def tripped(earth: World) -> bool:
    with earth.app.app_context():
        return circuit_breaker.of_portal(int(earth.portal_row()["id"])).read_state().is_tripped
