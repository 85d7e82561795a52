"""What the fold says beyond the scenarios: ids, the round robin, a user whom the portal refuses, facts that come after
finish.
"""

from __future__ import annotations

from dataclasses import replace

from bx24app.domain.calls.call_view import make_external_id
from bx24app.domain.calls.commands import Finish, HideCard, Register, SetActivityUser
from bx24app.domain.calls.events import Party
from bx24app.domain.calls.ledger import USER_INACTIVE, Ledger, LedgerEntry
from bx24app.domain.calls.policy import Policy
from bx24app.domain.settings import EmployeeSettings, LineResponsible, LineSettings, PbxSettings, Settings
from tests.support.scenarios import FIXTURES, Scenario
from tests.support.transcript import WORDS, Answers, Play


def policy(**pbx: object) -> Policy:
    document = Settings(
        pbxs=(
            PbxSettings(key="moscow", **pbx),
            PbxSettings(key="krasnodar", employees=(EmployeeSettings(extension="201", user_id=31),)),
        )
    )  # type: ignore[arg-type]
    return Policy(document, document.pbxs[0], WORDS)


def test_external_id_fits_64_characters() -> None:
    assert make_external_id("moscow", "MjY0NTgxMDAwMDE=") == "moscow:MjY0NTgxMDAwMDE="
    long = make_external_id("a" * 20, "x" * 128)
    assert len(long) == 64
    assert long != make_external_id("a" * 20, "x" * 127)


def test_an_extension_of_exactly_one_other_pbx_is_known() -> None:
    assert policy().find_user(Party(extension="201")) == 31
    assert policy().find_user(Party(extension="999")) is None


def test_dismissed_users_are_passed_over() -> None:
    line = LineSettings(number="7495", responsible=LineResponsible(users=(21, 22), strategy="first"))
    whole = policy(lines=(line,), default_user_id=9, employees=(EmployeeSettings(extension="101", user_id=21),))
    gone = Policy(whole.settings, whole.pbx, WORDS, dismissed_users=frozenset({21, 9}))
    assert whole.line_responsible(line, None) == 21
    assert gone.line_responsible(line, None) == 22
    assert gone.find_user(Party(extension="101")) is None
    assert gone.default_user == 1


def test_turns_are_taken_by_the_pick() -> None:
    line = LineSettings(number="7495", responsible=LineResponsible(users=(21, 22)))
    assert [policy(lines=(line,)).line_responsible(line, pick) for pick in range(4)] == [21, 22, 21, 22]


def test_a_mobile_of_the_mapping_is_its_employee() -> None:
    known = policy(employees=(EmployeeSettings(extension="101", user_id=11, numbers=("8 916 000-01-01",)),))
    assert known.find_employee(Party(number="79160000101")) == Party(extension="101")
    assert known.find_employee(Party(number="79160000001")) is None


def test_register_is_made_again_for_somebody_else_when_the_portal_refuses_the_user() -> None:
    scenario = Scenario(FIXTURES / "incoming_answered_by_group")
    play = Play(scenario.policy(), scenario.entry_id, Answers())
    for event in scenario.notices[3].events():
        play.receive(event, 0)
    [register] = list(play.ledger)
    play.ledger = Ledger([LedgerEntry(register.command, "dead", {}, USER_INACTIVE)])
    play.policy = Policy(play.policy.settings, play.policy.pbx, WORDS, dismissed_users=frozenset({11}))
    play.drain()
    again = [e.command for e in play.ledger if isinstance(e.command, Register)][-1]
    assert (again.key, again.user_id) == ("register~2", 9)


def test_what_comes_after_finish_corrects_the_activity_and_never_repeats_finish() -> None:
    scenario = Scenario(FIXTURES / "transfer_blind_by_api")
    late = [n for n in scenario.notices if "102" in n.file or "record" in n.name]
    first = [n for n in scenario.notices if n not in late]
    play = scenario.play(first)
    assert [e.command.user_id for e in play.ledger if isinstance(e.command, Finish)] == [11]
    for notice in late:
        for event in notice.events():
            play.receive(event, 100)
    assert [e.command.part for e in play.ledger if isinstance(e.command, Finish)].count(1) == 1
    assert [e.command.user_id for e in play.ledger if isinstance(e.command, SetActivityUser)] == [12]


def test_a_leg_whose_count_has_a_gap_is_waited_for() -> None:
    scenario = Scenario(FIXTURES / "transfer_blind_by_api")
    answered = next(n for n in scenario.notices if "connected_102" in n.file and "dis" not in n.file)
    play = Play(scenario.policy(), scenario.entry_id, Answers())
    for notice in scenario.notices:
        if notice is not answered:
            for event in notice.events():
                play.receive(event, 1.0)
    assert play.ledger.finish_entry() is None, "the second talk's beginning is still on its way"
    for event in answered.events():
        play.receive(event, 2.0)
    finish = play.ledger.finish_entry()
    assert finish is not None
    assert isinstance(finish.command, Finish)
    assert finish.command.user_id == 12


def test_a_chosen_rule_stays_chosen() -> None:
    """What a later fold knows may favour another rule: the records of the first one are already in the CRM."""
    scenario = Scenario(FIXTURES / "rule_day_of_month")
    play = Play(scenario.policy(), scenario.entry_id, scenario.answers(), chosen_rule="Others")
    for notice in scenario.notices:
        for event in notice.events():
            play.receive(event, 0.0)
    assert play.decision is not None
    assert play.decision.plan is not None
    assert play.decision.plan.rule is not None
    assert play.decision.plan.rule.name == "Others"
    assert "CreateRecord" not in play.text()


def test_the_card_of_a_call_that_the_portal_refuses_to_finish_is_closed() -> None:
    scenario = Scenario(FIXTURES / "incoming_answered_by_group")
    play = scenario.play()
    entries = [replace(e, state="dead") if isinstance(e.command, Finish) else e for e in play.ledger]
    play.ledger = Ledger(entries)
    left = play.ledger.shown_users()
    assert left
    play.drain()
    [hide] = [e.command for e in list(play.ledger)[len(entries) :]]
    assert isinstance(hide, HideCard)
    assert set(hide.users) == left
    assert not play.ledger.shown_users()
