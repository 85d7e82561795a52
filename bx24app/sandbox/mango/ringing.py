"""Ringing: which phones ring and for how long, who answers first, and what else ends it.

`simulation` and `transfers` call `ring_targets`. How each phone behaves is in the call's `Plan`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from bx24app.sandbox.mango.calls import Call, LiveLeg, Side
from bx24app.sandbox.mango.plans import Party, Signal


@dataclass
class RingResult:
    """How ringing ended: with an answered leg, with a signal, or with neither (nobody answered).

    Attributes:
        first_side: the first phone that rang.
        reason: the reason code with which ringing ended.
        losers: the other legs that still ring when one is answered; the caller ends them.
    """

    leg: LiveLeg | None = None
    signal: Signal | None = None
    first_side: Side | None = None
    reason: int = 1111
    losers: list[LiveLeg] = field(default_factory=list)


@dataclass
class _RingingPhone:
    leg: LiveLeg
    party: Party
    ringing_since: float

    @property
    def due_at(self) -> float:
        wait = self.party.answer_after
        return self.ringing_since + (self.party.ring_for if wait is None else wait)


def device_sides(call: Call, extension: str) -> list[Side]:
    """The `to` sides of the employee's devices that are on. An outside number is its own device."""
    person = call.board.pbx.find_employee(extension)
    if person is None:
        return [{"number": extension}]
    number = {"extension": person.extension}
    sides = [{**number, "number": device.number} for device in person.devices if device.on]
    if extension not in ("", person.extension):  # a particular device is to ring
        return [{**number, "number": extension}]
    return sides or [{**number, "number": person.mobile}]


async def ring_targets(
    call: Call, sender: Side, targets: list[str], common: Side, *, patience: float | None = None,
    parallel: bool = True, appeared: Callable[[list[LiveLeg]], Awaitable[None]] | None = None,
    extra: Side | None = None,
) -> RingResult:  # fmt: skip
    """Rings several extensions or numbers.

    Args:
        sender: the `from` side of every leg.
        common: what every `to` side contains besides (line, group).
        patience: seconds after which the caller gives up; None: never.
        parallel: all targets at once, or one after the other.
        appeared: called as soon as the first phones ring.
        extra: further fields of every notification.
    """
    limit = None if patience is None else call.clock + patience
    waves = [targets] if parallel else [[target] for target in targets]
    result = RingResult()
    for wave in waves:
        phones = [
            _RingingPhone(
                call.start_leg("abonent", sender, {**side, **common}, **(extra or {})),
                call.plan.party_for(target, side["number"]),
                call.clock,
            )
            for target in wave
            for side in device_sides(call, target)
        ]
        if appeared and result.first_side is None:
            await appeared([phone.leg for phone in phones])
        result.first_side = result.first_side or (phones[0].leg.receiver if phones else None)
        if await _ring_wave(call, phones, limit, result):
            break
    return result


async def _ring_wave(call: Call, phones: list[_RingingPhone], limit: float | None, result: RingResult) -> bool:
    """Lets phones ring until one answers, all have ended, or something else ends it. True: the next target must not
    ring.
    """
    while phones:
        phone = min(phones, key=lambda ringing: ringing.due_at)
        due = phone.due_at if limit is None else min(phone.due_at, limit)
        signal = await call.wait_for_signal(max(0.0, due - call.clock))
        if signal is None and limit is not None and phone.due_at > limit:
            signal = Signal("giveup")
        if signal is not None:
            named = next((other for other in phones if signal.to and signal.to == other.leg.extension), None)
            named = named or next((other for other in phones if signal.call_id == other.leg.call_id), None)
            change = _SINGLE_PHONE_SIGNALS.get(signal.kind)
            if change and named and (signal.kind != "hangup" or len(phones) > 1):
                named.party = change
                named.ringing_since = call.clock
                continue
            if signal.kind in ("answer", "reject"):
                continue
            _interrupt_ringing(call, phones, signal, result)
            return True
        if phone.party.answer_after is not None:
            result.leg, result.reason = phone.leg, 1100
            result.losers = [other.leg for other in phones if other is not phone]
            return True
        call.end_leg(phone.leg, phone.party.reason)
        result.reason = phone.party.reason
        phones.remove(phone)
    return False


_SINGLE_PHONE_SIGNALS = {"answer": Party(0.0), "reject": Party(None, 0.0, 1122), "hangup": Party(None, 0.0, 1181)}
"""Signals that concern one of several ringing phones, and how it behaves from then on."""


def _interrupt_ringing(call: Call, phones: list[_RingingPhone], signal: Signal, result: RingResult) -> None:
    """All phones stop ringing because the caller gave up, or a command hung up or routed the call."""
    result.signal = signal
    result.reason = 1110 if signal.kind in ("giveup", "route") else 1181
    for phone in phones:
        call.end_leg(phone.leg, result.reason)
