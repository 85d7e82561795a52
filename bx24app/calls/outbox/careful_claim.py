"""Finds deliveries that no claim can read: for a step of a drain in which something raised an error.

A command that cannot be built, or a PBX whose secret no key opens, is set aside; whatever waits behind it in other
calls leaves as usual.
"""

from __future__ import annotations

from collections import defaultdict

from sqlalchemy import select
from sqlalchemy.orm import Session

from bx24app.calls import set_aside_rows
from bx24app.calls.outbox import batches
from bx24app.calls.set_aside import SavepointFailed, own_savepoint, set_aside
from bx24app.domain.calls.command_json import from_json
from bx24app.domain.calls.commands import MANGO_KINDS
from bx24app.models import Call, Delivery, Pbx, Portal, utcnow
from bx24app.models.calls import OPEN_DELIVERY

NEVER_SENT = "NEVER_SENT"
"""Code of a delivery that could not be sent: a repeat needs no verification."""


def set_aside_unclaimable(session: Session, portal: Portal) -> None:
    """Set aside the waiting deliveries of each call that cannot be claimed. The caller commits."""
    waiting = select(Delivery).where(Delivery.portal_id == portal.id, OPEN_DELIVERY, Delivery.state == "waiting")
    by_call: dict[int, list[Delivery]] = defaultdict(list)
    for row in session.scalars(waiting.order_by(Delivery.id)):
        by_call[row.call_id].append(row)
    for call_id, rows in by_call.items():
        try:
            with own_savepoint(session):
                _read(session, call_id, rows)
        except SavepointFailed as failure:
            _set_aside(session, portal, call_id, rows, failure.cause)


def _read(session: Session, call_id: int, rows: list[Delivery]) -> None:
    call = session.get_one(Call, call_id)
    call.read_facts()
    for row in rows:
        from_json(row.kind, row.command)
    if any(row.kind in MANGO_KINDS for row in rows):
        session.get(Pbx, call.pbx_id)
    others = [row for row in rows if row.kind not in MANGO_KINDS]
    if others:
        batches.read_call(session, others)


def _set_aside(session: Session, portal: Portal, call_id: int, rows: list[Delivery], error: Exception) -> None:
    call = session.get_one(Call, call_id)
    for row in rows:
        reason = set_aside(session, portal.id, "delivery", row.id, error, call.entry_id, call_id)
        if row.uncertain:
            set_aside_rows.mark_delivery(row, reason)
        else:
            set_aside_rows.mark_delivery(row, reason, NEVER_SENT)
    if any(row.kind in MANGO_KINDS for row in rows):
        call.due_at = utcnow()  # whoever clicked is told
    session.flush()
