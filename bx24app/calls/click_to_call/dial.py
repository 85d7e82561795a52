"""The command leaves for Mango, at most once: intent on disk before it, answer right after. The database's side and the wire's."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from bx24app.domain.calls.command_json import from_json
from bx24app.domain.calls.commands import MANGO_KINDS, Dial, Route
from bx24app.infra.logs import get_logger
from bx24app.mango import errors as mango
from bx24app.mango.client import MangoClient
from bx24app.models import Call, Delivery, Pbx, Portal, utcnow

_log = get_logger(__name__)

ANSWER_WAIT_SECONDS = 20
"""How long a command without an answer may still show itself by a result or a leg (contract, section 7)."""
MAX_SLOW_DOWN_SECONDS = 5.0
"""How long Mango's own request to slow down is obeyed: whoever clicked waits at the telephone."""
_SLOW_DOWN_CODES = (429, 503)
CLICK_LIFETIME = timedelta(minutes=2)
"""Whoever clicked longer ago is no longer waiting at the telephone."""
CALLBACK_LIFETIME = timedelta(hours=1)
"""A client who asked for a callback longer ago is called by people, not by surprise."""
TOO_LATE = "TOO_LATE"
"""Code of a command that was never sent, since its time had passed."""

_UNSENT_DIALS = select(Delivery).where(
    Delivery.portal_id == bindparam("portal"), Delivery.kind.in_(MANGO_KINDS), Delivery.state == "waiting"
)
"""Made once: building a statement costs more than SQLite needs to answer it."""


@dataclass(frozen=True, slots=True)
class DialOrder:
    """One command to Mango, detached from the database. `until`: when a lost answer counts as a failure."""

    delivery_id: int
    call_id: int
    command: Dial | Route
    api_key: str
    api_salt: str
    answer_due_at: datetime


@dataclass(frozen=True, slots=True)
class DialOutcome:
    order: DialOrder
    error: mango.MangoError | None


def claim_dial_orders(session: Session, portal: Portal) -> list[DialOrder]:
    """Commands to Mango that have not been sent; marked `sent`, which is never undone: a second try would ring the client twice."""
    errands = []
    for row in session.scalars(_UNSENT_DIALS, {"portal": portal.id}):
        call = session.get_one(Call, row.call_id)
        pbx = session.get(Pbx, call.pbx_id)
        now = utcnow()
        until = now + timedelta(seconds=ANSWER_WAIT_SECONDS)
        command = from_json(row.kind, row.command)
        if isinstance(command, Dial):  # a routed call shows by its legs what became of it
            call.due_at = until
        lasts = CALLBACK_LIFETIME if call.read_facts().is_form_callback else CLICK_LIFETIME
        if call.started_at + lasts < now:
            row.state, row.code, row.reason, row.done_at = "dead", TOO_LATE, "asked for too long ago", now
            call.due_at = now
        elif pbx is not None and isinstance(command, Dial | Route):
            row.state, row.sent_at, row.attempts = "sent", now, 1
            errands.append(DialOrder(row.id, call.id, command, pbx.api_key or "", pbx.api_salt or "", until))
        else:
            row.state, row.reason, row.done_at = "dead", "the PBX is no longer in the settings", now
            call.due_at = now
    return errands


def send_dial_order(errand: DialOrder, client: MangoClient) -> DialOutcome:
    """Give the command to Mango. Never touches the database. Where Mango asks to slow down it has carried nothing out, and is asked again."""
    until = time.monotonic() + MAX_SLOW_DOWN_SECONDS
    while True:
        try:
            _call_mango(client, errand.command)
        except mango.TemporaryFailure as error:
            pause = max(0.5, error.retry_after or 1.0)
            if error.code not in _SLOW_DOWN_CODES or time.monotonic() + pause > until:
                return DialOutcome(errand, error)
            time.sleep(pause)
        except mango.MangoError as error:
            return DialOutcome(errand, error)
        else:
            return DialOutcome(errand, None)


def _call_mango(client: MangoClient, command: Dial | Route) -> None:
    if isinstance(command, Route):
        client.route_leg(command.command_id, command.leg, command.extension)
    elif command.group is not None:
        client.start_group_callback(command.command_id, command.group, command.to_number, command.line or "")
    else:
        client.start_callback(
            command.command_id,
            command.extension or "",
            command.to_number,
            line_number=command.line,
            from_number=command.from_number,
        )


def store_dial_outcome(session: Session, outcome: DialOutcome) -> set[int]:
    """Write Mango's answer down. A lost answer is not a refusal: a leg or a result may still show that it was dialled."""
    row = session.get_one(Delivery, outcome.order.delivery_id)
    error = outcome.error
    row.done_at = utcnow()
    if error is None:
        row.state, row.answer = "done", {"accepted": True}
    elif isinstance(error, mango.AnswerLost):
        row.state, row.answer, row.reason = "done", {"lost": True}, str(error)
    else:
        row.state, row.code, row.reason = "dead", str(error.code or ""), str(error)
    _log.info("click dialled", call=outcome.order.call_id, state=row.state, reason=row.reason)
    return {outcome.order.call_id}


def mark_answer_lost(row: Delivery) -> None:
    """No answer was stored, and it is never sent again."""
    row.state, row.answer, row.done_at = "done", {"lost": True}, utcnow()
    row.reason = "Mango's answer never came, or the worker ended before it"


def recover_lost_dials(session: Session) -> set[int]:
    """Commands whose worker died between intent and answer: their answer is lost, and they are never sent again."""
    old = utcnow() - timedelta(seconds=ANSWER_WAIT_SECONDS)
    rows = session.scalars(
        select(Delivery).where(Delivery.kind.in_(MANGO_KINDS), Delivery.state == "sent", Delivery.sent_at < old)
    )
    portals = set()
    for row in rows:
        mark_answer_lost(row)
        call = session.get_one(Call, row.call_id)
        call.due_at = utcnow()
        portals.add(row.portal_id)
    return portals
