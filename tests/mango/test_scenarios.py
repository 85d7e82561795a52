"""Every scenario folder through the pure fold: as it is, in bad weather, and against the laws."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from bx24app.domain.commands import (
    AddTodo,
    Bind,
    CreateRecord,
    Finish,
    HideCard,
    Notify,
    ReadClient,
    ReadDeals,
    Reassign,
    Register,
    SetActivityUser,
    ShowCard,
)
from tests.domain.transcript import Play, tell
from tests.mango.scenarios import Notice, Scenario, all_scenarios

SCENARIOS = all_scenarios()
each = pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.folder.name)


@each
def test_transcript(scenario: Scenario) -> None:
    assert scenario.play().text() == scenario.expected


def final(play: Play) -> dict[str, Any]:
    """What matters when all is over, whatever the way to it."""
    assert play.decision is not None
    made: dict[str, int] = {}
    for entry in play.ledger:
        command = entry.command
        if isinstance(command, Register):
            for record in entry.answer["created"]:
                made[record["entity"]] = 0
        elif isinstance(command, CreateRecord):
            made[command.entity] = command.responsible
    finishes = [e.command for e in play.ledger if isinstance(e.command, Finish)]
    for name, holder in made.items():
        if not holder and finishes:
            made[name] = finishes[0].user_id
    for entry in play.ledger:
        if isinstance(entry.command, Reassign) and entry.command.record.entity in made:
            made[entry.command.record.entity] = entry.command.user_id
    return {
        "journal": {key: tell(value) for key, value in play.decision.journal.items()},
        "finish": sorted(tell(command) for command in finishes),
        "records": made,
        "todos": [tell(e.command.responsible) for e in play.ledger if isinstance(e.command, AddTodo)],
        "recordings": sorted((t.recording_id, t.part, t.user_id, t.seconds, t.wanted) for t in play.decision.tapes),
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
    allowed = (Reassign, Bind, AddTodo, SetActivityUser, ReadClient, ReadDeals, Notify)
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


LAWS: list[Callable[[Play, str], None]] = [
    one_register_opens_the_card,
    one_finish_a_portal_call,
    records_exist_before_finish,
    after_finish_only_what_may_follow,
    a_shown_card_ends,
    missed_is_said_once,
    further_recordings_have_no_card,
    only_users_of_the_portal,
]
