"""Random calls for property tests and stress tests, drawn with hypothesis from the model of the PBX.

`days` and `single` are the strategies: each gives a `Day` with settings and calls. The functions above them draw the
parts of one call.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from tests.support.offices import OFFICES, Known, Ways
from tests.support.pbx_model import Leg, Scene


def incoming(draw: st.DrawFn, scene: Scene) -> None:
    """A client calls: an optional menu, rounds that nobody answers, and an optional talk with transfers."""
    parent = scene.ivr() if draw(st.booleans()) else None
    scene.wait(draw(st.integers(0, 5)))
    for _ in range(draw(st.integers(0, 2))):
        queue = scene.queue(parent) if scene.overflow else None
        ringing = scene.ring(draw(some(scene)), parent, draw(st.booleans()))
        scene.wait(15)
        for leg, caller, callee in ringing:
            scene.hang_up(leg, caller, callee, draw(st.sampled_from([1111, 1131, 1183])))
        if queue:
            scene.leave(queue, 1100)
            scene.rounds += 1
    if draw(st.booleans()):
        answer(draw, scene, parent)
    scene.summary()


def some(scene: Scene) -> st.SearchStrategy[list[str]]:
    """Which extensions ring; one that appears twice stands for a person with two devices."""
    return st.lists(st.sampled_from(scene.extensions), min_size=1, max_size=3)


def answer(draw: st.DrawFn, scene: Scene, parent: Leg | None) -> None:
    queue = scene.queue(parent) if scene.overflow else None
    ringing = scene.ring(draw(some(scene)), parent, True)
    scene.wait(draw(st.integers(1, 20)))
    if queue:
        scene.leave(queue, 1100)
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
    scene.send(leg, "OnHold", "abonent", caller, callee)
    scene.wait(draw(st.integers(1, 30)))
    scene.send(leg, "Connected", "abonent", caller, callee)
    return leg, caller, callee


def another(draw: st.DrawFn, scene: Scene, leg: Leg) -> str:
    return draw(st.sampled_from([extension for extension in scene.extensions if extension != leg.owner]))


def blind(draw: st.DrawFn, scene: Scene, leg: Leg, caller: Side, callee: Side) -> tuple[Leg, Side, Side]:
    scene.hang_up(leg, caller, {**callee, "was_transferred": True}, 1120)
    [(new, its_caller, its_callee)] = scene.ring([another(draw, scene, leg)], leg, False)
    scene.wait(draw(st.integers(1, 15)))
    scene.connect(new, its_caller, its_callee, transfer="blind")
    return new, its_caller, its_callee


def returned(draw: st.DrawFn, scene: Scene, leg: Leg, caller: Side, callee: Side) -> tuple[Leg, Side, Side]:
    """A blind transfer that nobody answers returns to the sender."""
    scene.hang_up(leg, caller, {**callee, "was_transferred": True}, 1120)
    [(tried, its_caller, its_callee)] = scene.ring([another(draw, scene, leg)], leg, False)
    scene.wait(20)
    scene.hang_up(tried, its_caller, its_callee, 1111)
    [(back, its_caller, its_callee)] = scene.ring([str(leg.owner)], leg, False)
    scene.wait(3)
    scene.connect(back, its_caller, its_callee, transfer="return_blind")
    return back, its_caller, its_callee


def handset(draw: st.DrawFn, scene: Scene, leg: Leg, caller: Side, callee: Side) -> tuple[Leg, Side, Side]:
    """A blind transfer from the handset: the second leg appears twice, from the colleague and then from the client."""
    scene.send(leg, "OnHold", "abonent", caller, callee)
    extension = another(draw, scene, leg)
    new, target = scene.leg(extension), scene.employee(extension)
    scene.send(new, "Appeared", "abonent", {**scene.employee(str(leg.owner)), "taken_from_call_id": leg.id}, target)
    scene.hang_up(leg, caller, callee, 1120)
    scene.send(new, "Appeared", "abonent", scene.client(leg), target)
    scene.rung.append(extension)
    scene.wait(draw(st.integers(1, 15)))
    scene.connect(new, scene.client(leg), target)
    return new, scene.client(leg), target


def consult(draw: st.DrawFn, scene: Scene, leg: Leg, caller: Side, callee: Side) -> tuple[Leg, Side, Side]:
    """A consultative transfer: the leg of the consultation is reused for the talk with the client."""
    scene.send(leg, "OnHold", "abonent", caller, callee)
    extension = another(draw, scene, leg)
    new, target = scene.leg(extension), scene.employee(extension)
    colleague = {**scene.employee(str(leg.owner)), "taken_from_call_id": leg.id}
    scene.send(new, "Appeared", "abonent", colleague, target)
    scene.wait(5)
    scene.send(new, "Connected", "abonent", colleague, target)
    scene.wait(draw(st.integers(1, 20)))
    scene.hang_up(leg, caller, callee, 1120)
    scene.connect(new, scene.client(leg), target, transfer="consultative")
    return new, scene.client(leg), target


def outgoing(draw: st.DrawFn, scene: Scene) -> None:
    """An employee calls a client from a desk phone."""
    scene.direction = 2
    extension = draw(st.sampled_from(scene.extensions))
    leg = scene.leg(extension)
    caller, callee = scene.dialling(extension)
    scene.rung.append(extension)
    scene.send(leg, "Appeared", "abonent", caller, callee)
    scene.wait(draw(st.integers(1, 30)))
    reasons = [1110, 1111, 1121, 1122, 1131, 1133, 2211]
    if draw(st.booleans()):
        reasons = [1110, 1120]
        scene.connect(leg, caller, callee)
        scene.wait(draw(st.integers(1, 90)))
    scene.hang_up(leg, caller, callee, draw(st.sampled_from(reasons)))
    scene.summary()


def internal(draw: st.DrawFn, scene: Scene) -> None:
    """A call between two employees."""
    scene.direction = 0
    first, second = draw(st.lists(st.sampled_from(scene.extensions), min_size=2, max_size=2, unique=True))
    scene.rung.append(first)
    leg = scene.leg()
    caller, callee = ({**scene.employee(name)} for name in (first, second))
    del caller["line_number"], callee["line_number"]
    scene.send(leg, "Appeared", "abonent", caller, callee)
    scene.wait(draw(st.integers(1, 20)))
    if draw(st.booleans()):
        scene.send(leg, "Connected", "abonent", caller, callee)
        scene.talk_at = scene.now
        scene.wait(draw(st.integers(1, 60)))
    scene.hang_up(leg, caller, callee, 1120)
    scene.summary(to=callee)


@dataclass(frozen=True)
class DrawnCall:
    """One call of a day: the scene, the client's record before the call, and the notifications in order of arrival."""

    scene: Scene
    known: Known | None
    arrivals: list[tuple[str, dict[str, Any]]]


@dataclass(frozen=True)
class Day:
    """Calls of all three PBXs with the same settings."""

    ways: Ways
    calls: list[DrawnCall]

    def _repr_pretty_(self, printer: Any, _cycle: bool) -> None:
        """Short text for hypothesis: the test itself reports the wrong calls."""
        printer.text(f"<{len(self.calls)} calls under {self.ways}>")


_days, _clients = itertools.count(1), itertools.count(1)


WAYS = st.builds(
    Ways,
    answered=st.sampled_from(["lead", "contact", "nothing"]),
    missed=st.sampled_from(["activity", "lead", "nothing"]),
    outgoing=st.sampled_from(["lead", "contact", "nothing"]),
    transfer_responsible=st.sampled_from(["created", "always", "never"]),
    card=st.sampled_from(["ring", "answer", "never"]),
    hidden_number=st.sampled_from(["placeholder", "skip"]),
    internal_calls=st.sampled_from(["log", "skip"]),
    simple_crm=st.booleans(),
)
KINDS = st.sampled_from([incoming, incoming, incoming, outgoing, internal])


@st.composite
def days(draw: st.DrawFn, least: int, most: int) -> Day:
    """A day with new ids: entry ids repeat across the PBXs but not across days, and every client calls once."""
    day = next(_days)
    kinds = draw(st.lists(KINDS, min_size=least, max_size=most))
    return Day(draw(WAYS), [_draw_call(draw, kind, day, number) for number, kind in enumerate(kinds)])


@st.composite
def single(draw: st.DrawFn) -> Day:
    """A day with one call on any of the PBXs."""
    return Day(draw(WAYS), [_draw_call(draw, draw(KINDS), next(_days), draw(st.integers(0, len(OFFICES) - 1)))])


def _draw_call(draw: st.DrawFn, kind: Callable[[st.DrawFn, Scene], None], day: int, number: int) -> DrawnCall:
    office = OFFICES[number % len(OFFICES)]
    client: str | None = f"7916{next(_clients):07d}"
    lines = [*office.lines, *office.unnamed]
    line, line_named = draw(st.sampled_from(lines)), True
    known = draw(st.none() | st.builds(Known, st.sampled_from(["lead", "contact"]), st.sampled_from([1, 41])))
    if kind is outgoing and not draw(st.booleans()):
        # Mango names the line only when the call is answered; until then the app assumes the PBX's first line.
        line, line_named = lines[0], False
    if kind is incoming and draw(st.integers(0, 7)) == 7:
        client = known = None
    scene = Scene(
        office, line, client, f"day{day}n{number // len(OFFICES)}", int(time.time()) - 600,
        overflow=draw(st.booleans()), line_named=line_named,
    )  # fmt: skip
    kind(draw, scene)
    doubled = scene.sent + draw(st.lists(st.sampled_from(scene.sent), max_size=4))
    return DrawnCall(scene, None if kind is internal else known, _stored_late(draw(st.permutations(doubled))))


def _stored_late(arrivals: list[tuple[str, dict[str, Any]]]) -> list[tuple[str, dict[str, Any]]]:
    """Put the notifications of stored files last: Mango sends them a minute after the recording itself.

    By such a notification alone the app cannot know whose recording it is. The weather tests cover the other order.
    """
    added = [notice for notice in arrivals if notice[0] == "events/record/added"]
    return [notice for notice in arrivals if notice[0] != "events/record/added"] + added
