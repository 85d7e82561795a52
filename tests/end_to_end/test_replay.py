"""What the portal refused is told again by `bx24app replay`, and nothing of it twice."""

from __future__ import annotations

import pytest

from bx24app.calls.journal import export
from bx24app.models import Call, Recording, db
from bx24app.operations import erasure
from bx24app.sandbox.bitrix import faults
from tests.end_to_end.test_scenarios import connect, told
from tests.support import commands
from tests.support.replayed_scenario import in_portal
from tests.support.scenarios import FIXTURES, Scenario
from tests.support.stack import World, until

SCENARIO = Scenario(FIXTURES / "incoming_answered_becomes_contact")


def replay(earth: World, *flags: str) -> str:
    with earth.app.app_context():
        result = commands.run(
            commands.environment_of(earth.config), "replay", "--portal", earth.portal.member_id, *flags
        )
    assert result.exit_code == 0, result.output
    return result.output


def state(earth: World, entry_id: str) -> tuple[str, str | None, list[str]]:
    with earth.app.app_context():
        call = db.session.query(Call).filter_by(entry_id=entry_id).one()
        tapes = [tape.state for tape in db.session.query(Recording).filter_by(call_id=call.id)]
        db.session.rollback()
        return call.state, call.problem, tapes


@pytest.mark.parametrize("method", ["register", "finish"])
def test_a_call_that_was_refused_lands_after_all(earth: World, monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    monkeypatch.setitem(faults.REFUSALS, "right_removed", ("ERROR_ARGUMENT", "Argument value is invalid", 400))
    retold, fair = told(earth, SCENARIO, "as it is")
    earth.sandbox.call(
        lambda: earth.portal.switches.switch_on("right_removed", method=f"telephony.externalcall.{method}")
    )
    retold, found = told(earth, SCENARIO, "as it is")
    earth.sandbox.call(earth.portal.switches.switch_off)
    assert found != fair
    dead = state(earth, retold.entry_id)
    assert (dead[0], dead[2]) == ("dead", ["lost"])
    assert "of 1 call tried again" in replay(earth, "--dead")
    earth.settle()
    assert in_portal(earth, retold) == fair
    assert state(earth, retold.entry_id) == ("finished", None, ["attached"])


def test_notifications_that_are_run_again_change_nothing(earth: World) -> None:
    retold, fair = told(earth, SCENARIO, "as it is")
    said = replay(earth, "--call", retold.entry_id)
    assert said == f"{len(retold.notices)} notifications run again\n"
    earth.settle()
    assert in_portal(earth, retold) == fair


def test_a_click_is_in_the_trace_of_its_call_and_goes_with_its_person(earth: World) -> None:
    connect(earth, SCENARIO)
    number = "+79169999901"
    earth.sandbox.call(lambda: earth.portal.click_to_call(1, number))  # user 1 has no extension
    with earth.app.app_context():
        until(lambda: finished(number), "the click was not taken")
        earth.settle()
        call = db.session.query(Call).filter_by(client_number=number).one()
        portal_id, call_id = call.portal_id, call.id
        db.session.rollback()
        row = export.find_row(portal_id, call_id)
        assert row is not None
        assert [(step["from"], step["request"]) for step in row["trace"]][::2] == [
            ("portal", "ONEXTERNALCALLSTART"),
            ("app", "telephony.externalCall.finish"),
        ]
        gone = erasure.erase_person(portal_id, number)
        assert (gone.calls, gone.notifications, gone.remaining_calls) == (1, 1, 0)


def finished(number: str) -> bool:
    found = db.session.query(Call).filter_by(client_number=number, state="finished").count()
    db.session.rollback()
    return bool(found)
