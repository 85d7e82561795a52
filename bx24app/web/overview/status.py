"""How a portal is, for the overview: figures, and the newest call step by step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from flask import g
from flask_babel import gettext
from sqlalchemy import func, select

from bx24app import portals
from bx24app.models import Call, Delivery, Grant, Recording, db, utcnow
from bx24app.web.base import directory

WEEK = timedelta(days=7)
_MOST = 2000


@dataclass(frozen=True, slots=True)
class Figures:
    """`delays`: seconds from a recording's notice to its being attached, (median, 95th percentile); None: none this week."""

    delays: tuple[int, int] | None
    budget: int
    unmapped: dict[int, int]
    """PBX row id -> calls of extensions that are nobody's."""


def figures() -> Figures:
    """Of the last seven days; the budget as it is now."""
    since = utcnow() - WEEK
    lags = select(Recording.lag_seconds).where(
        Recording.portal_id == g.portal.id, Recording.attached_at >= since, Recording.lag_seconds.is_not(None)
    )
    found = sorted(float(lag) for lag in db.session.scalars(lags.order_by(Recording.attached_at.desc()).limit(_MOST)) if lag is not None)
    delays = (round(_share(found, 0.5)), round(_share(found, 0.95))) if found else None
    unmapped = select(Call.pbx_id, func.count()).where(
        Call.portal_id == g.portal.id, Call.unmapped.is_not(None), Call.started_at >= since
    )
    counts: dict[int, int] = {row[0]: row[1] for row in db.session.execute(unmapped.group_by(Call.pbx_id))}
    return Figures(delays, int(portals.budget_of(g.frame.portal_id).level()), counts)


def _share(values: list[float], share: float) -> float:
    return values[min(len(values) - 1, int(share * len(values)))]


@dataclass(frozen=True, slots=True)
class Identity:
    """On whose authorisation the application works. `left`: they were dismissed, so it may die any day; `mine`: it is the viewer's."""

    name: str
    left: bool
    mine: bool


def identity() -> Identity | None:
    """Of the portal's background grant; None: there is none."""
    grant = db.session.get(Grant, g.portal.id)
    if grant is None:
        return None
    known = directory.of([grant.user_id])
    return Identity(known.name(grant.user_id), known.inactive(grant.user_id), grant.user_id == g.frame.user_id)


@dataclass(frozen=True, slots=True)
class Tick:
    """One station of the test call: `done`, `busy` (may still come) or `failed`."""

    name: str
    state: str
    words: str


def ticks() -> list[Tick]:
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
        Tick("notification", "done", gettext("The PBX told of the call")),
        Tick("signature", "done", gettext("Its signature is right")),
        Tick("employee", _state(bool(call.users) or call.outcome in ("missed", "failed"), over), gettext("The employee is known")),
        Tick("card", _state(card, over), gettext("The call card opened")),
        Tick("activity", _state(call.activity_id is not None, over), gettext("The call is in the CRM")),
        _tape(tapes, over, answered=call.outcome == "answered"),
    ]


def _state(done: bool, over: bool) -> str:
    return "done" if done else ("failed" if over else "busy")


def _tape(tapes: Sequence[Recording], over: bool, *, answered: bool) -> Tick:
    states = {tape.state for tape in tapes}
    if "attached" in states:
        return Tick("recording", "done", gettext("The recording is attached"))
    if over and not answered:
        return Tick("recording", "done", gettext("Nobody talked, so there is no recording"))
    if "lost" in states or states == {"none"}:
        return Tick("recording", "failed", gettext("There is no recording of this talk"))
    return Tick("recording", "busy", gettext("The recording is on its way; it may take minutes"))

