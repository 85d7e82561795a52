"""How a portal and its PBXs are, for the overview: figures, and what somebody has to mend, with what to do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

from flask import g, url_for
from flask_babel import gettext
from sqlalchemy import func, select

from bx24app import portals
from bx24app.models import Call, Delivery, Notification, Pbx, Recording, db, utcnow

REGENERATED = timedelta(minutes=5)
"""Wrong signatures on a known address for so long are no accident: the key was made anew in Mango Office."""
WITHOUT_SUMMARY = 5
"""So many calls one after the other without a summary: a filter keeps it back."""
WEEK = timedelta(days=7)
_MOST = 2000


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something to mend: what it is, what to do, where. `level`: bad, warn."""

    name: str
    level: str
    words: str
    todo: str
    url: str


@dataclass(frozen=True, slots=True)
class Figures:
    """`delays`: seconds from a recording's notice to its being attached, (median, 95th percentile); None: none this week."""

    delays: tuple[int, int] | None
    budget: int
    unmapped: int


def figures() -> Figures:
    """Of the last seven days; the budget as it is now."""
    since = utcnow() - WEEK
    lags = select(Recording.lag_seconds).where(
        Recording.portal_id == g.portal.id, Recording.attached_at >= since, Recording.lag_seconds.is_not(None)
    )
    found = sorted(float(lag) for lag in db.session.scalars(lags.order_by(Recording.attached_at.desc()).limit(_MOST)) if lag is not None)
    delays = (round(_share(found, 0.5)), round(_share(found, 0.95))) if found else None
    unmapped = select(func.count()).where(
        Call.portal_id == g.portal.id, Call.unmapped.is_not(None), Call.started_at >= since
    )
    count = db.session.scalar(unmapped) or 0
    return Figures(delays, int(portals.budget_of(g.frame.portal_id).level()), count)


def _share(values: list[float], share: float) -> float:
    return values[min(len(values) - 1, int(share * len(values)))]


def warnings(rows: dict[str, Pbx], names: dict[str, str]) -> list[Trouble]:
    """What is wrong now, the worst first. `names`: what PBXs are called, by key."""
    found = (one for row in rows.values() for one in _of(row, names.get(row.key) or row.key))
    return sorted(found, key=lambda one: one.level != "bad")


def _of(row: Pbx, name: str) -> Iterator[Trouble]:
    here = url_for("pbxs.one", key=row.key)
    if row.refused_count and row.refused_since and row.refused_since < utcnow() - REGENERATED:
        yield Trouble(
            "key", "bad",
            gettext("%(pbx)s: notifications come with a wrong signature", pbx=name),
            gettext("Was a key regenerated in Mango Office? Enter the present ones; the calls since then are told afterwards."),
            here,
        )  # fmt: skip
    if row.ask_problem:
        yield Trouble(
            "mango", "warn",
            gettext("%(pbx)s: Mango Office does not answer our questions: %(why)s", pbx=name, why=row.ask_problem),
            gettext("In the API connector, allow this server's address and switch on the management of the PBX."),
            here,
        )  # fmt: skip
    if "vpbx" in row.dialects and _no_summaries(row):
        yield Trouble(
            "summary", "warn",
            gettext("%(pbx)s: the last calls came without a summary", pbx=name),
            gettext("In the API connector's external system, switch off the filter of “events/summary”."),
            here,
        )  # fmt: skip


def _no_summaries(row: Pbx) -> bool:
    """Have the last finished calls all ended without a word of their summary?"""
    last = select(Call.entry_id).where(
        Call.portal_id == row.portal_id, Call.pbx_id == row.id, Call.state == "finished", Call.direction != "internal"
    )
    entries = db.session.scalars(last.order_by(Call.started_at.desc(), Call.id.desc()).limit(WITHOUT_SUMMARY)).all()
    if len(entries) < WITHOUT_SUMMARY:
        return False
    told = select(Notification.id).where(
        Notification.portal_id == row.portal_id,
        Notification.pbx_id == row.id,
        Notification.entry_id.in_(entries),
        Notification.name.in_(("events/summary", "call_end")),
    )
    return db.session.scalars(told.limit(1)).first() is None


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

