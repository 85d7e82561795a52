"""Every scenario folder through the pure fold: as it is, in bad weather, and against the laws."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from bx24app.domain import rules
from bx24app.domain.calls.commands import (
    AddComment,
    AddTodo,
    Bind,
    CloseTodo,
    CreateRecord,
    Finish,
    HideCard,
    Notify,
    ReadClient,
    ReadDeals,
    ReadTodo,
    Reassign,
    Ref,
    Register,
    RetitleTodo,
    SetActivityUser,
    ShowCard,
)
from bx24app.domain.calls.entry_assembly import assemble_entry
from bx24app.domain.rules.actions import TodoAction
from tests.support.scenarios import QUIET, Notice, Scenario, all_scenarios
from tests.support.transcript import Play, describe

SCENARIOS = all_scenarios()
each = pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.folder.name)


@each
def test_transcript(scenario: Scenario) -> None:
    assert scenario.play().text() == scenario.expected


WORDS = (AddComment, CloseTodo, Notify, RetitleTodo)


def final(play: Play) -> dict[str, Any]:
    """What matters when all is over, whatever the way to it."""
    assert play.decision is not None
    made: dict[tuple[str, int], int] = {}
    for entry in play.ledger:
        command = entry.command
        if isinstance(command, Register):
            for record in entry.answer["created"]:
                made[(record["entity"], record["id"])] = 0
        elif isinstance(command, CreateRecord) and entry.state == "done":
            made[(command.entity, entry.answer["id"])] = command.responsible
    finishes = [e.command for e in play.ledger if isinstance(e.command, Finish)]
    for one, holder in made.items():
        if not holder and finishes:
            made[one] = finishes[0].user_id
    for entry in play.ledger:
        if isinstance(entry.command, Reassign):
            record = entry.command.record
            number = play.ledger.resolve_ref(record.id) if isinstance(record.id, Ref) else record.id
            if (record.entity, number) in made:
                made[(record.entity, number)] = entry.command.user_id
    return {
        "journal": {key: describe(value) for key, value in play.decision.journal.items()},
        "finish": sorted(describe(command) for command in finishes),
        "records": sorted((entity, holder) for (entity, _), holder in made.items()),
        "words": sorted(describe(e.command) for e in play.ledger if isinstance(e.command, WORDS)),
        "todos": [describe(e.command.responsible) for e in play.ledger if isinstance(e.command, AddTodo)],
        "recordings": sorted(
            (t.recording_id, t.part, t.user_id, t.seconds, t.should_attach) for t in play.decision.recordings
        ),
    }


def weathers(notices: list[Notice]) -> Iterator[tuple[str, list[Notice]]]:
    yield "twice", [notice for notice in notices for _ in range(2)]
    yield "all twice", notices + notices
    yield "reversed", notices[::-1]
    for index in range(len(notices) - 1):
        swapped = list(notices)
        swapped[index], swapped[index + 1] = swapped[index + 1], swapped[index]
        yield f"swapped {index + 1}", swapped
    recorded = [notice for notice in notices if "record" in notice.name]
    yield "recording first", recorded + [notice for notice in notices if notice not in recorded]


@each
def test_weather_changes_nothing(scenario: Scenario) -> None:
    fair = final(scenario.play())
    for name, notices in weathers(scenario.notices):
        play = scenario.play(notices)
        assert final(play) == fair, name
        obey(play, name)


def lost_one_by_one(scenario: Scenario) -> Iterator[tuple[Notice, list[Notice]]]:
    for index, notice in enumerate(scenario.notices):
        yield notice, scenario.notices[:index] + scenario.notices[index + 1 :]


SIGNED = [scenario for scenario in SCENARIOS if scenario.notices[0].dialect == "vpbx"]
"""The short dialect's calls have ids of their own, and no statistics know them."""


@dataclass(frozen=True)
class Excuse:
    """What of the final state the statistics can not bring back after one kind of loss, and why."""

    name: str
    applies: Callable[[Notice], bool]
    field: str
    because: str


def is_recording(notice: Notice, *states: str) -> bool:
    return notice.name == "events/recording" and notice.content["recording_state"] in states


def is_not_kept(notice: Notice) -> bool:
    content = notice.content
    return is_recording(notice, "Completed") and (
        content.get("completion_code") != 1000 or content.get("recipient") == "Mail"
    )


EXCUSES = [
    Excuse(
        "length",
        lambda lost: is_recording(lost, "Started", "Completed"),
        "seconds of {recording_id}",
        "only its own Started and Completed tell a recording's length; else it is its leg's talk (contract, section 7)",
    ),
    Excuse(
        "not kept",
        is_not_kept,
        "wish for {recording_id}",
        "only its Completed says that a recording was not kept; it stays awaited, and is never fetchable",
    ),
]
"""The whole list: nothing else may differ when the statistics come in time. IVR legs, the line of an outgoing call, ids
of
commands and kinds of transfer are missing in the statistics too, yet nothing in the final state hangs on one
notification of them.
"""


def excused(lost: Notice) -> set[str]:
    return {excuse.field.format(**lost.content) for excuse in EXCUSES if excuse.applies(lost)}


def outcome(play: Play, without: set[str]) -> dict[str, Any]:
    """`final`, but a further recording's number is left out: it counts in the order in which they became known."""
    found = final(play)
    assert play.decision is not None
    of_part = {t.part: t.recording_id for t in play.decision.recordings}
    finishes = [e.command for e in play.ledger if isinstance(e.command, Finish) and e.command.part > 1]
    found["finish"] = [own_finish(play)]
    found["further"] = sorted(
        (of_part[c.part], c.user_id, 0 if f"seconds of {of_part[c.part]}" in without else c.seconds, c.status)
        for c in finishes
    )
    found["recordings"] = sorted(
        (
            t.recording_id,
            min(t.part or 0, 2),
            t.user_id,
            0 if f"seconds of {t.recording_id}" in without else t.seconds,
            None if f"wish for {t.recording_id}" in without else t.should_attach,
        )
        for t in play.decision.recordings
    )
    return found


def of_its_leg(fair: Play, play: Play, lost: Notice) -> bool:
    """Is the recording whose Started or Completed was lost as long as its leg's talk, or the call's where its leg had
    none?
    """
    assert play.decision is not None
    assert fair.decision is not None
    if not fair.decision.recordings:
        return not play.decision.recordings  # a call of which the portal hears nothing
    [tape] = [tape for tape in play.decision.recordings if tape.recording_id == lost.content["recording_id"]]
    [own] = [one.seconds for one in fair.decision.recordings if one.recording_id == tape.recording_id]
    entry = assemble_entry(fair.events, fair.policy.find_employee)
    assert entry is not None
    talks = [talk.end - talk.start for talk in entry.talks if talk.leg == lost.content["call_id"] and talk.end]
    return tape.seconds in {own, *(talks or [entry.talk_seconds])}


def own_finish(play: Play) -> str:
    return next((describe(e.command) for e in play.ledger if isinstance(e.command, Finish) and e.command.part == 1), "")


def holder_of_the_activity(play: Play) -> int | None:
    holder = None
    for entry in play.ledger:
        match entry.command:
            case Finish(part=1, user_id=user) | SetActivityUser(user_id=user):
                holder = user
    return holder


@pytest.mark.parametrize("scenario", SIGNED, ids=lambda scenario: scenario.folder.name)
def test_a_lost_notification_is_told_by_the_statistics(scenario: Scenario) -> None:
    """Before finish had to leave: then the final state is the same in everything but the excuses above."""
    fair, told = scenario.play(), scenario.statistics()
    assert outcome(scenario.play([*scenario.notices, told]), set()) == outcome(fair, set())
    for lost, kept in lost_one_by_one(scenario):
        play = scenario.play([*kept, told])
        assert outcome(play, excused(lost)) == outcome(fair, excused(lost)), lost.file
        assert not is_recording(lost, "Started", "Completed") or of_its_leg(fair, play, lost), lost.file
        obey(play, lost.file)


@pytest.mark.parametrize("scenario", SIGNED, ids=lambda scenario: scenario.folder.name)
def test_statistics_that_come_after_finish_correct_what_may_be_corrected(scenario: Scenario) -> None:
    """Minutes later, as they really come. What finish said stands; the journal, the records' holders and the activity's
    person are as if nothing had been lost, every recording has its place."""
    fair, told = scenario.play(), scenario.statistics()
    for lost, kept in [*lost_one_by_one(scenario), (told, scenario.notices)]:
        before = own_finish(scenario.play(kept)) if kept else ""
        play = scenario.play([*kept, QUIET, told])
        without = excused(lost)
        found, wanted = outcome(play, without), outcome(fair, without)
        assert found["finish"] == ([before] if before else wanted["finish"]), lost.file
        for key in ("journal", "records", "todos"):
            assert found[key] == wanted[key], (lost.file, key)
        assert holder_of_the_activity(play) == holder_of_the_activity(fair), lost.file
        assert {tape[0]: tape[1] > 0 for tape in found["recordings"]} == {
            tape[0]: tape[1] > 0 for tape in wanted["recordings"]
        }, lost.file
        obey(play, lost.file)


@each
def test_a_lost_notification_breaks_no_law(scenario: Scenario) -> None:
    """Where nothing tells what was lost, the call may stay open; what was said of it is right all the same."""
    for lost, kept in lost_one_by_one(scenario):
        play = scenario.play(kept)
        if not kept or play.decision is None:
            continue
        for law in LAWS:
            if play.decision.journal["complete"] or law not in OF_A_FINISHED_CALL:
                law(play, f"{lost.file} lost")


@each
def test_laws(scenario: Scenario) -> None:
    obey(scenario.play(), "as it is")


def obey(play: Play, weather: str) -> None:
    """The laws of the house; each is a function below."""
    for law in LAWS:
        law(play, weather)


def one_register_opens_the_card(play: Play, weather: str) -> None:
    registers = [e.command for e in play.ledger if isinstance(e.command, Register) and e.command.part == 1]
    assert len(registers) <= 1, weather
    if len(play.ledger):
        assert isinstance(next(iter(play.ledger)).command, Register), weather


def one_finish_a_portal_call(play: Play, weather: str) -> None:
    parts = [e.command.part for e in play.ledger if isinstance(e.command, Register)]
    assert sorted(parts) == sorted(e.command.part for e in play.ledger if isinstance(e.command, Finish)), weather


def records_exist_before_finish(play: Play, weather: str) -> None:
    kinds = [type(e.command) for e in play.ledger]
    if CreateRecord in kinds:
        assert kinds.index(Finish) > max(index for index, kind in enumerate(kinds) if kind is CreateRecord), weather


def after_finish_only_what_may_follow(play: Play, weather: str) -> None:
    commands = [e.command for e in play.ledger]
    cut = next((index for index, c in enumerate(commands) if isinstance(c, Finish)), len(commands))
    allowed = (Reassign, Bind, AddTodo, SetActivityUser, ReadClient, ReadDeals, ReadTodo, *WORDS)
    for command in commands[cut + 1 :]:
        assert isinstance(command, allowed) or command.part > 1, (weather, command)


def a_shown_card_ends(play: Play, weather: str) -> None:
    shown: set[int] = set()
    for entry in play.ledger:
        match entry.command:
            case Register(part=1, show=True, user_id=user):
                shown.add(user)
            case ShowCard(users=users):
                shown |= set(users)
            case HideCard(users=users):
                shown -= set(users)
            case Finish(part=1, user_id=user):
                shown.discard(user)
    assert not shown, weather


def missed_is_said_once(play: Play, weather: str) -> None:
    assert sum(1 for e in play.ledger if isinstance(e.command, Finish) and e.command.status == "304") <= 1, weather


def further_recordings_have_no_card(play: Play, weather: str) -> None:
    for entry in play.ledger:
        if isinstance(entry.command, Register) and entry.command.part > 1:
            assert not entry.command.show, weather
            assert not entry.command.create, weather


def only_users_of_the_portal(play: Play, weather: str) -> None:
    users = {play.policy.settings.portal.default_user_id}
    for pbx in play.policy.settings.pbxs:
        users |= {pbx.default_user_id or 0} | {employee.user_id for employee in pbx.employees}
        users |= {user for line in pbx.lines for user in line.responsible.users}
    for entry in play.ledger:
        named = [getattr(entry.command, "user_id", None), getattr(entry.command, "responsible", None)]
        named += list(getattr(entry.command, "users", ()))
        assert {user for user in named if user} <= users, (weather, entry.command)


def the_card_s_call_is_of_the_right_kind(play: Play, weather: str) -> None:
    """TYPE by direction, one number from register to finish."""
    assert play.decision is not None
    kind = {"in": 2, "out": 1, "callback": 4}.get(str(play.decision.journal["direction"]))
    first = next((e.command for e in play.ledger if isinstance(e.command, Register)), None)
    if first is None:
        return
    assert first.type == kind, weather
    numbers = {e.command.number for e in play.ledger if isinstance(e.command, Register | Finish)}
    assert len(numbers) == 1, (weather, numbers)
    client = play.decision.journal["client_number"]
    assert numbers == {client or "00000000000"}, weather


def internal_calls_are_silent(play: Play, weather: str) -> None:
    assert play.decision is not None
    if play.decision.journal["direction"] == "internal":
        assert not len(play.ledger), weather


def finish_says_how_it_ended(play: Play, weather: str) -> None:
    """200, always 304 for a missed one, anything but 200 for a failed one; what came after finish can not change it."""
    assert play.decision is not None
    for entry in play.ledger:
        match entry.command:
            case Finish(status="200", seconds=seconds):
                assert seconds >= 0, weather
            case Finish(status=status, seconds=seconds, part=1):
                assert seconds == 0, weather
                assert status == "304" or play.decision.journal["direction"] != "in", weather


def what_the_call_made_is_the_responsible_s(play: Play, weather: str) -> None:
    assert play.decision is not None
    holder = play.decision.journal["responsible_id"]
    plan = play.decision.plan
    creates, tasks = {holder}, [holder]
    if plan is not None and plan.rule is not None:  # whom the rule names; the transcripts say who that is
        creates = {one.user_id for one in plan.record_actions} or creates
        tasks = [one.user_id for one in plan.actions if isinstance(one.action, TodoAction)]
    assert {user for _, user in final(play)["records"]} <= creates, weather
    todos = [e.command.responsible for e in play.ledger if isinstance(e.command, AddTodo)]
    assert len(todos) <= len(tasks), weather
    assert set(todos) <= set(tasks), weather


def a_recording_has_one_place(play: Play, weather: str) -> None:
    """Each is attached at most once, no two to the same portal call, and only to one that is registered."""
    assert play.decision is not None
    tapes = play.decision.recordings
    assert len({tape.recording_id for tape in tapes}) == len(tapes), weather
    parts = [tape.part for tape in tapes if tape.part is not None]
    assert len(parts) == len(set(parts)), weather
    registered = {e.command.part for e in play.ledger if isinstance(e.command, Register)}
    assert set(parts) <= registered, weather
    assert registered - {1} <= set(parts), weather
    finished = any(isinstance(e.command, Finish) for e in play.ledger)
    assert not finished or all(tape.part for tape in tapes if tape.should_attach and tape.is_fetchable), weather


def nothing_is_said_twice(play: Play, weather: str) -> None:
    keys = [entry.command.key for entry in play.ledger]
    assert len(keys) == len(set(keys)), weather
    made = [e.command for e in play.ledger if isinstance(e.command, CreateRecord) and e.state == "done"]
    assert len({command.origin for command in made}) == len(made), weather
    plan = play.decision.plan if play.decision else None
    if plan is None or plan.rule is None:
        assert len({command.entity for command in made}) == len(made), weather


LAWS: list[Callable[[Play, str], None]] = [
    one_register_opens_the_card,
    one_finish_a_portal_call,
    records_exist_before_finish,
    after_finish_only_what_may_follow,
    a_shown_card_ends,
    missed_is_said_once,
    further_recordings_have_no_card,
    only_users_of_the_portal,
    the_card_s_call_is_of_the_right_kind,
    internal_calls_are_silent,
    finish_says_how_it_ended,
    what_the_call_made_is_the_responsible_s,
    a_recording_has_one_place,
    nothing_is_said_twice,
]
OF_A_FINISHED_CALL = [one_finish_a_portal_call, a_shown_card_ends, what_the_call_made_is_the_responsible_s]


def test_every_condition_and_action_has_a_scenario() -> None:
    """Of rules: each key of the tables, and each option of an action, stands in a `rule_*` folder."""
    used: set[tuple[str, ...]] = set()
    for scenario in SCENARIOS:
        assert not list(rules.find_faults(scenario.settings)), scenario.folder.name
        for rule in scenario.settings.rules if scenario.folder.name.startswith("rule_") else ():
            used |= {("when", key) for key in rule.when}
            used |= {(action, key) for one in rule.do for action, parts in one.items() for key in parts or {"": None}}
    wanted = {("when", key) for key in rules.CONDITIONS}
    wanted |= {(action, key) for action, parts in rules.ACTIONS.items() for key in parts or {"": None}}
    assert used == wanted
