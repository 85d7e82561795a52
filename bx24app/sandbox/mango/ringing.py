"""Ringing: who rings for how long, who answers first, what ends it otherwise."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from bx24app.sandbox.mango.calls import Call, Live, Side
from bx24app.sandbox.mango.plans import Party, Signal


@dataclass
class Rung:
    """How ringing ended: a leg that was answered, a signal that ended it, or neither (nobody answered)."""

    leg: Live | None = None
    signal: Signal | None = None
    first: Side | None = None
    reason: int = 1111
    losers: list[Live] = field(default_factory=list)


@dataclass
class _Phone:
    leg: Live
    party: Party
    began: float

    @property
    def due(self) -> float:
        wait = self.party.answer_after
        return self.began + (self.party.ring_for if wait is None else wait)


def devices(call: Call, extension: str) -> list[Side]:
    """The sides of an employee's switched-on devices; an outside number is its own device."""
    person = call.board.pbx.employee(extension)
    if person is None:
        return [{"number": extension}]
    number = {"extension": person.extension}
    found = [{**number, "number": device.number} for device in person.devices if device.on]
    if extension not in ("", person.extension):  # one certain device was asked for
        return [{**number, "number": extension}]
    return found or [{**number, "number": person.mobile}]


async def ring(
    call: Call, sender: Side, targets: list[str], common: Side, *, patience: float | None = None,
    parallel: bool = True, appeared: Callable[[list[Live]], Awaitable[None]] | None = None,
    extra: Side | None = None,
) -> Rung:  # fmt: skip
    """Rings several extensions or numbers.

    Args:
        sender: the `from` side of every leg.
        common: what every `to` side also holds (line, group).
        patience: the caller gives up after so many seconds.
        parallel: all at once, or one after the other.
        appeared: what happens as soon as the first phones ring.
    """
    limit = None if patience is None else call.clock + patience
    waves = [targets] if parallel else [[target] for target in targets]
    rung = Rung()
    for wave in waves:
        phones = [
            _Phone(
                call.ring("abonent", sender, {**side, **common}, **(extra or {})),
                call.plan.party(target, side["number"]),
                call.clock,
            )
            for target in wave
            for side in devices(call, target)
        ]
        if appeared and rung.first is None:
            await appeared([phone.leg for phone in phones])
        rung.first = rung.first or (phones[0].leg.receiver if phones else None)
        if await _wave(call, phones, limit, rung):
            break
    return rung


async def _wave(call: Call, phones: list[_Phone], limit: float | None, rung: Rung) -> bool:
    """Lets phones ring until one answers, all have ended, or something else ends it (True: do not go on)."""
    while phones:
        phone = min(phones, key=lambda one: one.due)
        due = phone.due if limit is None else min(phone.due, limit)
        signal = await call.wait(max(0.0, due - call.clock))
        if signal is None and limit is not None and phone.due > limit:
            signal = Signal("giveup")
        if signal is not None:
            named = next((one for one in phones if signal.to and signal.to == one.leg.extension), None)
            named = named or next((one for one in phones if signal.call_id == one.leg.call_id), None)
            change = _ONE_PHONE.get(signal.kind)
            if change and named and (signal.kind != "hangup" or len(phones) > 1):
                named.party = change
                named.began = call.clock
                continue
            if signal.kind in ("answer", "reject"):
                continue
            _interrupted(call, phones, signal, rung)
            return True
        if phone.party.answer_after is not None:
            rung.leg, rung.reason = phone.leg, 1100
            rung.losers = [other.leg for other in phones if other is not phone]
            return True
        call.end(phone.leg, phone.party.reason)
        rung.reason = phone.party.reason
        phones.remove(phone)
    return False


_ONE_PHONE = {"answer": Party(0.0), "reject": Party(None, 0.0, 1122), "hangup": Party(None, 0.0, 1181)}
"""Signals that concern one of several ringing phones, and how it behaves from then on."""


def _interrupted(call: Call, phones: list[_Phone], signal: Signal, rung: Rung) -> None:
    """The caller gives up, or a command hangs up or leads away: every phone stops ringing."""
    rung.signal = signal
    rung.reason = 1110 if signal.kind in ("giveup", "route") else 1181
    for phone in phones:
        call.end(phone.leg, rung.reason)
