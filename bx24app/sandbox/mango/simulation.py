"""The call model: what a PBX does with a call, step by step. Notifications, statistics and tapes all come from here.

::

    incoming   menu -> queue -> phones ring -> talk -> end
    outgoing   client's phone rings -> talk -> end
    callback   employee's phone rings -> (leg 1 ends, 1000) -> client's phone rings -> talk -> end
    talk       hold, blind and consultative transfer, transfer to another product; see `transfers`
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
    """A simulation that broke is no running call any more, and says so."""
    call.board.tasks.discard(task)
    call.board.calls.pop(call.entry_id, None)
    call.end_event.set()
    if not task.cancelled() and (error := task.exception()):
        context = {"message": f"the simulated call {call.entry_id} broke", "exception": error}
        asyncio.get_running_loop().call_exception_handler(context)


def incoming(board: Board, plan: Plan | None = None) -> Call:
    """A client calls a line. Returns at once; `await call.task` for the end."""
    call = Call(board, plan or Plan(), INCOMING)
    return _start_call(call, _run_incoming(call))


def outgoing(board: Board, extension: str, plan: Plan | None = None) -> Call:
    """An employee dials `plan.client` on a desk phone."""
    call = Call(board, plan or Plan(), OUTGOING)
    return _start_call(call, _run_outgoing(call, extension))


def internal(board: Board, caller: str, callee: str, plan: Plan | None = None) -> Call:
    """One employee calls another; no tape is made, as in the reference's trace."""
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
    """Both sides are dialled: `first` (an extension or a group), then `plan.client`.

    Args:
        device: ring this device of the employee instead of the default ones.
        name: the command whose outcome is told: `callback` or `callback_group`.
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
    line = pbx.find_line(call.line)
    if line and line.leads_to:
        return line.leads_to
    return pbx.groups[0].extension if pbx.groups else (pbx.employees[0].extension if pbx.employees else "")


async def _ring_in_turn(call: Call, client: Side, parent: str, targets: list[str], signal: Signal | None) -> None:
    """Tries one target after the other: groups through a queue leg, employees directly. A route command leads away."""
    rung = RingResult(signal=signal)
    first: Side = {}
    command_id = ""
    while True:
        if rung.signal and rung.signal.kind == "route":
            targets, parent, command_id = [rung.signal.to], rung.signal.call_id or parent, rung.signal.command_id
        elif rung.signal or not targets:
            break
        target = targets.pop(0)
        rung = await _ring_target(call, client, parent, target, command_id)
        first = first or ({"extension": target} if call.board.pbx.find_group(target) else _summary_side(rung.first_side or {}))
        if rung.leg:
            await run_talk(call, rung.leg)
            return
    await call.conclude_call(rung.reason, {"number": call.plan.client}, first)


async def _ring_target(call: Call, client: Side, parent: str, target: str, command_id: str) -> RingResult:
    group = call.board.pbx.find_group(target)
    line = call.line
    caller = {**client, "taken_from_call_id": parent}
    extra = {"command_id": command_id} if command_id else {}
    if group is None:
        rung = await ring_targets(call, caller, [target], {"line_number": line}, patience=call.plan.patience, extra=extra)
        _connect_winner(call, rung, None)
        return rung
    inside = {"line_number": line, "acd_group": group.extension}
    queue = call.start_leg("queue", caller, {"number": group.extension, **inside}, **extra)
    if call.plan.unavailable or not group.members:
        call.end_leg(queue, call.plan.unavailable or 1164)
        return RingResult(reason=call.plan.unavailable or 1164)
    signal = await call.wait_for_signal(1)
    if signal and signal.kind in ("hangup", "giveup", "route"):
        rung = RingResult(signal=signal, reason=1181 if signal.kind == "hangup" else 1110)
    else:
        rung = await ring_targets(
            call, caller, group.members, inside, patience=call.plan.patience, parallel=group.parallel, extra=extra
        )
    _connect_winner(call, rung, queue)
    return rung


def _connect_winner(call: Call, rung: RingResult, queue: LiveLeg | None) -> None:
    """In the order of the traces: the winner, the queue, the losers, the tape."""
    if rung.leg:
        call.set_leg_state(rung.leg, "Connected")
    if queue:
        call.end_leg(queue, rung.reason)
    for loser in rung.losers:
        call.end_leg(loser, 1183)
    if rung.leg:
        call.mark_talking(rung.leg)


async def run_talk(call: Call, leg: LiveLeg) -> None:
    """The client talks until somebody hangs up; signals of the plan and from outside happen meanwhile."""
    began = call.clock
    planned = sorted(call.plan.signals, key=lambda signal: signal.after)
    first = leg
    while True:
        ahead = (planned[0].after if planned else call.plan.talk) - (call.clock - began)
        signal = await call.wait_for_signal(max(0.0, ahead))
        if signal is None and not planned:
            reason = _hangup_reason(call)
            break
        if signal is None:
            signal = planned.pop(0)
            call.accept_signal(signal)
        if signal.kind in ("hangup", "giveup") and signal.call_id in ("", leg.call_id):
            reason = _hangup_reason(call) if signal.kind == "giveup" else 1181
            break
        after = await transfers.apply_signal(call, leg, signal, incoming)
        if after is None:
            reason = 1110
            break
        leg = after
    named = leg if call.plan.summary_last else first
    call.end_leg(leg, reason)
    await call.conclude_call(reason, *_summary_sides(call, named))


def _hangup_reason(call: Call) -> int:
    """1110 = the caller hangs up, 1120 = the called one."""
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
        for phone in phones:  # only the first notice has nothing but the extension
            phone.sender = caller

    rung = await ring_targets(
        call, {"extension": extension}, [call.plan.client], {}, patience=call.plan.patience, appeared=set_caller
    )
    await _finish_outgoing(call, rung, caller)


async def _finish_outgoing(call: Call, rung: RingResult, caller: Side) -> None:
    """The called side of an outgoing call answered, or did not."""
    if rung.leg:
        call.connect_leg(rung.leg)
        await run_talk(call, rung.leg)
        return
    await call.conclude_call(rung.reason, _summary_side(caller), _summary_side(rung.first_side or {"number": call.plan.client}))


async def _run_internal(call: Call, caller: str, callee: str) -> None:
    call.forwarded_at = call.now
    rung = await ring_targets(call, _employee_side(call, caller, line=False), [callee], {}, patience=call.plan.patience)
    if rung.leg is None:
        await call.conclude_call(rung.reason, _summary_side(_employee_side(call, caller)), _summary_side(rung.first_side or {"extension": callee}))
        return
    call.set_leg_state(rung.leg, "Connected")
    call.answered_at = call.now
    await call.wait_for_signal(call.plan.talk)
    call.end_leg(rung.leg, 1120)
    await call.conclude_call(1120, *_summary_sides(call, rung.leg))


async def _run_callback(call: Call, first: str, command_id: str, initiator: str, device: str, name: str) -> None:
    call.forwarded_at = call.now
    group = call.board.pbx.find_group(first)
    extra = {"command_id": command_id, "callback_initiator": initiator}
    targets = group.members if group else [device or first]
    common = {"acd_group": group.extension} if group else {}

    async def report_accepted(_phones: list[LiveLeg]) -> None:
        call.emit_result(name, command_id)

    rung = await ring_targets(call, {"number": call.plan.client}, list(targets), common, appeared=report_accepted, extra=extra)
    employee = _employee_side(call, rung.leg.extension if rung.leg else first)
    if rung.leg is None:
        await call.conclude_call(rung.reason, _summary_side(employee), {"number": call.plan.client})
        return
    call.set_leg_state(rung.leg, "Connected")
    for loser in rung.losers:
        call.end_leg(loser, 1183)
    employee["number"] = rung.leg.receiver.get("number", "")
    await call.pass_time(1)
    call.end_leg(rung.leg, 1000)
    caller = {**employee, "taken_from_call_id": rung.leg.call_id}
    second = await ring_targets(call, caller, [call.plan.client], {}, patience=call.plan.patience, extra=extra)
    await _finish_outgoing(call, second, caller)
