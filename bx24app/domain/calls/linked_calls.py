"""A client handed from one office's PBX to another's: two entries of one conversation (contract, section 7, "Transfers between offices").

Entry B continues entry A: B makes nothing in the CRM, and what A made goes to B's talker. Each call is decided by what the others
are known to be at that moment, and is decided again when that changes; so the order in which two PBXs are heard does not matter.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

GAP_SECONDS = 15
"""How long after A's talk B may start and still continue it."""
MAX_TALK_SECONDS = 4 * 3600
"""No talk is believed to be longer: an entry whose end never came does not swallow the client's calls of the next days."""


@dataclass(frozen=True, slots=True)
class ContinuedCall:
    """The entry that this one continues. `call`: its row, as entry ids may repeat over PBXs."""

    call_id: int
    entry_id: str
    responsible_id: int | None = None
    """Who has its records."""


@dataclass(frozen=True, slots=True)
class LinkedCall:
    """A call with the same client on the same portal, as far as it is known. Times are the PBX's, epoch seconds."""

    call_id: int
    pbx_id: int
    entry_id: str
    direction: str
    started_at: float
    answered_at: float | None
    ended_at: float | None
    """None: not over yet."""
    talker_id: int | None = None
    """The mapped user who talked last."""
    responsible_id: int | None = None
    continued_call_id: int | None = None
    """Row of the call that it continues."""
    handed_to: int | None = None
    """The user to whom a further entry took the client."""
    has_made_record: bool = False
    """Has it, or an entry that continues it, made a record of the CRM, or asked for one?"""

    def covers_moment(self, moment: float) -> bool:
        """Is `moment` within the talk or shortly after it?"""
        if self.answered_at is None or not self.answered_at <= moment <= self.answered_at + MAX_TALK_SECONDS:
            return False
        return self.ended_at is None or moment <= self.ended_at + GAP_SECONDS


def find_continued_call(this: LinkedCall, others: Iterable[LinkedCall]) -> ContinuedCall | None:
    """The entry that `this` continues: the talk that was joined last, where there are several (three offices)."""
    if this.direction != "in":
        return None
    before = [
        one
        for one in others
        if one.pbx_id != this.pbx_id
        and one.direction != "internal"
        and (one.started_at, one.call_id) < (this.started_at, this.call_id)
        and one.covers_moment(this.started_at)
    ]
    last = max(before, key=lambda one: (one.answered_at or 0, one.call_id), default=None)
    return ContinuedCall(last.call_id, last.entry_id, last.responsible_id) if last else None


def find_affected_calls(before: LinkedCall, now: LinkedCall, others: Iterable[LinkedCall]) -> frozenset[int]:
    """The calls to be decided again since this one changed from `before` to `now`: what it continues or did, what continues it
    or may. A number that calls all day, such as another company's exchange, touches only the calls that overlap."""
    if before == now:
        return frozenset()
    linked = {before.continued_call_id, now.continued_call_id}
    return frozenset(
        one.call_id
        for one in others
        if one.call_id in linked or one.continued_call_id == now.call_id or (one.pbx_id != now.pbx_id and now.covers_moment(one.started_at))
    )


def has_linked_record(this: LinkedCall, others: Iterable[LinkedCall]) -> bool:
    """Has an entry that continues this one made the record already? (It was heard before this one; one record is enough.)"""
    return any(
        one.has_made_record and (one.continued_call_id == this.call_id or (one.continued_call_id is None and find_continued_call(one, [this]) is not None))
        for one in others
    )


def find_last_talker(call: int, others: Iterable[LinkedCall]) -> int | None:
    """Who talked with the client last in the entries that continue this one; None: nobody whom the mapping knows."""
    talks = [
        (one.answered_at or one.started_at, one.call_id, user)
        for one in others
        if one.continued_call_id == call and (user := one.handed_to or one.talker_id) is not None
    ]
    return max(talks)[2] if talks else None
