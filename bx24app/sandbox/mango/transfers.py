"""What may happen during a talk: hold, transfers inside the product, transfers to another product."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from bx24app.sandbox.mango.board import Board
from bx24app.sandbox.mango.calls import Call, Live, Side
from bx24app.sandbox.mango.plans import Plan, Signal
from bx24app.sandbox.mango.ringing import Rung, ring

Incoming = Callable[[Board, Plan], Call]


async def happen(call: Call, leg: Live, signal: Signal, incoming: Incoming) -> Live | None:
    """Lets a signal happen to the leg on which the client talks; `incoming` begins a call on another product.

    Returns:
        The leg on which the client talks afterwards; None when the client is left with nobody.
    """
    if signal.kind == "hold":
        call.tell(leg, "OnHold", to={"hold_initiator": True})
    elif signal.kind == "resume":
        call.tell(leg, "Connected")
    elif signal.kind == "consult":
        return await _consult(call, leg, signal)
    elif signal.kind in ("blind", "blind-handset"):
        if other := _other_product(call, signal.to):
            await _to_product(call, leg, signal, other, incoming)
            return None
        return await _blind(call, leg, signal)
    return leg


def _client(call: Call, leg: Live) -> Side:
    return {"number": call.plan.client, "taken_from_call_id": leg.call_id, "line_number": call.line}


def _targets(call: Call, to: str) -> tuple[list[str], Side]:
    group = call.board.pbx.group(to)
    inside: Side = {"line_number": call.line} if call.line else {}
    return (list(group.members), {**inside, "acd_group": to}) if group else ([to], inside)


async def _blind(call: Call, leg: Live, signal: Signal) -> Live | None:
    initiator = leg.extension
    if signal.party:
        call.plan.parties[signal.to] = signal.party
    extra = {"command_id": signal.command_id, "transfer": "blind"}
    targets, inside = _targets(call, signal.to)
    if signal.kind == "blind-handset":
        call.tell(leg, "OnHold", to={"hold_initiator": True})
        rung = await _from_handset(call, leg, targets, inside, extra)
    else:
        call.end(leg, 1120, to={"was_transferred": True})
        rung = await ring(call, _client(call, leg), targets, inside, extra=extra)
    if rung.leg:
        return _taken(call, rung)
    if rung.signal and rung.signal.kind == "giveup":
        return None
    back = await ring(
        call, _client(call, leg), [initiator], _targets(call, initiator)[1], extra={"transfer": "return_blind"}
    )
    return _taken(call, back) if back.leg else None


def _taken(call: Call, rung: Rung) -> Live | None:
    if rung.leg:
        call.tell(rung.leg, "Connected")
        for loser in rung.losers:
            call.end(loser, 1183)
        call.talks(rung.leg)
    return rung.leg


async def _from_handset(call: Call, leg: Live, targets: list[str], inside: Side, extra: Side) -> Rung:
    """The new leg appears twice: first called by the transferring employee, then by the client (seq 2)."""

    async def change_caller(phones: list[Live]) -> None:
        await call.pause(1)
        call.end(leg, 1120, to={"was_transferred": True})
        for phone in phones:
            phone.sender = _client(call, leg)
            call.tell(phone, "Appeared")

    return await ring(call, _colleague(leg), targets, inside, appeared=change_caller, extra=extra)


def _colleague(leg: Live) -> Side:
    """The employee of a leg as the caller of another leg."""
    return {"extension": leg.extension, "number": leg.receiver.get("number", ""), "taken_from_call_id": leg.call_id}


async def _consult(call: Call, leg: Live, signal: Signal) -> Live | None:
    """The colleague is asked first; completed by the initiator's hanging up, the consultation's leg is used further."""
    if signal.party:
        call.plan.parties[signal.to] = signal.party
    initiator = leg.extension
    call.tell(leg, "OnHold", to={"hold_initiator": True})
    await call.pause(1)
    targets, _ = _targets(call, signal.to)
    extra = {"command_id": signal.command_id, "transfer": "consultative"}
    rung = await ring(call, _colleague(leg), targets, {}, extra=extra)
    if rung.signal and rung.signal.kind == "giveup":
        return None
    if rung.leg is None:
        call.tell(leg, "Connected")
        return leg
    call.tell(rung.leg, "Connected")
    for loser in rung.losers:
        call.end(loser, 1183)
    call.carry_on(initiator, rung.leg)
    call.record(rung.leg, rung.leg.extension)
    await call.pause(signal.talk)
    if not signal.complete:
        call.end(rung.leg, 1120)
        call.tell(leg, "Connected")
        call.record(leg, initiator)
        return leg
    call.end(leg, 1120)
    if tape := call.tapes.get(initiator):
        call.stop(tape)
    rung.leg.sender = _client(call, leg)
    call.tell(rung.leg, "Connected")
    call.talks(rung.leg)
    return rung.leg


def _other_product(call: Call, number: str) -> Board | None:
    return next((board for board in call.board.neighbours() if board.pbx.line(number)), None)


async def _to_product(call: Call, leg: Live, signal: Signal, other: Board, incoming: Incoming) -> None:
    """To the line of another product: there it becomes an entry of its own, with the client's number."""
    ours = call.plan
    plan = Plan(
        client=ours.client, line=signal.to, ivr=0, talk=max(2.0, signal.talk), speed=ours.speed, parties=dict(ours.parties),
        others=ours.others, record_delay=ours.record_delay, end_by=ours.end_by,
    )  # fmt: skip
    if signal.party:
        plan.others = signal.party
    call.end(leg, 1120, to={"was_transferred": True})
    if signal.redirect:
        plan.start = call.clock + signal.gap
        call.after(signal.gap, lambda: incoming(other, plan))
        return
    plan.start = call.clock
    branch = call.ring(
        "abonent", _client(call, leg), {"number": signal.to}, transfer="blind", command_id=signal.command_id
    )
    second = incoming(other, plan)
    answered = asyncio.ensure_future(second.talking.wait())
    over = asyncio.ensure_future(second.over.wait())
    await asyncio.wait((answered, over), return_when=asyncio.FIRST_COMPLETED)
    answered.cancel()
    call.clock = max(call.clock, float(second.answered))
    if second.answered:
        call.connect(branch)
    await over
    call.clock = max(call.clock, second.clock)
    call.end(branch, 1110 if second.answered else 1111)
