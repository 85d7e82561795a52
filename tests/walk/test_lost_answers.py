"""The answer to a request is lost, and the look-up after it is refused or spoilt too: nothing is done twice."""

from __future__ import annotations

import pytest

from tests.mango.scenarios import FIXTURES, Scenario
from tests.walk.test_scenarios import told
from tests.world import World

TODO = Scenario(FIXTURES / "incoming_missed_as_activity")
RECORD = Scenario(FIXTURES / "incoming_answered_becomes_contact")


@pytest.mark.parametrize("lookup", ["answered", "right_removed", "garbage_after"])
def test_a_to_do_is_looked_up(earth: World, lookup: str) -> None:
    _, fair = told(earth, TODO, "as it is")
    earth.sandbox.call(earth.portal.switches.on, "close_after", times=1, method="crm.activity.todo.add")
    if lookup != "answered":
        earth.sandbox.call(earth.portal.switches.on, lookup, times=1, method="crm.activity.list")
    _, found = told(earth, TODO, "as it is")
    assert unused(earth) == []
    assert found == fair


@pytest.mark.parametrize("lookup", ["answered", "garbage_after", "http502_after"])
def test_a_finish_is_looked_up(earth: World, lookup: str) -> None:
    _, fair = told(earth, RECORD, "as it is")
    earth.sandbox.call(earth.portal.switches.on, "close_after", times=1, method="telephony.externalcall.finish")
    if lookup != "answered":
        earth.sandbox.call(earth.portal.switches.on, lookup, times=1, method="voximplant.statistic.get")
    _, found = told(earth, RECORD, "as it is")
    assert unused(earth) == []
    assert found == fair


def test_an_upload_is_looked_up(earth: World) -> None:
    """The portal has the file, or it has it without telling: a second one takes a name of its own and is refused nowhere."""
    _, fair = told(earth, RECORD, "as it is")
    earth.sandbox.call(earth.portal.switches.on, "close_after", times=1, method="upload")
    _, found = told(earth, RECORD, "as it is")
    assert unused(earth) == []
    assert found == fair


def unused(earth: World) -> list[str]:
    """Faults that met nothing: a test that proves nothing must not pass."""
    left = [fault.kind for fault in earth.portal.switches.faults]
    earth.sandbox.call(earth.portal.switches.off)
    return left
