"""Random calls in random order, with duplicates, end as the model of the PBX predicts."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bx24app.domain.commands import Finish, SetActivityUser
from bx24app.mango import vpbx
from tests.mango.pbx_model import EXTENSIONS, LINE, Leg, Scene
from tests.mango.scenarios import FIXTURES, Scenario
from tests.mango.test_scenarios import obey


@st.composite
def incoming(draw: st.DrawFn) -> Scene:
    scene = Scene()
    parent = scene.ivr() if draw(st.booleans()) else None
    scene.wait(draw(st.integers(0, 5)))
    for _ in range(draw(st.integers(0, 2))):  # rounds of the scheme that nobody answers
        ringing = scene.ring(
            draw(st.lists(st.sampled_from(EXTENSIONS), min_size=1, max_size=3)), parent, draw(st.booleans())
        )
        scene.wait(15)
        for leg, caller, callee in ringing:
            scene.hang_up(leg, caller, callee, draw(st.sampled_from([1111, 1131, 1183])))
    if draw(st.booleans()):
        answer(draw, scene, parent)
    scene.summary()
    return scene


def answer(draw: st.DrawFn, scene: Scene, parent: Leg | None) -> None:
    ringing = scene.ring(draw(st.lists(st.sampled_from(EXTENSIONS), min_size=1, max_size=3)), parent, True)
    scene.wait(draw(st.integers(1, 20)))
    index = draw(st.integers(0, len(ringing) - 1))
    leg, caller, callee = ringing[index]
    scene.connect(leg, caller, callee)
    for number, loser in enumerate(ringing):
        if number != index:
            scene.hang_up(*loser, draw(st.sampled_from([1183, 1100, 1110])))
    scene.wait(draw(st.integers(1, 60)))
    for _ in range(draw(st.integers(0, 2))):
        leg, caller, callee = draw(st.sampled_from([hold, blind, handset, consult, returned]))(
            draw, scene, leg, caller, callee
        )
        scene.wait(draw(st.integers(1, 60)))
    scene.hang_up(leg, caller, callee, draw(st.sampled_from([1110, 1120])))
    scene.wait(1)


Side = dict[str, Any]


def hold(draw: st.DrawFn, scene: Scene, leg: Leg, caller: Side, callee: Side) -> tuple[Leg, Side, Side]:
    scene.tell(leg, "OnHold", "abonent", caller, callee)
    scene.wait(draw(st.integers(1, 30)))
    scene.tell(leg, "Connected", "abonent", caller, callee)
    return leg, caller, callee


def another(draw: st.DrawFn, leg: Leg) -> str:
    return draw(st.sampled_from([extension for extension in EXTENSIONS if extension != leg.owner]))


def blind(draw: st.DrawFn, scene: Scene, leg: Leg, caller: Side, callee: Side) -> tuple[Leg, Side, Side]:
    scene.hang_up(leg, caller, {**callee, "was_transferred": True}, 1120)
    [(new, its_caller, its_callee)] = scene.ring([another(draw, leg)], leg, False)
    scene.wait(draw(st.integers(1, 15)))
    scene.connect(new, its_caller, its_callee, transfer="blind")
    return new, its_caller, its_callee


def returned(draw: st.DrawFn, scene: Scene, leg: Leg, caller: Side, callee: Side) -> tuple[Leg, Side, Side]:
    """A blind transfer that nobody takes comes back to who sent it."""
    scene.hang_up(leg, caller, {**callee, "was_transferred": True}, 1120)
    [(tried, its_caller, its_callee)] = scene.ring([another(draw, leg)], leg, False)
    scene.wait(20)
    scene.hang_up(tried, its_caller, its_callee, 1111)
    [(back, its_caller, its_callee)] = scene.ring([str(leg.owner)], leg, False)
    scene.wait(3)
    scene.connect(back, its_caller, its_callee, transfer="return_blind")
    return back, its_caller, its_callee


def handset(draw: st.DrawFn, scene: Scene, leg: Leg, caller: Side, callee: Side) -> tuple[Leg, Side, Side]:
    """Blind from the handset: the second leg appears twice, first from the colleague, then from the client."""
    scene.tell(leg, "OnHold", "abonent", caller, callee)
    extension = another(draw, leg)
    new, target = scene.leg(extension), scene.employee(extension)
    scene.tell(new, "Appeared", "abonent", {**scene.employee(str(leg.owner)), "taken_from_call_id": leg.id}, target)
    scene.hang_up(leg, caller, callee, 1120)
    scene.tell(new, "Appeared", "abonent", scene.client(leg), target)
    scene.rung.append(extension)
    scene.wait(draw(st.integers(1, 15)))
    scene.connect(new, scene.client(leg), target)
    return new, scene.client(leg), target


def consult(draw: st.DrawFn, scene: Scene, leg: Leg, caller: Side, callee: Side) -> tuple[Leg, Side, Side]:
    """Consultative: the consultation's leg is reused for the talk with the client."""
    scene.tell(leg, "OnHold", "abonent", caller, callee)
    extension = another(draw, leg)
    new, target = scene.leg(extension), scene.employee(extension)
    colleague = {**scene.employee(str(leg.owner)), "taken_from_call_id": leg.id}
    scene.tell(new, "Appeared", "abonent", colleague, target)
    scene.wait(5)
    scene.tell(new, "Connected", "abonent", colleague, target)
    scene.wait(draw(st.integers(1, 20)))
    scene.hang_up(leg, caller, callee, 1120)
    scene.connect(new, scene.client(leg), target, transfer="consultative")
    return new, scene.client(leg), target


@st.composite
def outgoing(draw: st.DrawFn) -> Scene:
    scene = Scene(direction=2)
    extension = draw(st.sampled_from(EXTENSIONS))
    leg = scene.leg(extension)
    caller, callee = {"extension": extension, "line_number": LINE}, {"number": "79160000001"}
    scene.rung.append(extension)
    scene.tell(leg, "Appeared", "abonent", caller, callee)
    scene.wait(draw(st.integers(1, 30)))
    if draw(st.booleans()):
        scene.connect(leg, caller, callee)
        scene.wait(draw(st.integers(1, 90)))
    scene.hang_up(leg, caller, callee, draw(st.sampled_from([1110, 1120, 1121, 1131])))
    scene.summary()
    return scene


@st.composite
def deliveries(draw: st.DrawFn) -> tuple[Scene, list[tuple[str, str]]]:
    """A call and the order in which its notifications arrive, some of them twice."""
    scene = draw(st.one_of(incoming(), outgoing()))
    sent = [(name, json.dumps(content)) for name, content in scene.sent]
    doubled = sent + draw(st.lists(st.sampled_from(sent), max_size=4))
    return scene, draw(st.permutations(doubled))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(deliveries())
def test_any_call_in_any_order_ends_as_predicted(case: tuple[Scene, list[tuple[str, str]]]) -> None:
    scene, arrivals = case
    play = Scenario(FIXTURES / "incoming_answered_by_group").play([])
    for index, (name, raw) in enumerate(arrivals):
        for event in vpbx.parse(name, raw):
            play.hear(event, index / 1000)
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
    tapes = {tape.recording_id: tape for tape in play.decision.tapes}
    assert {name: (tape.user_id, tape.seconds) for name, tape in tapes.items()} == expected["recordings"]
    assert [name for name, tape in tapes.items() if tape.part == 1] == ([expected["own"]] if expected["own"] else [])
    parts = sorted(tape.part or 0 for tape in tapes.values())
    assert parts == list(range(1, len(tapes) + 1))
    obey(play, "random")
