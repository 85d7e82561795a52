"""Random calls in random order, with duplicates, end as the model of the PBX predicts."""

from __future__ import annotations

import json

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bx24app.domain.calls.commands import Finish, SetActivityUser
from bx24app.domain.calls.policy import Policy
from bx24app.domain.settings import Settings
from bx24app.mango import vpbx
from tests.mango.test_scenarios import obey
from tests.support.offices import document, predict
from tests.support.pbx_model import Scene
from tests.support.random_calls import Day, incoming, outgoing, single
from tests.support.scenarios import FIXTURES, Scenario
from tests.support.transcript import WORDS, Answers, Play


@st.composite
def deliveries(draw: st.DrawFn) -> tuple[Scene, list[tuple[str, str]]]:
    """A call and the order in which its notifications arrive, some of them twice."""
    scene = Scene()
    draw(st.sampled_from([incoming, outgoing]))(draw, scene)
    sent = [(name, json.dumps(content)) for name, content in scene.sent]
    doubled = sent + draw(st.lists(st.sampled_from(sent), max_size=4))
    return scene, draw(st.permutations(doubled))


def _heard_in_time(arrivals: list[tuple[str, str]]) -> bool:
    """Was something of each recording heard before the call was whole? The call's own is chosen then, and stays."""
    first: dict[str, int] = {}
    for index, (_name, raw) in enumerate(arrivals):
        first.setdefault(json.loads(raw).get("recording_id", raw), index)
    whole = max(first[raw] for name, raw in arrivals if name in ("events/call", "events/summary"))
    return all(index < whole for index in first.values())


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(deliveries())
def test_any_call_in_any_order_ends_as_predicted(case: tuple[Scene, list[tuple[str, str]]]) -> None:
    scene, arrivals = case
    play = Scenario(FIXTURES / "incoming_answered_by_group").play([])
    for index, (name, raw) in enumerate(arrivals):
        for event in vpbx.parse(name, raw):
            play.receive(event, index / 1000)
    while play.tick():
        pass
    expected = scene.expected()
    assert play.decision is not None
    journal = play.decision.journal
    for name in ("outcome", "user_id", "users", "talk_seconds"):
        assert journal[name] == expected[name], (name, "\n".join(play.lines))
    finishes = [e.command.user_id for e in play.ledger if isinstance(e.command, Finish) and e.command.part == 1]
    assert len(finishes) == 1
    corrected = [e.command.user_id for e in play.ledger if isinstance(e.command, SetActivityUser)]
    assert (finishes + corrected)[-1] == expected["user_id"]
    tapes = {tape.recording_id: tape for tape in play.decision.recordings}
    assert {name: (tape.user_id, tape.seconds) for name, tape in tapes.items()} == expected["recordings"]
    if _heard_in_time(arrivals):
        assert [name for name, tape in tapes.items() if tape.part == 1] == (
            [expected["own"]] if expected["own"] else []
        )
    parts = sorted(tape.part or 0 for tape in tapes.values())
    assert parts == list(range(1, len(tapes) + 1))
    obey(play, "random")


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(single())
def test_any_call_of_any_office_ends_as_predicted(day: Day) -> None:
    [told], ways = day.calls, day.ways
    expected = predict(told.scene, ways, told.known)
    crm_mode = 2 if ways.simple_crm else 1
    portal = Settings.model_validate(document(ways.section()))
    policy = Policy(portal, portal.by_key[told.scene.office.key], WORDS, crm_mode=crm_mode)
    known = {f"+{told.scene.number}": (told.known.kind, 5)} if told.known else {}
    play = Play(policy, told.scene.entry, Answers(known, crm_mode=crm_mode))
    for index, (name, content) in enumerate(told.arrivals):
        for event in vpbx.parse(name, json.dumps(content)):
            play.receive(event, index / 1000)
    while play.tick():
        pass
    assert play.decision is not None
    journal = play.decision.journal
    if told.scene.direction:
        assert {name: journal[name] for name in expected.journal} == expected.journal, "\n".join(play.lines)
    if expected.own is None:
        assert not len(play.ledger)
        return
    assert journal["responsible_id"] == expected.responsible, "\n".join(play.lines)
    finishes = [e.command for e in play.ledger if isinstance(e.command, Finish)]
    own = [(command.seconds, command.status) for command in finishes if command.part == 1]
    assert own == [(expected.own.seconds, expected.own.code)], "\n".join(play.lines)
    further = sorted((command.user_id, command.seconds) for command in finishes if command.part > 1)
    assert further == sorted((row.user, row.seconds) for row in expected.further), "\n".join(play.lines)
    obey(play, "random")
