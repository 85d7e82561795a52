"""USE CASE: which call of another office's PBX goes on in which (`domain.handover` decides, this module looks)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import and_, or_, select
from sqlalchemy.orm import Session

from bx24app.domain import phone
from bx24app.domain.calls import linked_calls
from bx24app.domain.calls.commands import CreateRecord, Register
from bx24app.domain.calls.entry import Entry
from bx24app.domain.calls.ledger import Ledger
from bx24app.domain.calls.policy import Policy
from bx24app.models import Call, Portal

_SPAN = timedelta(seconds=linked_calls.LONGEST_SECONDS)
_GAP = timedelta(seconds=linked_calls.GAP_SECONDS)
MOST = 200
"""Calls of one client that are looked at, the latest; enough for another company's exchange with one number for all."""


@dataclass(frozen=True, slots=True)
class Near:
    """What the other calls of the client say about one call. `others`: those that it may touch when it changes."""

    continues: linked_calls.Continued | None = None
    handed_to: int | None = None
    made_later: bool = False
    others: tuple[linked_calls.Stretch, ...] = ()


def look(session: Session, portal: Portal, call: Call, entry: Entry, policy: Policy) -> Near:
    """One query, and only where it can find something: the client is known and the portal has more than one PBX."""
    client = phone.normal(entry.client)
    if client is None or entry.direction == "internal" or len(policy.settings.pbxs) < 2:
        return Near()
    started = datetime.fromtimestamp(entry.started_at, UTC)
    not_over = or_(Call.ended_at.is_(None), Call.ended_at >= started - _GAP)
    before = and_(Call.started_at.between(started - _SPAN, started), Call.answered_at.is_not(None), not_over)
    query = select(Call).where(
        Call.portal_id == portal.id,
        Call.client_number == client,
        Call.pbx_id != call.pbx_id,
        or_(before, Call.started_at.between(started, started + _SPAN)),
    )
    others = tuple(stretch(row) for row in session.scalars(query.order_by(Call.id.desc()).limit(MOST)))
    if not others:
        return Near()
    direction = "callback" if call.facts.get("form_callback") else entry.direction
    this = linked_calls.Stretch(
        call.id, call.pbx_id, call.entry_id, direction, entry.started_at, entry.talk_at, entry.ended_at
    )
    return Near(
        linked_calls.continued(this, others),
        linked_calls.handed_to(call.id, others),
        linked_calls.made_later(this, others),
        others,
    )


def stretch(call: Call) -> linked_calls.Stretch:
    """A row of the journal as the pure part sees it."""
    return linked_calls.Stretch(
        call=call.id,
        pbx=call.pbx_id,
        entry_id=call.entry_id,
        direction=call.direction,
        started=call.started_at.timestamp(),
        answered=call.answered_at.timestamp() if call.answered_at else None,
        ended=call.ended_at.timestamp() if call.ended_at else None,
        talker=call.users[-1] if call.users else None,
        responsible=call.responsible_id,
        continues=call.facts.get("continues"),
        handed_to=call.facts.get("handed_to"),
        makes=bool(call.facts.get("makes")),
    )


def keep(call: Call, near: Near, ledger: Ledger) -> None:
    """Write it down: the journal names the entry, the facts name the row (entry ids may repeat over PBXs)."""
    call.continues = near.continues.entry_id if near.continues else None
    facts = {name: value for name, value in call.facts.items() if name not in ("continues", "handed_to", "makes")}
    if near.continues is not None:
        facts["continues"] = near.continues.call
    if near.handed_to is not None:
        facts["handed_to"] = near.handed_to
    if near.made_later or _makes(ledger):
        facts["makes"] = True
    call.facts = facts


def _makes(ledger: Ledger) -> bool:
    return any(
        isinstance(entry.command, CreateRecord) or (isinstance(entry.command, Register) and entry.command.create)
        for entry in ledger
        if entry.state != "dead"
    )
