"""The journal in the frame: latest calls first, one call with its time line, its recordings by ticket.

Administrators see all calls of their portal, everybody else their own.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flask import Blueprint, Response, g, jsonify, request, url_for
from sqlalchemy import Select, or_, select
from werkzeug.exceptions import NotFound

from bx24app import recordings
from bx24app.domain import phone
from bx24app.domain.settings import Settings
from bx24app.models import Call, Notification, Recording, db
from bx24app.web import pages, people, session, trace
from bx24app.web.session import Ticket

blueprint = Blueprint("calls", __name__)
PAGE = 50
OUTCOMES = ("answered", "missed", "failed")


@dataclass(frozen=True, slots=True)
class Filter:
    """What the list leaves out. Texts as they stand in the form."""

    q: str = ""
    pbx: str = ""
    outcome: str = ""
    problems: bool = False

    def apply(self, query: Select[Call]) -> Select[Call]:
        """Narrow a query of calls."""
        if self.q:
            digits = phone.digits(self.q)
            number = phone.normal(self.q)
            query = query.where(
                Call.client_number == number if number else Call.client_number.like(f"%{digits or self.q}%")
            )
        if self.pbx:
            query = query.where(Call.pbx_key == self.pbx)
        if self.outcome in OUTCOMES:
            query = query.where(Call.outcome == self.outcome)
        if self.problems:
            query = query.where(or_(Call.problem.is_not(None), Call.state == "dead"))
        return query

    @property
    def empty(self) -> bool:
        """Does it let everything through?"""
        return not (self.q or self.pbx or self.outcome or self.problems)


@blueprint.get("")
def show() -> Response:
    """The latest calls."""
    return pages.show("calls.html", "calls", **listing())


@blueprint.get("/more")
def more() -> Response:
    """The next rows below the last one shown."""
    return pages.show("parts/calls_rows.html", "calls", **listing())


@blueprint.get("/<int:call_id>")
def one(call_id: int) -> Response:
    """One call: what is known of it, what happened when."""
    call = _call(call_id)
    settings = pages.current()
    tapes = list(db.session.scalars(select(Recording).where(Recording.call_id == call.id).order_by(Recording.id)))
    ids = [call.user_id, call.responsible_id, *(call.users or ()), *(tape.user_id for tape in tapes)]
    return pages.show(
        "call.html",
        "calls" if g.frame.is_admin else "home",
        call=call,
        line=line_name(settings, call),
        before=_before_this(call),
        tapes=tapes,
        people=people.of(ids),
        steps=trace.steps(call) if g.frame.is_admin else [],
    )


@blueprint.get("/rejected")
def rejected() -> Response:
    """Notifications that were genuine but could not be read; administrators only, since they belong to no call."""
    if not g.frame.is_admin:
        raise NotFound
    query = select(Notification).where(Notification.portal_id == g.portal.id, Notification.state == "rejected")
    rows = list(db.session.scalars(query.order_by(Notification.id.desc()).limit(PAGE)))
    pages.current()
    return pages.show("rejected.html", "calls", rows=rows)


@blueprint.post("/recordings/<int:recording_id>/ticket")
def ticket(recording_id: int) -> Response:
    """Leave to fetch one recording for a minute: a browser's player sends no header."""
    tape = _recording(recording_id)
    text = session.issue_ticket(Ticket(g.portal.id, g.frame.user_id, "recording", tape.id))
    return jsonify(url=url_for("media.recording", recording_id=tape.id, ticket=text))


@blueprint.post("/recordings/<int:recording_id>/again")
def again(recording_id: int) -> Response:
    """Try to fetch and attach a recording once more."""
    tape = _recording(recording_id)
    portal_id, call_id = tape.portal_id, tape.call_id
    db.session.rollback()
    recordings.try_again(portal_id, recording_id)
    pages.look_again()
    return one(call_id)


def listing() -> dict[str, Any]:
    """Everything that the list shows, for a page or for more rows."""
    settings = pages.current()
    asked = request.args
    chosen = Filter(asked.get("q", "").strip(), asked.get("pbx", ""), asked.get("outcome", ""), "problems" in asked)
    query = chosen.apply(_mine(select(Call).where(Call.portal_id == g.portal.id, Call.visible.is_(True))))
    before = _before(asked.get("before", ""))
    if before is not None:
        at, last = before
        query = query.where(or_(Call.started_at < at, (Call.started_at == at) & (Call.id < last)))
    query = query.order_by(Call.started_at.desc(), Call.id.desc()).limit(PAGE + 1)
    rows = list(db.session.scalars(query))
    shown, rest = rows[:PAGE], rows[PAGE:]
    tapes = select(Recording).where(Recording.call_id.in_([row.id for row in shown])).order_by(Recording.id)
    by_call: dict[int, list[Recording]] = {}
    for tape in db.session.scalars(tapes) if shown else ():
        by_call.setdefault(tape.call_id, []).append(tape)
    return {
        "rows": shown,
        "tapes": by_call,
        "lines": {row.id: line_name(settings, row) for row in shown},
        "people": people.of(row.user_id or row.responsible_id for row in shown),
        "filter": chosen,
        "settings": settings,
        "pbx_names": [(pbx.key, pbx.name or pbx.key) for pbx in settings.pbxs],
        "next": f"{shown[-1].started_at.isoformat()}_{shown[-1].id}" if rest else "",
    }


def _before(text: str) -> tuple[datetime, int] | None:
    at, _, last = text.rpartition("_")
    try:
        return datetime.fromisoformat(at.replace(" ", "+")), int(last)
    except ValueError:
        return None


def _mine(query: Select[Call]) -> Select[Call]:
    if g.frame.is_admin:
        return query
    return query.where(or_(Call.user_id == g.frame.user_id, Call.responsible_id == g.frame.user_id))


def _call(call_id: int) -> Call:
    query = select(Call).where(Call.id == call_id, Call.portal_id == g.portal.id, Call.visible.is_(True))
    found = db.session.scalars(_mine(query)).first()
    if found is None:
        raise NotFound
    return found


def _before_this(call: Call) -> Call | None:
    """The call of another office's PBX that this one continues; None where there is none, or none that the viewer may see."""
    row = call.facts.get("continues")
    query = select(Call).where(Call.id == row, Call.portal_id == g.portal.id)
    return db.session.scalars(_mine(query)).first() if row else None


def _recording(recording_id: int) -> Recording:
    """A recording of a call that the viewer may see."""
    found = db.session.get(Recording, recording_id)
    if found is None or found.portal_id != g.portal.id:
        raise NotFound
    _call(found.call_id)
    return found


def line_name(settings: Settings, call: Call) -> str:
    """The line of a call as people know it."""
    pbx = settings.by_key.get(call.pbx_key)
    for line in pbx.lines if pbx is not None else ():
        if call.line_number in (line.number, line.bitrix_number):
            return line.name or line.number
    return call.line_number or ""
