"""The REST commands: callbacks, routing, transfers, hold, recording and SMS.

Result 1000 means that a command was accepted. Its outcome follows as a `result/*` notification and as events of the
call. A command for a call becomes a `Signal` that the simulated call carries out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bx24app.sandbox.mango import simulation
from bx24app.sandbox.mango.board import Board
from bx24app.sandbox.mango.calls import Call, LiveLeg
from bx24app.sandbox.mango.model import Trunk
from bx24app.sandbox.mango.plans import Plan, Signal
from bx24app.sandbox.mango.rest import RequestRefused, require_fields

if TYPE_CHECKING:
    from bx24app.sandbox.mango.cloud import MangoCloud

CommandAnswer = dict[str, Any]
ACCEPTED_ANSWER: CommandAnswer = {"result": 1000}
GREETING_SECONDS = 5
"""The shortest greeting of a menu out of which a call can be routed."""


def _make_plan(board: Board, client: str, line: str) -> Plan:
    plan = board.copy_plan()
    plan.client, plan.line = client, line
    return plan


async def order_callback(cloud: MangoCloud, board: Board, body: dict[str, Any]) -> CommandAnswer:
    """`commands/callback`: dials the employee, then the number. The same command sent twice dials twice."""
    command_id, sender, number = require_fields(body, "command_id", "from", "to_number")
    if not isinstance(sender, dict):
        raise RequestRefused(3104, "from is an object", field="from")
    (extension,) = require_fields(sender, "extension")
    if board.pbx.find_employee(str(extension)) is None:
        raise RequestRefused(3330, "no employee with this extension")
    line = _require_line(board, body)
    cloud.commands.append(("commands/callback", body))
    device = str(sender.get("number") or "")
    simulation.callback(
        board, str(extension), _make_plan(board, str(number), line), command_id=str(command_id), device=device
    )
    return ACCEPTED_ANSWER


async def order_group_callback(cloud: MangoCloud, board: Board, body: dict[str, Any]) -> CommandAnswer:
    """`commands/callback_group`: `from` and `to` are plain numbers, and one of them is a group's."""
    fields = require_fields(body, "command_id", "from", "to", "line_number")
    command_id, first, second, _ = (str(value) for value in fields)
    if board.pbx.find_group(first) is None and board.pbx.find_group(second) is None:
        raise RequestRefused(3330, "neither side is a group")
    line = _require_line(board, body)
    cloud.commands.append(("commands/callback_group", body))
    plan = _make_plan(board, second, line)
    simulation.callback(board, first, plan, command_id=command_id, name="callback_group")
    return ACCEPTED_ANSWER


def _require_line(board: Board, body: dict[str, Any]) -> str:
    named = str(body.get("line_number") or "")
    if not named:
        return ""
    line = board.pbx.find_outgoing_line(named)
    if line is None:
        raise RequestRefused(3330, "no such line")
    if isinstance(line, Trunk) and not line.options & 4:
        raise RequestRefused(3100, "calls cannot leave by this trunk")
    return line.number


def _find_leg(board: Board, call_id: str) -> tuple[Call, LiveLeg]:
    for call in board.calls.values():
        if leg := call.legs.get(call_id):
            if leg.state == "Disconnected":
                break
            return call, leg
    raise RequestRefused(4101, "the call has ended or is unknown")


def _send_signal(
    cloud: MangoCloud, board: Board, body: dict[str, Any], path: str, signal: Signal, *states: str
) -> CommandAnswer:
    """Passes a signal to the call of `call_id` if its leg is in one of the states or locations (`ivr`, `queue`)."""
    call, leg = _find_leg(board, signal.call_id)
    if states and leg.state not in states and leg.location not in states:
        raise RequestRefused(4100, f"not possible while the leg is {leg.state}")
    cloud.commands.append((path, body))
    call.signals.put_nowait(signal)
    return ACCEPTED_ANSWER


async def hang_up(cloud: MangoCloud, board: Board, body: dict[str, Any]) -> CommandAnswer:
    """`commands/call/hangup`."""
    command_id, call_id = (str(value) for value in require_fields(body, "command_id", "call_id"))
    signal = Signal("hangup", call_id=call_id, command_id=command_id)
    return _send_signal(cloud, board, body, "commands/call/hangup", signal)


async def route_call(cloud: MangoCloud, board: Board, body: dict[str, Any]) -> CommandAnswer:
    """`commands/route`: from a menu whose greeting is waited for, the queue or a ringing phone (D26, 3.2.7). Mango's
    manual of its own app (56, 59) asks for a greeting of 5 s; in a shorter menu the call moves on by itself."""
    command_id, call_id, to = (str(value) for value in require_fields(body, "command_id", "call_id", "to_number"))
    call, leg = _find_leg(board, call_id)
    if leg.location == "ivr" and not (call.plan.greeting_waits and call.plan.ivr >= GREETING_SECONDS):
        if board.refuses_routes_by_result:
            cloud.commands.append(("commands/route", body))
            call.emit_result("route", command_id, 4100)
            return ACCEPTED_ANSWER
        raise RequestRefused(4100, "the greeting is too short or is not waited for")
    signal = Signal("route", to=to, call_id=call_id, command_id=command_id)
    return _send_signal(cloud, board, body, "commands/route", signal, "Appeared", "ivr", "queue")


async def transfer_call(cloud: MangoCloud, board: Board, body: dict[str, Any]) -> CommandAnswer:
    """`commands/transfer`: `blind`, or `hold` for a consultative transfer."""
    command_id, call_id, method, to = (
        str(value) for value in require_fields(body, "command_id", "call_id", "method", "to_number")
    )
    if method not in ("blind", "hold"):
        raise RequestRefused(3104, "method is blind or hold", field="method")
    signal = Signal("blind" if method == "blind" else "consult", to=to, call_id=call_id, command_id=command_id)
    return _send_signal(cloud, board, body, "commands/transfer", signal, "Connected")


async def hold_call(cloud: MangoCloud, board: Board, body: dict[str, Any]) -> CommandAnswer:
    """`commands/call/hold/on`."""
    command_id, call_id = (str(value) for value in require_fields(body, "command_id", "call_id"))
    signal = Signal("hold", call_id=call_id, command_id=command_id)
    return _send_signal(cloud, board, body, "commands/call/hold/on", signal, "Connected")


async def cancel_transfer(cloud: MangoCloud, board: Board, body: dict[str, Any]) -> CommandAnswer:
    """`commands/transfer_cancel`: the new leg stops ringing."""
    command_id, call_id = (str(value) for value in require_fields(body, "command_id", "call_id"))
    answer = _send_signal(cloud, board, body, "commands/transfer_cancel", Signal("hangup", call_id=call_id), "Appeared")
    _find_leg(board, call_id)[0].emit_result("transfer_cancel", command_id)
    return answer


async def start_recording(cloud: MangoCloud, board: Board, body: dict[str, Any]) -> CommandAnswer:
    """`commands/recording/start`."""
    fields = require_fields(body, "command_id", "call_id", "call_party_number")
    command_id, call_id, party = (str(value) for value in fields)
    call, leg = _find_leg(board, call_id)
    person = board.pbx.find_employee(party)
    if person is None:
        raise RequestRefused(3330, "unknown party")
    if person.extension in call.running_recordings:
        raise RequestRefused(4102, "already recording")
    if leg.state != "Connected":
        raise RequestRefused(4100, "nobody talks")
    cloud.commands.append(("commands/recording/start", body))
    call.emit_result("recording/start", command_id)
    call.start_recording(leg, person.extension, command_id)
    return ACCEPTED_ANSWER


async def send_sms(cloud: MangoCloud, board: Board, body: dict[str, Any]) -> CommandAnswer:
    """`commands/sms`: always reported as delivered."""
    command_id, _, _, _ = require_fields(body, "command_id", "text", "from_extension", "to_number")
    cloud.commands.append(("commands/sms", body))
    board.emit_notification("result/sms", {"command_id": command_id, "result": 1000})
    return ACCEPTED_ANSWER
