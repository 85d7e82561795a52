"""Calls at the push of a button: the scenarios that the PBX page and the control API offer besides the ready sequences.

Each scenario chooses the employees, makes a `Plan` and starts the simulated call. Adding one to `SCENARIOS` puts its
button on the page.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bx24app.sandbox.mango import simulation
from bx24app.sandbox.mango.board import Board
from bx24app.sandbox.mango.calls import Call
from bx24app.sandbox.mango.model import Employee
from bx24app.sandbox.mango.plans import NO_ANSWER, OFFLINE, Party, Plan, Signal


@dataclass(frozen=True)
class ScenarioRequest:
    """Who calls which line, and how fast. Empty fields are chosen by the scenario."""

    client: str = "79161234567"
    line: str = ""
    extension: str = ""
    speed: float = 1.0


@dataclass(frozen=True)
class Scenario:
    """A button: its title, what happens in the call, and the function that starts it. `is_primary`: shown among the
    first.
    """

    title: str
    story: str
    start: Callable[[Board, ScenarioRequest], list[Call]]
    is_primary: bool = False


def _choose_employees(board: Board, request: ScenarioRequest) -> list[Employee]:
    """The employees with an extension: the requested one first, then those who ring for the line."""
    pbx = board.pbx
    line = pbx.find_line(request.line)
    group = pbx.find_group(line.leads_to if line else "") or (pbx.groups[0] if pbx.groups else None)
    order = [request.extension, *(group.members if group else []), *(person.extension for person in pbx.employees)]
    people = [person for name in dict.fromkeys(order) if name and (person := pbx.find_employee(name))]
    if len(people) < 2:
        raise ValueError(f"{pbx.name} needs two employees with an extension")
    return people


def _make_plan(request: ScenarioRequest, **fields: object) -> Plan:
    plan = Plan(client=request.client, line=request.line, speed=request.speed)
    for name, value in fields.items():
        setattr(plan, name, value)
    return plan


def _start_answered(board: Board, request: ScenarioRequest) -> list[Call]:
    first = _choose_employees(board, request)[0]
    parties = {first.extension: Party(4)}
    return [simulation.incoming(board, _make_plan(request, parties=parties, others=NO_ANSWER, talk=15))]


def _start_missed(board: Board, request: ScenarioRequest) -> list[Call]:
    offline = _choose_employees(board, request)[1].extension
    plan = _make_plan(request, others=NO_ANSWER, patience=12, parties={offline: OFFLINE})
    return [simulation.incoming(board, plan)]


def _start_menu(board: Board, request: ScenarioRequest) -> list[Call]:
    return [simulation.incoming(board, _make_plan(request, ivr=6, ivr_end=1170))]


def _start_unavailable(board: Board, request: ScenarioRequest) -> list[Call]:
    return [simulation.incoming(board, _make_plan(request, unavailable=1164))]


def _transfer_starter(kind: str, **signal: object) -> Callable[[Board, ScenarioRequest], list[Call]]:
    def start_transfer(board: Board, request: ScenarioRequest) -> list[Call]:
        first, second = (person.extension for person in _choose_employees(board, request)[:2])
        silent = bool(signal.get("silent"))
        party = Party(None, 8) if silent else Party(4)
        move = Signal(kind, after=8, to=second, talk=6, party=party, complete=not signal.get("declined"))
        plan = _make_plan(request, parties={first: Party(3)}, others=NO_ANSWER, talk=40, signals=[move])
        return [simulation.incoming(board, plan)]

    return start_transfer


def _start_outgoing(board: Board, request: ScenarioRequest) -> list[Call]:
    caller = _choose_employees(board, request)[0].extension
    return [simulation.outgoing(board, caller, _make_plan(request, others=Party(5), talk=15))]


def _start_outgoing_missed(board: Board, request: ScenarioRequest) -> list[Call]:
    caller = _choose_employees(board, request)[0].extension
    return [simulation.outgoing(board, caller, _make_plan(request, others=Party(None, 12, 1121)))]


def _start_click(board: Board, request: ScenarioRequest) -> list[Call]:
    """Clicks on the number in the portal. The portal asks the app, and the app orders the call at this PBX."""
    if board.portal_click is None:
        return _start_callback(board, request)
    board.plan = _make_plan(request, parties={request.client: Party(5)}, others=Party(3), talk=15)
    board.portal_click(_choose_employees(board, request)[0].extension, request.client, request.line)
    return []


def _start_callback(board: Board, request: ScenarioRequest) -> list[Call]:
    plan = _make_plan(request, parties={request.client: Party(5)}, others=Party(3), talk=15)
    extension = _choose_employees(board, request)[0].extension
    return [simulation.callback(board, extension, plan, command_id=f"pbx-{board.ids.next_entry_id()}")]


def _start_internal(board: Board, request: ScenarioRequest) -> list[Call]:
    first, second = (person.extension for person in _choose_employees(board, request)[:2])
    return [simulation.internal(board, first, second, _make_plan(request, talk=10))]


def _start_anonymous(board: Board, request: ScenarioRequest) -> list[Call]:
    return _start_answered(board, ScenarioRequest("", request.line, request.extension, request.speed))


def _other_offices(board: Board) -> list[Board]:
    """The other products that can be called.

    Raises:
        ValueError: there are none, or one of the products has no address to send notifications to.
    """
    others = [other for other in board.other_boards() if other.pbx.lines]
    if not others:
        raise ValueError("another PBX with a line is needed")
    silent = [one.pbx.name for one in (board, *others) if not one.pbx.hook_url]
    if silent:
        names = ", ".join(silent)
        raise ValueError(f"connect these first, so that the app receives their notifications: {names}")
    return others


def _start_offices(board: Board, request: ScenarioRequest) -> list[Call]:
    """A call to this office that a second office takes over, and a call that a third office misses."""
    others = _other_offices(board)
    first = _choose_employees(board, request)[0].extension
    move = Signal("blind", after=8, to=others[0].pbx.lines[0].number, talk=15, party=Party(4))
    plan = _make_plan(request, parties={first: Party(3)}, others=NO_ANSWER, talk=60, signals=[move])
    calls = [simulation.incoming(board, plan)]
    if len(others) > 1:
        third = ScenarioRequest("79035550199", "", "", request.speed)
        calls.append(simulation.incoming(others[1], _make_plan(third, others=NO_ANSWER, patience=10)))
    return calls


def _start_redirected(board: Board, request: ScenarioRequest) -> list[Call]:
    others = _other_offices(board)[:1]
    first = _choose_employees(board, request)[0].extension
    move = Signal("blind", after=8, to=others[0].pbx.lines[0].number, talk=15, party=Party(4), redirect=True, gap=3)
    plan = _make_plan(request, parties={first: Party(3)}, others=NO_ANSWER, talk=60, signals=[move])
    return [simulation.incoming(board, plan)]


_start_transfer, _start_consult = _transfer_starter("blind"), _transfer_starter("consult")
SCENARIOS: dict[str, Scenario] = {
    "incoming": Scenario(
        "Incoming call", "A group rings, one answers, it is recorded", _start_answered, is_primary=True
    ),
    "missed": Scenario(
        "Missed call", "A group rings, one phone is off, the caller gives up", _start_missed, is_primary=True
    ),
    "transfer": Scenario("Transfer", "The client is handed to a colleague", _start_transfer, is_primary=True),
    "click": Scenario(
        "Click-to-call", "An employee clicks on the number in the portal", _start_click, is_primary=True
    ),
    "offices": Scenario(
        "Three offices", "Another office takes the call over; a third one misses a call", _start_offices,
        is_primary=True,
    ),
    "menu": Scenario("Lost in the menu", "The caller never leaves the voice menu", _start_menu),
    "unavailable": Scenario("Nobody available", "All operators unavailable (1164)", _start_unavailable),
    "outgoing": Scenario("Outgoing call", "From a desk phone, answered", _start_outgoing),
    "outgoing-missed": Scenario("Outgoing, busy", "From a desk phone, the client is busy", _start_outgoing_missed),
    "ordered": Scenario(
        "Callback, other system", "Ordered at the PBX by something else: employee first, then client", _start_callback
    ),
    "handset": Scenario(
        "Transfer, handset", "Blind transfer from the phone's own keys", _transfer_starter("blind-handset")
    ),
    "consult": Scenario("Warm transfer", "The colleague is asked first", _start_consult),
    "returned": Scenario(
        "Returned transfer", "The colleague does not answer, the call comes back", _transfer_starter("blind", silent=1)
    ),
    "declined": Scenario(
        "Declined transfer", "The colleague is asked and declines", _transfer_starter("consult", declined=1)
    ),
    "redirected": Scenario(
        "Office redirect", "The first entry ends, the other office's begins 3 s later", _start_redirected
    ),
    "internal": Scenario("Internal call", "Between two employees", _start_internal),
    "anonymous": Scenario("Hidden number", "The caller shows no number", _start_anonymous),
}


def start_scenario(board: Board, name: str, request: ScenarioRequest) -> list[Call]:
    """Starts a scenario and returns its calls.

    Raises:
        KeyError: there is no scenario of this name.
        ValueError: the PBX lacks what the scenario needs.
    """
    return SCENARIOS[name].start(board, request)
