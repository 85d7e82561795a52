"""How a portal is, for the overview: figures, and the newest call step by step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from flask import g
from flask_babel import gettext
from sqlalchemy import func, select

from bx24app.models import Call, Delivery, Grant, Recording, db, utcnow
from bx24app.portals import clients
from bx24app.web.base import directory

WEEK = timedelta(days=7)
_MAX_DELAYS = 2000


@dataclass(frozen=True, slots=True)
class PortalStatus:
    """`delays`: seconds from a recording's notice to its being attached, (median, 95th percentile); None: none this week."""

    delays: tuple[int, int] | None
    budget: int
    unmapped_calls: dict[int, int]
    """PBX row id -> calls of extensions that are nobody's."""


def load_status() -> PortalStatus:
    """Of the last seven days; the budget as it is now."""
    since = utcnow() - WEEK
    lags = select(Recording.lag_seconds).where(
        Recording.portal_id == g.portal.id, Recording.attached_at >= since, Recording.lag_seconds.is_not(None)
    )
    found = sorted(float(lag) for lag in db.session.scalars(lags.order_by(Recording.attached_at.desc()).limit(_MAX_DELAYS)) if lag is not None)
    delays = (round(_pick_percentile(found, 0.5)), round(_pick_percentile(found, 0.95))) if found else None
    unmapped = select(Call.pbx_id, func.count()).where(
        Call.portal_id == g.portal.id, Call.unmapped.is_not(None), Call.started_at >= since
    )
    counts: dict[int, int] = {row[0]: row[1] for row in db.session.execute(unmapped.group_by(Call.pbx_id))}
    return PortalStatus(delays, int(clients.portal_budget(g.frame.portal_id).available_requests()), counts)


def _pick_percentile(values: list[float], share: float) -> float:
    return values[min(len(values) - 1, int(share * len(values)))]


@dataclass(frozen=True, slots=True)
class BackgroundIdentity:
    """On whose authorisation the application works. `left`: they were dismissed, so it may die any day; `mine`: it is the viewer's."""

    name: str
    is_dismissed: bool
    is_mine: bool


def load_identity() -> BackgroundIdentity | None:
    """Of the portal's background grant; None: there is none."""
    grant = db.session.get(Grant, g.portal.id)
    if grant is None:
        return None
    known = directory.by_ids([grant.user_id])
    return BackgroundIdentity(known.name(grant.user_id), known.is_dismissed(grant.user_id), grant.user_id == g.frame.user_id)


@dataclass(frozen=True, slots=True)
class CallMilestone:
    """One station of the test call: `done`, `busy` (may still come) or `failed`."""

    name: str
    state: str
    text: str


def load_milestones() -> list[CallMilestone]:
    """How far the newest call of the last day has come; nothing where there was none."""
    query = select(Call).where(Call.portal_id == g.portal.id, Call.direction != "internal", Call.started_at >= utcnow() - timedelta(days=1))
    call = db.session.scalars(query.order_by(Call.started_at.desc(), Call.id.desc()).limit(1)).first()
    if call is None:
        return []
    over = call.state != "open"
    kinds = select(Delivery.kind, Delivery.command).where(Delivery.call_id == call.id, Delivery.state == "done")
    told = db.session.execute(kinds).all()
    card = any(kind == "ShowCard" or (kind == "Register" and command.get("show")) for kind, command in told)
    tapes = db.session.scalars(select(Recording).where(Recording.call_id == call.id)).all()
    return [
        CallMilestone("notification", "done", gettext("The PBX told of the call")),
        CallMilestone("signature", "done", gettext("Its signature is right")),
        CallMilestone("employee", _milestone_state(bool(call.users) or call.outcome in ("missed", "failed"), over), gettext("The employee is known")),
        CallMilestone("card", _milestone_state(card, over), gettext("The call card opened")),
        CallMilestone("activity", _milestone_state(call.activity_id is not None, over), gettext("The call is in the CRM")),
        _recording_milestone(tapes, over, answered=call.outcome == "answered"),
    ]


def _milestone_state(done: bool, over: bool) -> str:
    return "done" if done else ("failed" if over else "busy")


def _recording_milestone(tapes: Sequence[Recording], over: bool, *, answered: bool) -> CallMilestone:
    states = {tape.state for tape in tapes}
    if "attached" in states:
        return CallMilestone("recording", "done", gettext("The recording is attached"))
    if over and not answered:
        return CallMilestone("recording", "done", gettext("Nobody talked, so there is no recording"))
    if "lost" in states or states == {"none"}:
        return CallMilestone("recording", "failed", gettext("There is no recording of this talk"))
    return CallMilestone("recording", "busy", gettext("The recording is on its way; it may take minutes"))

