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
from bx24app.domain.calls.call_view import End, View
from bx24app.domain.calls.commands import ReadClient, Route
from bx24app.domain.calls.rule_case import ABSENT
from bx24app.domain.working_hours import is_open

LOOK_UP = "find-owner"


def follow(view: View, end: End) -> None:
    """Ask who the client's manager is, and route a waiting client to them; both only on lines that want it, and once."""
    line = view.line
    if line is None or not (line.route or line.owner_card) or view.direction != "in" or view.client is None:
        return
    if end.complete or end.answered or view.known.quiet or not view.entry.legs:
        return
    if view.ledger.by_key(LOOK_UP) is None:
        if plan.client_of(view) != "new":
            view.ledger.add(ReadClient(key=LOOK_UP, number=view.client))
        return
    extension, leg = _extension(view), _waiting(view)
    if not line.route or extension is None or leg is None or any(isinstance(e.command, Route) for e in view.ledger):
        return
    now = datetime.fromtimestamp(view.clock.now, UTC)
    late = view.clock.now - view.entry.started_at > line.route_seconds
    if late or not is_open(line.working_hours, now, view.policy.settings.portal.timezone):
        return
    if any(ring.employee.extension == extension for ring in view.entry.rings):
        return  # they ring, or have rung, already
    view.ledger.add(Route(key="route", command_id=_command_id(view), leg=leg, extension=extension))


def card_user(view: View) -> int | None:
    """The manager who sees the card while others ring; None: nobody more."""
    line = view.line
    if line is None or not (line.route or line.owner_card):
        return None
    return _owner(view)


def _owner(view: View) -> int | None:
    """A manager of whom the portal does not say that their working day is closed."""
    said: dict[str, Any] = plan.answered(view.ledger.by_key(LOOK_UP)) or {}
    found = next((one for one in said.get("records") or () if one.get("responsible")), None)
    if found is None or found.get("day") == ABSENT or found["responsible"] in view.policy.dismissed:
        return None
    return int(found["responsible"])


def _extension(view: View) -> str | None:
    """Their extension on this PBX."""
    user = _owner(view)
    return next((one.extension for one in view.policy.pbx.employees if one.user_id == user), None)


def _waiting(view: View) -> str | None:
    """The leg that hears the menu or waits in a queue."""
    waiting = [leg.id for leg in view.entry.legs if leg.place in ("ivr", "queue") and not leg.ended]
    return waiting[-1] if waiting else None


def _command_id(view: View) -> str:
    """Ours, the same at every fold: the PBX tells it with the legs that follow."""
    return "bx24-route-" + hashlib.sha256(view.external_id.encode()).hexdigest()[:24]
