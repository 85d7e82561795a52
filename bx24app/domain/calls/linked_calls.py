"""Linked calls: a client is transferred from one office's PBX to another's, so one conversation is two entries.

Call B continues call A: B creates nothing in the CRM, and A's records go to B's talker (docs/contract.md, section 7,
"Transfers between offices"). A call is decided by what is known of the others at that moment, and again when that
changes (`find_affected_calls`). So it does not matter which PBX sends its notifications first.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

GAP_SECONDS = 15
"""How long after the end of A call B may begin and still continue it."""
MAX_TALK_SECONDS = 4 * 3600
"""Talks are not longer than this: a call whose end was lost must not claim the client's calls of the next days."""


@dataclass(frozen=True, slots=True)
class ContinuedCall:
    """The call that this one continues."""

    call_id: int
    """Its row: an entry id may occur at two PBXs."""
    entry_id: str
    responsible_id: int | None = None
    """Who has the CRM records of that call."""


@dataclass(frozen=True, slots=True)
class LinkedCall:
    """A call as far as other calls of the same client depend on it. Times are epoch seconds of the PBX's clock."""

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
    """The row of the call that this one continues."""
    handed_to: int | None = None
    """The user who talked last in the calls that continue this one."""
    has_made_record: bool = False
    """This call, or one that continues it, creates the CRM record or has created it."""

    def covers_moment(self, moment: float) -> bool:
        """Whether `moment` lies within the call, from the answer on, or shortly after it."""
        if self.answered_at is None or not self.answered_at <= moment <= self.answered_at + MAX_TALK_SECONDS:
            return False
        return self.ended_at is None or moment <= self.ended_at + GAP_SECONDS


def find_continued_call(this: LinkedCall, others: Iterable[LinkedCall]) -> ContinuedCall | None:
    """The call that `this` continues; of several (three offices) the one that was answered last."""
    if this.direction != "in":
        return None
    candidates = [
        call
        for call in others
        if call.pbx_id != this.pbx_id
        and call.direction != "internal"
        and (call.started_at, call.call_id) < (this.started_at, this.call_id)
        and call.covers_moment(this.started_at)
    ]
    last = max(candidates, key=lambda call: (call.answered_at or 0, call.call_id), default=None)
    return ContinuedCall(last.call_id, last.entry_id, last.responsible_id) if last else None


def find_affected_calls(before: LinkedCall, now: LinkedCall, others: Iterable[LinkedCall]) -> frozenset[int]:
    """Ids of the calls that must be decided again because this call has changed from `before` to `now`.

    These are the call that it continues or continued, the calls that continue it, and those that may. Only overlapping
    calls are among them: one number may stand for all calls of another company's PBX.
    """
    if before == now:
        return frozenset()
    linked = {before.continued_call_id, now.continued_call_id}
    return frozenset(
        call.call_id
        for call in others
        if call.call_id in linked
        or call.continued_call_id == now.call_id
        or (call.pbx_id != now.pbx_id and now.covers_moment(call.started_at))
    )


def has_linked_record(this: LinkedCall, others: Iterable[LinkedCall]) -> bool:
    """Whether a call that continues this one has created the record already, because its notifications came first."""
    return any(call.has_made_record and _continues(call, this) for call in others)


def _continues(call: LinkedCall, this: LinkedCall) -> bool:
    if call.continued_call_id is None:  # not linked yet: `this` was not known when `call` was decided
        return find_continued_call(call, [this]) is not None
    return call.continued_call_id == this.call_id


def find_last_talker(call_id: int, others: Iterable[LinkedCall]) -> int | None:
    """The user who talked last in the calls that continue this one; None: nobody, or nobody in the mapping."""
    talks = [
        (call.answered_at or call.started_at, call.call_id, user)
        for call in others
        if call.continued_call_id == call_id and (user := call.handed_to or call.talker_id) is not None
    ]
    return max(talks)[2] if talks else None
