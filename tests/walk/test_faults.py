"""A portal that answers nonsense, hangs, breaks off or refuses: deliveries wait, nothing is lost, nothing is doubled."""

from __future__ import annotations

import pytest

from tests.mango.scenarios import FIXTURES, Scenario
from tests.walk.test_scenarios import lands, told
from tests.world import World

SCENARIO = Scenario(FIXTURES / "incoming_answered_becomes_contact")
KINDS = ["html", "close_before", "query_limit", "expired_token", "close_after", "http502_after", "garbage_after"]


@pytest.mark.parametrize("kind", KINDS)
def test_one_fault_at_any_step_changes_nothing(earth: World, kind: str) -> None:
    _, fair = told(earth, SCENARIO, "as it is")
    for skip in (0, 2, 4):
        earth.sandbox.call(earth.portal.switches.on, kind, times=1, skip=skip)
        _, found = told(earth, SCENARIO, "as it is")
        earth.sandbox.call(earth.portal.switches.off)
        assert found == fair, (kind, skip)


def test_a_portal_that_is_away_for_a_while(earth: World) -> None:
    earth.sandbox.call(earth.portal.switches.on, "http503", times=3)
    lands(earth, Scenario(FIXTURES / "incoming_missed_by_group"))
    earth.sandbox.call(earth.portal.switches.off)
