"""The client manager of an incoming call: looked up while the call rings, shown the card, and connected with the
waiting client.

The settings of the line say which of these happen. Mango's `commands/route` takes a leg out of a menu or a queue. The
app sends it at most once for a call, within the line's `route_seconds` and its working hours, and only to a manager
whose working day is not closed. If the manager does not answer, the PBX goes on by the employee's schedule and
forwarding.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Any

from bx24app.domain.calls import plan
from bx24app.domain.calls.call_view import CallView, Outcome
from bx24app.domain.calls.commands import ReadClient, Route
from bx24app.domain.calls.rule_case import DAY_CLOSED
from bx24app.domain.working_hours import is_open

FIND_MANAGER_KEY = "find-owner"


def route_client(view: CallView, end: Outcome) -> None:
    """Ask the portal who the client manager is, then route a waiting client to them. Each happens once, on lines whose
    settings want it."""
    line = view.line
    if line is None or not (line.route or line.owner_card) or view.direction != "in" or view.crm_number is None:
        return
    if end.is_complete or end.is_answered or view.context.is_quiet or not view.entry.legs:
        return
    if view.ledger.find_by_key(FIND_MANAGER_KEY) is None:
        if plan.client_status(view) != "new":
            view.ledger.add_command(ReadClient(key=FIND_MANAGER_KEY, number=view.crm_number))
        return
    extension, leg = _manager_extension(view), _waiting_leg(view)
    if not line.route or extension is None or leg is None or any(isinstance(e.command, Route) for e in view.ledger):
        return
    now = datetime.fromtimestamp(view.clock.now, UTC)
    is_late = view.clock.now - view.entry.started_at > line.route_seconds
    if is_late or not is_open(line.working_hours, now, view.policy.settings.portal.timezone):
        return
    if any(ring.employee.extension == extension for ring in view.entry.rings):
        return  # the manager's phone rings, or has rung
    view.ledger.add_command(Route(key="route", command_id=_route_command_id(view), leg=leg, extension=extension))


def find_card_manager(view: CallView) -> int | None:
    """The client manager, who sees the card while other phones ring; None: the line does not want it, or nobody is
    known."""
    line = view.line
    if line is None or not (line.route or line.owner_card):
        return None
    return _present_manager(view)


def _present_manager(view: CallView) -> int | None:
    """The client manager, unless the user is dismissed or the portal says that the working day is closed."""
    answer: dict[str, Any] = plan.get_lookup_answer(view.ledger.find_by_key(FIND_MANAGER_KEY)) or {}
    record = next((record for record in answer.get("records") or () if record.get("responsible")), None)
    if record is None or record.get("day") == DAY_CLOSED or record["responsible"] in view.policy.dismissed_users:
        return None
    return int(record["responsible"])


def _manager_extension(view: CallView) -> str | None:
    """The manager's extension on this PBX."""
    user = _present_manager(view)
    return next((row.extension for row in view.policy.pbx.employees if row.user_id == user), None)


def _waiting_leg(view: CallView) -> str | None:
    """The leg of a client who is in a menu or waits in a queue."""
    waiting = [leg.id for leg in view.entry.legs if leg.leg_kind in ("ivr", "queue") and not leg.has_ended]
    return waiting[-1] if waiting else None


def _route_command_id(view: CallView) -> str:
    """The same id at every fold; the legs that follow carry it."""
    return "bx24-route-" + hashlib.sha256(view.external_id.encode()).hexdigest()[:24]
