"""What can happen during a talk: hold, transfers inside the product, and transfers to another product.

`simulation.run_talk` calls `apply_signal` for each signal. The legs, their order and their reason codes are those of
Mango's traces.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from bx24app.sandbox.mango.board import Board
from bx24app.sandbox.mango.calls import Call, LiveLeg, Side
from bx24app.sandbox.mango.plans import Plan, Signal
from bx24app.sandbox.mango.ringing import RingResult, ring_targets

IncomingStarter = Callable[[Board, Plan], Call]


async def apply_signal(call: Call, leg: LiveLeg, signal: Signal, incoming: IncomingStarter) -> LiveLeg | None:
    """Applies a signal to the leg on which the client talks.

    Args:
        incoming: starts a call on another product.

    Returns:
        The leg on which the client talks afterwards. None when nobody is left to talk to.
    """
    if signal.kind == "hold":
        call.set_leg_state(leg, "OnHold", to={"hold_initiator": True})
    elif signal.kind == "resume":
        call.set_leg_state(leg, "Connected")
    elif signal.kind == "consult":
        return await _transfer_consult(call, leg, signal)
    elif signal.kind in ("blind", "blind-handset"):
        if other := _other_product(call, signal.to):
            await _transfer_to_product(call, leg, signal, other, incoming)
            return None
        return await _transfer_blind(call, leg, signal)
    return leg


def _client_side(call: Call, leg: LiveLeg) -> Side:
    return {"number": call.plan.client, "taken_from_call_id": leg.call_id, "line_number": call.line}


def _find_targets(call: Call, to: str) -> tuple[list[str], Side]:
    group = call.board.pbx.find_group(to)
    inside: Side = {"line_number": call.line} if call.line else {}
    return (list(group.members), {**inside, "acd_group": to}) if group else ([to], inside)


async def _transfer_blind(call: Call, leg: LiveLeg, signal: Signal) -> LiveLeg | None:
    initiator = leg.extension
    if signal.party:
        call.plan.parties[signal.to] = signal.party
    extra = {"command_id": signal.command_id, "transfer": "blind"}
    targets, inside = _find_targets(call, signal.to)
    if signal.kind == "blind-handset":
        call.set_leg_state(leg, "OnHold", to={"hold_initiator": True})
        result = await _ring_from_handset(call, leg, targets, inside, extra)
    else:
        call.end_leg(leg, 1120, to={"was_transferred": True})
        result = await ring_targets(call, _client_side(call, leg), targets, inside, extra=extra)
    if result.leg:
        return _connect_answered(call, result)
    if result.signal and result.signal.kind == "giveup":
        return None
    inside = _find_targets(call, initiator)[1]
    returned = await ring_targets(
        call, _client_side(call, leg), [initiator], inside, extra={"transfer": "return_blind"}
    )
    return _connect_answered(call, returned) if returned.leg else None


def _connect_answered(call: Call, result: RingResult) -> LiveLeg | None:
    if result.leg:
        call.set_leg_state(result.leg, "Connected")
        for loser in result.losers:
            call.end_leg(loser, 1183)
        call.mark_talking(result.leg)
    return result.leg


async def _ring_from_handset(call: Call, leg: LiveLeg, targets: list[str], inside: Side, extra: Side) -> RingResult:
    """The new leg appears twice: first called by the transferring employee, then by the client (seq 2)."""

    async def change_caller(phones: list[LiveLeg]) -> None:
        await call.pass_time(1)
        call.end_leg(leg, 1120, to={"was_transferred": True})
        for phone in phones:
            phone.sender = _client_side(call, leg)
            call.set_leg_state(phone, "Appeared")

    return await ring_targets(call, _colleague_side(leg), targets, inside, appeared=change_caller, extra=extra)


def _colleague_side(leg: LiveLeg) -> Side:
    """The employee of a leg, as the caller of another leg."""
    return {"extension": leg.extension, "number": leg.receiver.get("number", ""), "taken_from_call_id": leg.call_id}


async def _transfer_consult(call: Call, leg: LiveLeg, signal: Signal) -> LiveLeg | None:
    """The employee first talks to the colleague. When the employee hangs up, the client goes on on the colleague's leg.
    """
    if signal.party:
        call.plan.parties[signal.to] = signal.party
    initiator = leg.extension
    call.set_leg_state(leg, "OnHold", to={"hold_initiator": True})
    await call.pass_time(1)
    targets, _ = _find_targets(call, signal.to)
    extra = {"command_id": signal.command_id, "transfer": "consultative"}
    result = await ring_targets(call, _colleague_side(leg), targets, {}, extra=extra)
    if result.signal and result.signal.kind == "giveup":
        return None
    if result.leg is None:
        call.set_leg_state(leg, "Connected")
        return leg
    call.set_leg_state(result.leg, "Connected")
    for loser in result.losers:
        call.end_leg(loser, 1183)
    call.continue_recording(initiator, result.leg)
    call.start_recording(result.leg, result.leg.extension)
    await call.pass_time(signal.talk)
    if not signal.complete:
        call.end_leg(result.leg, 1120)
        call.set_leg_state(leg, "Connected")
        call.start_recording(leg, initiator)
        return leg
    call.end_leg(leg, 1120)
    if recording := call.running_recordings.get(initiator):
        call.stop_recording(recording)
    result.leg.sender = _client_side(call, leg)
    call.set_leg_state(result.leg, "Connected")
    call.mark_talking(result.leg)
    return result.leg


def _other_product(call: Call, number: str) -> Board | None:
    return next((board for board in call.board.other_boards() if board.pbx.find_line(number)), None)


async def _transfer_to_product(
    call: Call, leg: LiveLeg, signal: Signal, other: Board, incoming: IncomingStarter
) -> None:
    """Transfers to the line of another product, where the call becomes an entry of its own with the client's number."""
    own = call.plan
    plan = Plan(
        client=own.client, line=signal.to, ivr=0, talk=max(2.0, signal.talk), speed=own.speed,
        parties=dict(own.parties), others=own.others, record_delay=own.record_delay, end_by=own.end_by,
    )  # fmt: skip
    if signal.party:
        plan.others = signal.party
    call.end_leg(leg, 1120, to={"was_transferred": True})
    if signal.redirect:
        plan.start = call.clock + signal.gap
        call.schedule_action(signal.gap, lambda: incoming(other, plan))
        return
    plan.start = call.clock
    branch = call.start_leg(
        "abonent", _client_side(call, leg), {"number": signal.to}, transfer="blind", command_id=signal.command_id
    )
    second = incoming(other, plan)
    answered = asyncio.ensure_future(second.talk_event.wait())
    ended = asyncio.ensure_future(second.end_event.wait())
    await asyncio.wait((answered, ended), return_when=asyncio.FIRST_COMPLETED)
    answered.cancel()
    call.clock = max(call.clock, float(second.answered_at))
    if second.answered_at:
        call.connect_leg(branch)
    await ended
    call.clock = max(call.clock, second.clock)
    call.end_leg(branch, 1110 if second.answered_at else 1111)
