"""The answer to a request is lost, and the look-up after it is refused or spoilt too: nothing is done twice."""

from __future__ import annotations

import pytest

from bx24app.calls.recordings.attempts import SMALL_BYTES, next_file_name
from tests.conftest import KEY
from tests.end_to_end.test_scenarios import told
from tests.support.scenarios import FIXTURES, Scenario
from tests.support.stack import World

TODO = Scenario(FIXTURES / "incoming_missed_as_activity")
RECORD = Scenario(FIXTURES / "incoming_answered_becomes_contact")


@pytest.mark.parametrize("lookup", ["answered", "right_removed", "garbage_after"])
def test_a_to_do_is_looked_up(earth: World, lookup: str) -> None:
    _, fair = told(earth, TODO, "as it is")
    earth.sandbox.call(earth.portal.switches.switch_on, "close_after", times=1, method="crm.activity.todo.add")
    if lookup != "answered":
        earth.sandbox.call(earth.portal.switches.switch_on, lookup, times=1, method="crm.activity.list")
    _, found = told(earth, TODO, "as it is")
    assert unused(earth) == []
    assert found == fair


@pytest.mark.parametrize("lookup", ["answered", "garbage_after", "http502_after"])
def test_a_finish_is_looked_up(earth: World, lookup: str) -> None:
    _, fair = told(earth, RECORD, "as it is")
    earth.sandbox.call(earth.portal.switches.switch_on, "close_after", times=1, method="telephony.externalcall.finish")
    if lookup != "answered":
        earth.sandbox.call(earth.portal.switches.switch_on, lookup, times=1, method="voximplant.statistic.get")
    _, found = told(earth, RECORD, "as it is")
    assert unused(earth) == []
    assert found == fair


@pytest.mark.parametrize("lookup", ["answered", "garbage_after", "http502_after"])
def test_a_created_record_is_found_by_its_origin(earth: World, lookup: str) -> None:
    _, fair = told(earth, RECORD, "as it is")
    earth.sandbox.call(earth.portal.switches.switch_on, "close_after", times=1, method="crm.item.add")
    if lookup != "answered":
        earth.sandbox.call(earth.portal.switches.switch_on, lookup, times=1, method="crm.item.list")
    _, found = told(earth, RECORD, "as it is")
    assert unused(earth) == []
    assert found == fair


@pytest.mark.parametrize("kind", ["close_after", "close_before", "http502_after"])
def test_an_upload_is_looked_up(earth: World, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second one is sent only where the portal has none, and then under a name of its own."""
    _, fair = told(earth, RECORD, "as it is")
    monkeypatch.setattr(earth.mango.board(KEY).call_log, "recording_size", SMALL_BYTES + 1000)
    earth.sandbox.call(earth.portal.switches.switch_on, kind, times=1, method="upload")
    _, found = told(earth, RECORD, "as it is")
    assert unused(earth) == []
    assert found == fair


@pytest.mark.parametrize("kind", ["close_after", "close_before", "http502_after"])
def test_a_small_recording_is_looked_up(earth: World, kind: str) -> None:
    """The same for one that left inside a request."""
    _, fair = told(earth, RECORD, "as it is")
    earth.sandbox.call(earth.portal.switches.switch_on, kind, times=1, method="telephony.externalcall.attachrecord")
    _, found = told(earth, RECORD, "as it is")
    assert unused(earth) == []
    assert found == fair
    newest = earth.portal.files[max(earth.portal.files)]
    assert newest.via == ("upload" if kind == "close_before" else "base64"), (
        "once refused or lost, it goes as an upload"
    )


def test_a_file_name_is_never_used_twice() -> None:
    """The portal may keep a lost upload's file without its call knowing of it: the same name would be refused for ever.
    """
    names = ["20261123-101500-moscow-79160000001-0123456789abcdef.mp3"]
    for _ in range(3):
        names.append(next_file_name(names[-1]))
    assert names[3].endswith("0123456789abcdef-4.mp3")


def unused(earth: World) -> list[str]:
    """Faults that met nothing: a test that proves nothing must not pass."""
    left = [fault.kind for fault in earth.portal.switches.faults]
    earth.sandbox.call(earth.portal.switches.switch_off)
    return left
