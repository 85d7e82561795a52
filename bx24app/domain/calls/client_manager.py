"""The client's own manager: looked up while the call rings, sees the card too, and gets the waiting client where the line says so.

Mango's `commands/route` takes a leg out of the menu or the queue (reference, commands). It is sent at most once, within the line's
`route_seconds`, in its working hours, to a manager who is there. What happens when they do not pick up is the PBX's own business: the
command respects the employee's schedule and forwarding.
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
    """Ask who the client's manager is, and route a waiting client to them; both only on lines that want it, and once."""
    line = view.line
    if line is None or not (line.route or line.owner_card) or view.direction != "in" or view.client_number is None:
        return
    if end.is_complete or end.is_answered or view.context.is_quiet or not view.entry.legs:
        return
    if view.ledger.find_by_key(FIND_MANAGER_KEY) is None:
        if plan.client_status(view) != "new":
            view.ledger.add_command(ReadClient(key=FIND_MANAGER_KEY, number=view.client_number))
        return
    extension, leg = _manager_extension(view), _waiting_leg(view)
    if not line.route or extension is None or leg is None or any(isinstance(e.command, Route) for e in view.ledger):
        return
    now = datetime.fromtimestamp(view.clock.now, UTC)
    late = view.clock.now - view.entry.started_at > line.route_seconds
    if late or not is_open(line.working_hours, now, view.policy.settings.portal.timezone):
        return
    if any(ring.employee.extension == extension for ring in view.entry.rings):
        return  # they ring, or have rung, already
    view.ledger.add_command(Route(key="route", command_id=_route_command_id(view), leg=leg, extension=extension))


def find_card_manager(view: CallView) -> int | None:
    """The manager who sees the card while others ring; None: nobody more."""
    line = view.line
    if line is None or not (line.route or line.owner_card):
        return None
    return _present_manager(view)


def _present_manager(view: CallView) -> int | None:
    """A manager of whom the portal does not say that their working day is closed."""
    said: dict[str, Any] = plan.get_lookup_answer(view.ledger.find_by_key(FIND_MANAGER_KEY)) or {}
    found = next((one for one in said.get("records") or () if one.get("responsible")), None)
    if found is None or found.get("day") == DAY_CLOSED or found["responsible"] in view.policy.dismissed_users:
        return None
    return int(found["responsible"])


def _manager_extension(view: CallView) -> str | None:
    """Their extension on this PBX."""
    user = _present_manager(view)
    return next((one.extension for one in view.policy.pbx.employees if one.user_id == user), None)


def _waiting_leg(view: CallView) -> str | None:
    """The leg that hears the menu or waits in a queue."""
    waiting = [leg.id for leg in view.entry.legs if leg.leg_kind in ("ivr", "queue") and not leg.has_ended]
    return waiting[-1] if waiting else None


def _route_command_id(view: CallView) -> str:
    """Ours, the same at every fold: the PBX tells it with the legs that follow."""
    return "bx24-route-" + hashlib.sha256(view.external_id.encode()).hexdigest()[:24]
