"""Commands: the answer 1000 means accepted; what becomes of it is told by `result/*` and by the call's own events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bx24app.sandbox.mango import simulation
from bx24app.sandbox.mango.board import Board
from bx24app.sandbox.mango.calls import Call, Live
from bx24app.sandbox.mango.plans import Plan, Signal
from bx24app.sandbox.mango.rest import Refused, need

if TYPE_CHECKING:
    from bx24app.sandbox.mango.cloud import MangoCloud

Answer = dict[str, Any]
ACCEPTED: Answer = {"result": 1000}


def _plan(board: Board, client: str, line: str) -> Plan:
    plan = board.behaviour()
    plan.client, plan.line = client, line
    return plan


async def callback(cloud: MangoCloud, board: Board, body: dict[str, Any]) -> Answer:
    """`commands/callback`: dials the employee, then the number. Asked twice, it dials twice."""
    command_id, sender, number = need(body, "command_id", "from", "to_number")
    if not isinstance(sender, dict):
        raise Refused(3104, "from is an object", field="from")
    (extension,) = need(sender, "extension")
    if board.pbx.employee(str(extension)) is None:
        raise Refused(3330, "no employee with this extension")
    line = _line(board, body)
    cloud.commands.append(("commands/callback", body))
    device = str(sender.get("number") or "")
    simulation.callback(
        board, str(extension), _plan(board, str(number), line), command_id=str(command_id), device=device
    )
    return ACCEPTED


async def callback_group(cloud: MangoCloud, board: Board, body: dict[str, Any]) -> Answer:
    """`commands/callback_group`: `from` and `to` are plain numbers, one of them a group's."""
    command_id, first, second, _ = (str(value) for value in need(body, "command_id", "from", "to", "line_number"))
    if board.pbx.group(first) is None and board.pbx.group(second) is None:
        raise Refused(3330, "neither side is a group")
    line = _line(board, body)
    cloud.commands.append(("commands/callback_group", body))
    plan = _plan(board, second, line)
    simulation.callback(board, first, plan, command_id=command_id, name="callback_group")
    return ACCEPTED


def _line(board: Board, body: dict[str, Any]) -> str:
    line = str(body.get("line_number") or "")
    if line and board.pbx.line(line) is None:
        raise Refused(3330, "no such line")
    return line


def _leg(board: Board, call_id: str) -> tuple[Call, Live]:
    for call in board.calls.values():
        if leg := call.legs.get(call_id):
            if leg.state == "Disconnected":
                break
            return call, leg
    raise Refused(4101, "the call has ended or is unknown")


def _send(cloud: MangoCloud, board: Board, body: dict[str, Any], path: str, signal: Signal, *states: str) -> Answer:
    """Hands a signal to the call of `call_id`, if its leg is in one of the states (`ivr`, `queue` are locations)."""
    call, leg = _leg(board, signal.call_id)
    if states and leg.state not in states and leg.location not in states:
        raise Refused(4100, f"not possible while the leg is {leg.state}")
    cloud.commands.append((path, body))
    call.signals.put_nowait(signal)
    return ACCEPTED


async def hangup(cloud: MangoCloud, board: Board, body: dict[str, Any]) -> Answer:
    """`commands/call/hangup`."""
    command_id, call_id = (str(value) for value in need(body, "command_id", "call_id"))
    return _send(cloud, board, body, "commands/call/hangup", Signal("hangup", call_id=call_id, command_id=command_id))


async def route(cloud: MangoCloud, board: Board, body: dict[str, Any]) -> Answer:
    """`commands/route`: from the menu, the queue, or a ringing telephone."""
    command_id, call_id, to = (str(value) for value in need(body, "command_id", "call_id", "to_number"))
    signal = Signal("route", to=to, call_id=call_id, command_id=command_id)
    return _send(cloud, board, body, "commands/route", signal, "Appeared", "ivr", "queue")


async def transfer(cloud: MangoCloud, board: Board, body: dict[str, Any]) -> Answer:
    """`commands/transfer`: `blind`, or `hold` for a consultative one."""
    command_id, call_id, method, to = (
        str(value) for value in need(body, "command_id", "call_id", "method", "to_number")
    )
    if method not in ("blind", "hold"):
        raise Refused(3104, "method is blind or hold", field="method")
    signal = Signal("blind" if method == "blind" else "consult", to=to, call_id=call_id, command_id=command_id)
    return _send(cloud, board, body, "commands/transfer", signal, "Connected")


async def hold(cloud: MangoCloud, board: Board, body: dict[str, Any]) -> Answer:
    """`commands/call/hold/on`."""
    command_id, call_id = (str(value) for value in need(body, "command_id", "call_id"))
    return _send(
        cloud, board, body, "commands/call/hold/on", Signal("hold", call_id=call_id, command_id=command_id), "Connected"
    )


async def transfer_cancel(cloud: MangoCloud, board: Board, body: dict[str, Any]) -> Answer:
    """`commands/transfer_cancel`: the ringing new leg is given up."""
    command_id, call_id = (str(value) for value in need(body, "command_id", "call_id"))
    answer = _send(cloud, board, body, "commands/transfer_cancel", Signal("hangup", call_id=call_id), "Appeared")
    _leg(board, call_id)[0].result("transfer_cancel", command_id)
    return answer


async def record(cloud: MangoCloud, board: Board, body: dict[str, Any]) -> Answer:
    """`commands/recording/start`."""
    command_id, call_id, party = (str(value) for value in need(body, "command_id", "call_id", "call_party_number"))
    call, leg = _leg(board, call_id)
    person = board.pbx.employee(party)
    if person is None:
        raise Refused(3330, "unknown party")
    if person.extension in call.tapes:
        raise Refused(4102, "already recording")
    if leg.state != "Connected":
        raise Refused(4100, "nobody talks")
    cloud.commands.append(("commands/recording/start", body))
    call.result("recording/start", command_id)
    call.record(leg, person.extension, command_id)
    return ACCEPTED


async def sms(cloud: MangoCloud, board: Board, body: dict[str, Any]) -> Answer:
    """`commands/sms`: always delivered."""
    command_id, _, _, _ = need(body, "command_id", "text", "from_extension", "to_number")
    cloud.commands.append(("commands/sms", body))
    board.emit("result/sms", {"command_id": command_id, "result": 1000})
    return ACCEPTED
