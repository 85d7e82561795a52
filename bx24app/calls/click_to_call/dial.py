"""Sending commands to Mango, each at most once.

A drain calls `claim_dial_orders` and commits, then `send_dial_order` without a database connection, then
`store_dial_outcome`. A sweep calls `recover_lost_dials` for commands whose worker died in between.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from bx24app.domain.calls.command_json import from_json
from bx24app.domain.calls.commands import MANGO_KINDS, Dial, Route
from bx24app.infra.leases import worker_name
from bx24app.infra.logs import get_logger
from bx24app.mango import errors as mango
from bx24app.mango.client import MangoClient
from bx24app.models import Call, Delivery, Pbx, Portal, utcnow
from bx24app.models.calls import OPEN_DELIVERY

_log = get_logger(__name__)

ANSWER_WAIT_SECONDS = 20
"""How long after a lost answer a result or a leg may still show that the command was carried out (docs/contract.md,
section 7)."""
MAX_SLOW_DOWN_SECONDS = 5.0
"""How long a command is repeated after Mango asks to slow down: the user who clicked is waiting at the phone."""
_SLOW_DOWN_CODES = (429, 503)
CLICK_LIFETIME = timedelta(minutes=2)
"""A user who clicked longer ago no longer waits at the phone: the command is not sent."""
CALLBACK_LIFETIME = timedelta(hours=1)
"""A client who asked for a callback longer ago is not called by the app: an employee decides."""
TOO_LATE = "TOO_LATE"
"""Code of a command that was not sent because its lifetime had passed."""
KEY_LOCKED = "KEY_LOCKED"
"""Code of a command that Mango refused because it had locked the PBX's key; `Delivery.answer` has `locked_until`, epoch
seconds."""

_UNSENT_DIALS = (
    select(Delivery)
    .where(
        Delivery.portal_id == bindparam("portal"),
        OPEN_DELIVERY,
        Delivery.state == "waiting",
        Delivery.kind.in_(MANGO_KINDS),
    )
    .order_by(Delivery.id)
    .limit(bindparam("most"))
)
"""Built once: building a statement costs more than SQLite needs to answer it."""


@dataclass(frozen=True, slots=True)
class DialOrder:
    """One claimed command to Mango, without any row of the database."""

    delivery_id: int
    call_id: int
    command: Dial | Route
    api_key: str
    api_salt: str
    answer_due_at: datetime
    """When a missing answer counts as a failure."""


@dataclass(frozen=True, slots=True)
class DialOutcome:
    """What Mango answered to a command."""

    order: DialOrder
    error: mango.MangoError | None
    """None: Mango accepted the command."""


def claim_dial_orders(session: Session, portal: Portal, most: int) -> list[DialOrder]:
    """Mark `most` waiting commands to Mango as sent and return them. The mark is never removed: a second try would call
    the client twice."""
    orders = []
    for row in session.scalars(_UNSENT_DIALS, {"portal": portal.id, "most": most}):
        call = session.get_one(Call, row.call_id)
        pbx = session.get(Pbx, call.pbx_id)
        now = utcnow()
        answer_due_at = now + timedelta(seconds=ANSWER_WAIT_SECONDS)
        command = from_json(row.kind, row.command)
        if isinstance(command, Dial):  # the legs of a routed call are there already, so the fold watches it
            call.due_at = answer_due_at
        lifetime = CALLBACK_LIFETIME if call.read_facts().is_form_callback else CLICK_LIFETIME
        if call.started_at + lifetime < now:
            row.state, row.code, row.reason, row.done_at = "dead", TOO_LATE, "asked for too long ago", now
            call.due_at = now
        elif pbx is not None and isinstance(command, Dial | Route):
            row.state, row.sent_at, row.attempts, row.owner = "sent", now, 1, worker_name()
            orders.append(DialOrder(row.id, call.id, command, pbx.api_key or "", pbx.api_salt or "", answer_due_at))
        else:
            row.state, row.reason, row.done_at = "dead", "the PBX is no longer in the settings", now
            call.due_at = now
    return orders


def send_dial_order(order: DialOrder, client: MangoClient) -> DialOutcome:
    """Send the command, without the database. If Mango asks to slow down or has locked the key, nothing was done, and
    the command is repeated."""
    give_up_at = time.monotonic() + MAX_SLOW_DOWN_SECONDS
    while True:
        try:
            _call_mango(client, order.command)
        except mango.TemporaryFailure as error:
            pause = max(0.5, error.retry_after or 1.0)
            is_repeatable = error.code in _SLOW_DOWN_CODES or isinstance(error, mango.KeyLocked)
            if not is_repeatable or time.monotonic() + pause > give_up_at:
                return DialOutcome(order, error)
            time.sleep(pause)
        except mango.MangoError as error:
            return DialOutcome(order, error)
        else:
            return DialOutcome(order, None)


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
    """Store Mango's answer; returns the id of the call, which must be folded. A lost answer is not a refusal: Mango may
    have dialled."""
    row = session.get_one(Delivery, outcome.order.delivery_id)
    error = outcome.error
    row.done_at = utcnow()
    if error is None:
        row.state, row.answer = "done", {"accepted": True}
    elif isinstance(error, mango.AnswerLost):
        row.state, row.answer, row.reason = "done", {"lost": True}, str(error)
    elif isinstance(error, mango.KeyLocked):
        locked_until = (row.done_at + timedelta(seconds=error.seconds)).timestamp()
        row.state, row.code, row.reason, row.answer = "dead", KEY_LOCKED, str(error), {"locked_until": locked_until}
    else:
        row.state, row.code, row.reason = "dead", str(error.code or ""), str(error)
    _log.info("click dialled", call=outcome.order.call_id, state=row.state, reason=row.reason)
    return {outcome.order.call_id}


def mark_answer_lost(row: Delivery) -> None:
    """Store that the answer to this command is lost. The command is never sent again."""
    row.state, row.answer, row.done_at = "done", {"lost": True}, utcnow()
    row.reason = "Mango's answer never came, or the worker ended before it"


def recover_lost_dials(session: Session, owner: str | None = None) -> set[int]:
    """Mark commands whose worker died between claim and answer; returns the ids of their portals, which must be woken.

    `owner`: a worker that is known to be dead; None: whoever has had a command for longer than an answer takes.
    """
    claimed_before = utcnow() - timedelta(seconds=ANSWER_WAIT_SECONDS)
    is_lost = Delivery.sent_at < claimed_before if owner is None else Delivery.owner == owner
    query = select(Delivery).where(Delivery.kind.in_(MANGO_KINDS), Delivery.state == "sent", is_lost)
    rows = session.scalars(query.with_for_update(skip_locked=True))
    portals = set()
    for row in rows:
        mark_answer_lost(row)
        call = session.get_one(Call, row.call_id)
        call.due_at = utcnow()
        portals.add(row.portal_id)
    return portals
