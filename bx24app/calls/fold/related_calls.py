"""Related calls: other calls of the same client on other PBXs of the portal, which this call may continue.

This module reads them; `domain.calls.linked_calls` decides which call continues which.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import and_, or_, select
from sqlalchemy.orm import Session

from bx24app.domain.calls import linked_calls
from bx24app.domain.calls.entry import CallEntry
from bx24app.domain.calls.policy import Policy
from bx24app.models import Call, Portal
from bx24app.models.call_facts import CallFacts

_SPAN = timedelta(seconds=linked_calls.MAX_TALK_SECONDS)
_GAP = timedelta(seconds=linked_calls.GAP_SECONDS)
MAX_CALLS = 200
"""Calls of one client that are read, the latest first. Enough even for one number that stands for another company's
PBX."""


@dataclass(frozen=True, slots=True)
class RelatedCalls:
    """What the client's calls on other PBXs mean for one call."""

    continues: linked_calls.ContinuedCall | None = None
    """The call that it continues."""
    handed_to: int | None = None
    """The user who talked last in the calls that continue it."""
    is_made_later: bool = False
    """A call that continues it has created the CRM record."""
    calls: tuple[linked_calls.LinkedCall, ...] = ()
    """All of them: they may have to be folded again when this call changes."""


def load(
    session: Session, portal: Portal, call: Call, facts: CallFacts, entry: CallEntry, policy: Policy
) -> RelatedCalls:
    """The related calls, by one query. There is none if the client is anonymous or the portal has one PBX."""
    client = entry.client_number
    if client is None or entry.direction == "internal" or len(policy.settings.pbxs) < 2:
        return RelatedCalls()
    started = datetime.fromtimestamp(entry.started_at, UTC)
    not_over = or_(Call.ended_at.is_(None), Call.ended_at >= started - _GAP)
    before = and_(Call.started_at.between(started - _SPAN, started), Call.answered_at.is_not(None), not_over)
    query = select(Call).where(
        Call.portal_id == portal.id,
        Call.client_number == client,
        Call.pbx_id != call.pbx_id,
        or_(before, Call.started_at.between(started, started + _SPAN)),
    )
    others = tuple(as_linked_call(row) for row in session.scalars(query.order_by(Call.id.desc()).limit(MAX_CALLS)))
    if not others:
        return RelatedCalls()
    direction = "callback" if facts.is_form_callback else entry.direction
    this = linked_calls.LinkedCall(
        call.id, call.pbx_id, call.entry_id, direction, entry.started_at, entry.talk_at, entry.ended_at
    )
    return RelatedCalls(
        linked_calls.find_continued_call(this, others),
        linked_calls.find_last_talker(call.id, others),
        linked_calls.has_linked_record(this, others),
        others,
    )


def as_linked_call(call: Call) -> linked_calls.LinkedCall:
    """A row of the journal as the domain sees it."""
    facts = call.read_facts()
    return linked_calls.LinkedCall(
        call_id=call.id,
        pbx_id=call.pbx_id,
        entry_id=call.entry_id,
        direction=call.direction,
        started_at=call.started_at.timestamp(),
        answered_at=call.answered_at.timestamp() if call.answered_at else None,
        ended_at=call.ended_at.timestamp() if call.ended_at else None,
        talker_id=call.users[-1] if call.users else None,
        responsible_id=call.responsible_id,
        continued_call_id=facts.continued_call_id,
        handed_to=facts.handed_to,
        has_made_record=facts.has_made_record,
    )
