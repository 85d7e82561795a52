"""The call model: what a PBX does with a call, step by step.

::

    incoming   menu -> queue -> phones ring -> talk -> end
    outgoing   client's phone rings -> talk -> end
    callback   employee's phone rings -> (leg 1 ends, 1000) -> client's phone rings -> talk -> end
    talk       hold, blind and consultative transfer, transfer to another product; see `transfers`

Each step sends the notifications that the real PBX sends, with the reason codes and in the order of its traces.
Statistics and recordings follow from these notifications. The four public functions start a call in the running loop
and return at once; what the people in the call do is in its `Plan`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine

from bx24app.sandbox.mango import transfers
from bx24app.sandbox.mango.board import Board
from bx24app.sandbox.mango.calls import Call, LiveLeg, Side
from bx24app.sandbox.mango.plans import Plan, Signal
from bx24app.sandbox.mango.ringing import RingResult, ring_targets

INCOMING, OUTGOING, INTERNAL = 1, 2, 0


def _start_call(call: Call, steps: Coroutine[None, None, None]) -> Call:
    call.board.calls[call.entry_id] = call
    call.task = asyncio.create_task(steps)
    call.board.tasks.add(call.task)
    call.task.add_done_callback(lambda task: _finish_task(call, task))
    return call


def _finish_task(call: Call, task: asyncio.Task[None]) -> None:
    """Removes an ended call from the running ones. A failed simulation is reported to the loop's exception handler."""
    call.board.tasks.discard(task)
    call.board.calls.pop(call.entry_id, None)
    call.end_event.set()
    if not task.cancelled() and (error := task.exception()):
        context = {"message": f"the simulated call {call.entry_id} failed", "exception": error}
        asyncio.get_running_loop().call_exception_handler(context)


def incoming(board: Board, plan: Plan | None = None) -> Call:
    """A client calls a line. Returns at once; await `call.task` to reach the end."""
    call = Call(board, plan or Plan(), INCOMING)
    return _start_call(call, _run_incoming(call))


def outgoing(board: Board, extension: str, plan: Plan | None = None) -> Call:
    """An employee dials `plan.client` on a desk phone."""
    call = Call(board, plan or Plan(), OUTGOING)
    return _start_call(call, _run_outgoing(call, extension))


def internal(board: Board, caller: str, callee: str, plan: Plan | None = None) -> Call:
    """One employee calls another. Nothing is recorded, as in the reference trace."""
    call = Call(board, plan or Plan(), INTERNAL)
    return _start_call(call, _run_internal(call, caller, callee))


def callback(
    board: Board,
    first: str,
    plan: Plan,
    *,
    command_id: str = "",
    initiator: str = "API",
    device: str = "",
    name: str = "callback",
) -> Call:
    """Dials both sides: first `first` (an extension or a group), then `plan.client`.

    Args:
        device: rings this device of the employee instead of those that are on.
        name: the command whose result is sent: `callback` or `callback_group`.
    """
    call = Call(board, plan, OUTGOING)
    return _start_call(call, _run_callback(call, first, command_id, initiator, device, name))


async def _run_incoming(call: Call) -> None:
    plan, line = call.plan, call.line
    client: Side = {"number": plan.client, "line_number": line}
    parent = ""
    signal: Signal | None = None
    if plan.ivr > 0 or plan.ivr_end:
        menu = call.start_leg("ivr", client, {"number": line, "line_number": line})
        signal = await call.wait_for_signal(plan.ivr)
        parent = menu.call_id
        if plan.ivr_end or (signal and signal.kind in ("hangup", "giveup")):
            call.end_leg(menu, plan.ivr_end or (1110 if signal and signal.kind == "giveup" else 1181))
            await call.conclude_call(plan.ivr_end or 1110, {"number": plan.client}, {})
            return
        call.end_leg(menu, 1100)
    call.forwarded_at = call.now
    targets = list(plan.to) or [_default_target(call)]
    await _ring_in_turn(call, client, parent, targets, signal if signal and signal.kind == "route" else None)


def _default_target(call: Call) -> str:
    pbx = call.board.pbx
    line = pbx.find_line(call.plan.line or pbx.first_line)
    if line and line.leads_to:
        return line.leads_to
    return pbx.groups[0].extension if pbx.groups else (pbx.employees[0].extension if pbx.employees else "")


async def _ring_in_turn(call: Call, client: Side, parent: str, targets: list[str], signal: Signal | None) -> None:
    """Tries one target after the other: groups through a queue leg, employees directly. A route command replaces the
    targets.
    """
    result = RingResult(signal=signal)
    first: Side = {}
    command_id = ""
    while True:
        if result.signal and result.signal.kind == "route":
            targets, parent, command_id = [result.signal.to], result.signal.call_id or parent, result.signal.command_id
        elif result.signal or not targets:
            break
        target = targets.pop(0)
        result = await _ring_target(call, client, parent, target, command_id)
        is_group = call.board.pbx.find_group(target) is not None
        first = first or ({"extension": target} if is_group else _summary_side(result.first_side or {}))
        if result.leg:
            await run_talk(call, result.leg)
            return
    await call.conclude_call(result.reason, {"number": call.plan.client}, first)


async def _ring_target(call: Call, client: Side, parent: str, target: str, command_id: str) -> RingResult:
    group = call.board.pbx.find_group(target)
    line = call.line
    caller = {**client, "taken_from_call_id": parent}
    extra = {"command_id": command_id} if command_id else {}
    if group is None:
        common = {"line_number": line}
        result = await ring_targets(call, caller, [target], common, patience=call.plan.patience, extra=extra)
        _connect_winner(call, result, None)
        return result
    inside = {"line_number": line, "acd_group": group.extension}
    queue = call.start_leg("queue", caller, {"number": group.extension, **inside}, **extra)
    if call.plan.unavailable or not group.members:
        call.end_leg(queue, call.plan.unavailable or 1164)
        return RingResult(reason=call.plan.unavailable or 1164)
    signal = await call.wait_for_signal(1)
    if signal and signal.kind in ("hangup", "giveup", "route"):
        result = RingResult(signal=signal, reason=1181 if signal.kind == "hangup" else 1110)
    else:
        result = await ring_targets(
            call, caller, group.members, inside, patience=call.plan.patience, parallel=group.parallel, extra=extra
        )
    _connect_winner(call, result, queue)
    return result


def _connect_winner(call: Call, result: RingResult, queue: LiveLeg | None) -> None:
    """Sends the changes in the order of the traces: the answering leg, the queue, the other phones, the recording."""
    if result.leg:
        call.set_leg_state(result.leg, "Connected")
    if queue:
        call.end_leg(queue, result.reason)
    for loser in result.losers:
        call.end_leg(loser, 1183)
    if result.leg:
        call.mark_talking(result.leg)


async def run_talk(call: Call, leg: LiveLeg) -> None:
    """The client talks until somebody hangs up. Meanwhile signals of the plan and from outside are carried out."""
    started_at = call.clock
    planned = sorted(call.plan.signals, key=lambda signal: signal.after)
    first = leg
    while True:
        seconds_left = (planned[0].after if planned else call.plan.talk) - (call.clock - started_at)
        signal = await call.wait_for_signal(max(0.0, seconds_left))
        if signal is None and not planned:
            reason = _hangup_reason(call)
            break
        if signal is None:
            signal = planned.pop(0)
            call.accept_signal(signal)
        if signal.kind in ("hangup", "giveup") and signal.call_id in ("", leg.call_id):
            reason = _hangup_reason(call) if signal.kind == "giveup" else 1181
            break
        next_leg = await transfers.apply_signal(call, leg, signal, incoming)
        if next_leg is None:
            reason = 1110
            break
        leg = next_leg
    summary_leg = leg if call.plan.summary_last else first
    call.end_leg(leg, reason)
    await call.conclude_call(reason, *_summary_sides(call, summary_leg))


def _hangup_reason(call: Call) -> int:
    """1110 when the caller hangs up, 1120 when the called party does."""
    outgoing_call = call.direction == OUTGOING
    by_client = call.plan.end_by == "client"
    return 1120 if by_client == outgoing_call else 1110


def _summary_sides(call: Call, leg: LiveLeg) -> tuple[Side, Side]:
    """`from` and `to` of the summary."""
    if call.direction == INCOMING:
        return {"number": call.plan.client}, _summary_side(leg.receiver)
    return _summary_side(leg.sender), _summary_side(leg.receiver)


def _summary_side(side: Side) -> Side:
    return {name: value for name, value in side.items() if name in ("extension", "number")}


def _employee_side(call: Call, extension: str, *, line: bool = True) -> Side:
    person = call.board.pbx.find_employee(extension)
    number = person.devices[0].number if person and person.devices else ""
    return {"extension": extension, "number": number} | ({"line_number": call.line} if line and call.line else {})


async def _run_outgoing(call: Call, extension: str) -> None:
    call.forwarded_at = call.now
    caller = _employee_side(call, extension)

    async def set_caller(phones: list[LiveLeg]) -> None:
        for phone in phones:  # at Mango only the first notification lacks the number and the line
            phone.sender = caller

    result = await ring_targets(
        call, {"extension": extension}, [call.plan.client], {}, patience=call.plan.patience, appeared=set_caller
    )
    await _finish_outgoing(call, result, caller)


async def _finish_outgoing(call: Call, result: RingResult, caller: Side) -> None:
    """Continues an outgoing call after ringing: with the talk, or with the end when nobody answered."""
    if result.leg:
        call.connect_leg(result.leg)
        await run_talk(call, result.leg)
        return
    callee = result.first_side or {"number": call.plan.client}
    await call.conclude_call(result.reason, _summary_side(caller), _summary_side(callee))


async def _run_internal(call: Call, caller: str, callee: str) -> None:
    call.forwarded_at = call.now
    sender = _employee_side(call, caller, line=False)
    result = await ring_targets(call, sender, [callee], {}, patience=call.plan.patience)
    if result.leg is None:
        called = _summary_side(result.first_side or {"extension": callee})
        await call.conclude_call(result.reason, _summary_side(_employee_side(call, caller)), called)
        return
    call.set_leg_state(result.leg, "Connected")
    call.answered_at = call.now
    await call.wait_for_signal(call.plan.talk)
    call.end_leg(result.leg, 1120)
    await call.conclude_call(1120, *_summary_sides(call, result.leg))


async def _run_callback(call: Call, first: str, command_id: str, initiator: str, device: str, name: str) -> None:
    call.forwarded_at = call.now
    group = call.board.pbx.find_group(first)
    extra = {"command_id": command_id, "callback_initiator": initiator}
    targets = group.members if group else [device or first]
    common = {"acd_group": group.extension} if group else {}

    async def report_accepted(_phones: list[LiveLeg]) -> None:
        call.emit_result(name, command_id)

    client = {"number": call.plan.client}
    result = await ring_targets(call, client, list(targets), common, appeared=report_accepted, extra=extra)
    employee = _employee_side(call, result.leg.extension if result.leg else first)
    if result.leg is None:
        await call.conclude_call(result.reason, _summary_side(employee), {"number": call.plan.client})
        return
    call.set_leg_state(result.leg, "Connected")
    for loser in result.losers:
        call.end_leg(loser, 1183)
    employee["number"] = result.leg.receiver.get("number", "")
    await call.pass_time(1)
    call.end_leg(result.leg, 1000)
    caller = {**employee, "taken_from_call_id": result.leg.call_id}
    second = await ring_targets(call, caller, [call.plan.client], {}, patience=call.plan.patience, extra=extra)
    await _finish_outgoing(call, second, caller)
