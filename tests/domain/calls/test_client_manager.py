"""The client's own manager: who is looked up, who sees the card, who is routed to, and that it happens once."""

from __future__ import annotations

from typing import Any

import pytest

from bx24app.domain import document
from bx24app.domain.calls.commands import AnyCommand, ReadClient, Route, ShowCard
from bx24app.domain.calls.policy import Policy
from bx24app.domain.settings import Settings
from tests.support.scenarios import FIXTURES, Scenario
from tests.support.transcript import WORDS, Answers, Play

CALL = Scenario(FIXTURES / "incoming_answered_by_group")
KNOWN = {"+79160000001": ("contact", 77)}


def told(
    line: dict[str, Any], owner: int = 13, day: str = "OPENED", order: int = 1, **answers: Any
) -> list[AnyCommand]:
    """The call with this line and this manager; `order` -1: the notifications come in reverse."""
    document = CALL.settings.model_dump(by_alias=True, mode="json")
    document["pbxs"][0]["lines"][0].update(line)
    settings = Settings.model_validate(document)
    portal = Answers(**{"known": KNOWN, "client": {"owner": owner, "day": day}, **answers})
    play = Play(Policy(settings, settings.pbxs[0], WORDS), CALL.entry_id, portal)
    for second, notice in enumerate(CALL.notices[::order]):
        for _ in range(2):  # everything comes twice
            for event in notice.events():
                play.receive(event, float(second) / 100)
    while play.tick():
        pass
    return [entry.command for entry in play.ledger]


def routes(commands: list[AnyCommand]) -> list[tuple[str, str]]:
    return [(one.leg, one.extension) for one in commands if isinstance(one, Route)]


def test_the_waiting_client_is_sent_to_their_manager_once() -> None:
    commands = told({"route": "owner"})
    [(leg, extension)] = routes(commands)
    first = next(event for notice in CALL.notices for event in notice.events())
    assert (leg, extension) == (first.leg, "103"), "the leg that heard the menu"
    assert [type(one).__name__ for one in commands][:2] == ["ReadClient", "Route"], "before anybody rings"
    [route] = [one for one in commands if isinstance(one, Route)]
    assert route.command_id.startswith("bx24-route-")


@pytest.mark.parametrize(
    ("line", "how"),
    [
        ({}, {}),
        ({"owner_card": True}, {}),
        ({"route": "owner"}, {"known": {}}),
        ({"route": "owner"}, {"owner": 99}),
        ({"route": "owner"}, {"day": "CLOSED"}),
        ({"route": "owner", "working_hours": [{"days": ["sun"], "from": "00:00", "to": "00:01"}]}, {}),
    ],
    ids=["not wanted", "the card alone", "a new client", "a manager without extension", "day closed", "off hours"],
)
def test_nobody_is_routed(line: dict[str, Any], how: dict[str, Any]) -> None:
    assert routes(told(line, **how)) == []


def test_a_call_that_is_told_in_reverse_is_routed_nowhere() -> None:
    assert routes(told({"route": "owner"}, order=-1)) == [], "it is over by then"


def test_the_manager_sees_the_card_while_others_ring() -> None:
    commands = told({"owner_card": True})
    shown = {user for one in commands if isinstance(one, ShowCard) for user in one.users}
    assert 13 in shown
    assert 13 not in {user for one in told({}) if isinstance(one, ShowCard) for user in one.users}
    assert [one.key for one in commands if isinstance(one, ReadClient)].count("find-owner") == 1


def test_the_document_takes_it() -> None:
    line = "{number: '74950000001', owner_card: true, route: owner, route_seconds: 30}"
    text = f"pbxs: [{{key: moscow, dialects: [events], lines: [{line}]}}]"
    [found] = document.parse(document.load_yaml(text), Settings()).settings.pbxs[0].lines
    assert (found.owner_card, found.route, found.route_seconds) == (True, "owner", 30)
    for wrong in ("owner_card: 1", "route: nobody", "route_seconds: 0"):
        with pytest.raises(document.DocumentError, match=wrong.partition(":")[0]):
            document.parse(document.load_yaml(text.replace("owner_card: true", wrong)), Settings())
