"""A client handed from one office's PBX to another's: two entries of one conversation (contract, section 7, "Transfers between offices").

Entry B continues entry A: B makes nothing in the CRM, and what A made goes to B's talker. Each call is decided by what the others
are known to be at that moment, and is decided again when that changes; so the order in which two PBXs are heard does not matter.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

GAP_SECONDS = 15
"""How long after A's talk B may start and still continue it."""
LONGEST_SECONDS = 4 * 3600
"""No talk is believed to be longer: an entry whose end never came does not swallow the client's calls of the next days."""


@dataclass(frozen=True, slots=True)
class Continued:
    """The entry that this one continues. `call`: its row, as entry ids may repeat over PBXs."""

    call: int
    entry_id: str
    responsible: int | None = None
    """Who has its records."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """A call with the same client on the same portal, as far as it is known. Times are the PBX's, epoch seconds."""

    call: int
    pbx: int
    entry_id: str
    direction: str
    started: float
    answered: float | None
    ended: float | None
    """None: not over yet."""
    talker: int | None = None
    """The mapped user who talked last."""
    responsible: int | None = None
    continues: int | None = None
    """Row of the call that it continues."""
    handed_to: int | None = None
    """The user to whom a further entry took the client."""
    makes: bool = False
    """Has it, or an entry that continues it, made a record of the CRM, or asked for one?"""

    def holds(self, moment: float) -> bool:
        """Is `moment` within the talk or shortly after it?"""
        if self.answered is None or not self.answered <= moment <= self.answered + LONGEST_SECONDS:
            return False
        return self.ended is None or moment <= self.ended + GAP_SECONDS


def continued(this: Stretch, others: Iterable[Stretch]) -> Continued | None:
    """The entry that `this` continues: the talk that was joined last, where there are several (three offices)."""
    if this.direction != "in":
        return None
    before = [
        one
        for one in others
        if one.pbx != this.pbx
        and one.direction != "internal"
        and (one.started, one.call) < (this.started, this.call)
        and one.holds(this.started)
    ]
    last = max(before, key=lambda one: (one.answered or 0, one.call), default=None)
    return Continued(last.call, last.entry_id, last.responsible) if last else None


def touched(before: Stretch, now: Stretch, others: Iterable[Stretch]) -> frozenset[int]:
    """The calls to be decided again since this one changed from `before` to `now`: what it continues or did, what continues it
    or may. A number that calls all day, such as another company's exchange, touches only the calls that overlap."""
    if before == now:
        return frozenset()
    linked = {before.continues, now.continues}
    return frozenset(
        one.call
        for one in others
        if one.call in linked or one.continues == now.call or (one.pbx != now.pbx and now.holds(one.started))
    )


def made_later(this: Stretch, others: Iterable[Stretch]) -> bool:
    """Has an entry that continues this one made the record already? (It was heard before this one; one record is enough.)"""
    return any(
        one.makes and (one.continues == this.call or (one.continues is None and continued(one, [this]) is not None))
        for one in others
    )


def handed_to(call: int, others: Iterable[Stretch]) -> int | None:
    """Who talked with the client last in the entries that continue this one; None: nobody whom the mapping knows."""
    talks = [
        (one.answered or one.started, one.call, user)
        for one in others
        if one.continues == call and (user := one.handed_to or one.talker) is not None
    ]
    return max(talks)[2] if talks else None
