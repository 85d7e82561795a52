"""The first page: for administrators what is set up and how it is; for everybody else their calls."""

from __future__ import annotations

from collections.abc import Sequence

from flask import Blueprint, Response, abort, g, make_response, request
from flask_babel import gettext
from sqlalchemy import select

from bx24app.domain import presets
from bx24app.models import Pbx, db
from bx24app.web import (
    calls_list,
    checklist,
    condition,
    counting,
    dismissed,
    pages,
    people,
    saving,
    session,
    step_lines,
    troubles,
)
from bx24app.web.whole import whole

blueprint = Blueprint("home", __name__)


@blueprint.get("")
def show() -> Response:
    """The overview."""
    return make_response(content())


@blueprint.post("/open")
def open_again() -> Response:
    """The whole page by a session in a form field: the installation page goes on to here where the portal does not reload it."""
    return pages.shell(content(), session.presented(request))


@blueprint.post("/preset")
def preset() -> Response:
    """A ready-made answer to what calls make; administrators only."""
    if not g.frame.is_admin:
        abort(403)
    wanted, category = request.form.get("preset", ""), whole(request.form.get("category_id", ""))
    if wanted not in presets.PRESETS:
        abort(404)
    outcome = saving.save(lambda data: presets.put(data, wanted, category, checklist.rule_name()), gettext("A ready-made handling of calls chosen"))
    pages.look_again()
    return make_response(content(outcome.said), outcome.status)


@blueprint.post("/responsible")
def responsible() -> Response:
    """Who answers for lines that nobody answered for; administrators only."""
    if not g.frame.is_admin:
        abort(403)
    typed = step_lines.posted()
    outcome = saving.save(lambda data: step_lines.put(data, typed), gettext("Responsible people of lines chosen"))
    pages.look_again()
    outcome.said.words.extend(fault.words for fault in outcome.faults if fault.path)
    return make_response(content(outcome.said, [] if outcome.good else typed), outcome.status)


@blueprint.get("/ticks")
def ticks() -> Response:
    """How far the newest call has come; asked again by itself while something may still come."""
    if not g.frame.is_admin:
        abort(403)
    pages.current()
    return pages.show("parts/ticks.html", "home", ticks=condition.ticks())


def first_paint(claim: str) -> Response:
    """The page that the portal's frame loads."""
    return pages.shell(content(), claim)


def content(said: saving.Said | None = None, typed: Sequence[step_lines.Line] = ()) -> str:
    """What a person sees first."""
    if not g.frame.is_admin:
        return pages.render("calls.html", "home", **calls_list.listing(), counts=None)
    settings = pages.current()
    query = select(Pbx).where(Pbx.portal_id == g.portal.id, Pbx.removed_at.is_(None))
    rows = {row.key: row for row in db.session.scalars(query)}
    today = counting.calls_today()
    steps = checklist.steps(settings, rows, sum(today.values()))
    done = sum(step.done for step in steps)
    lines = step_lines.shown(settings, list(typed))
    return pages.render(
        "home.html",
        "home",
        settings=settings,
        rows=rows,
        calls=today,
        steps=steps,
        done=done,
        ready=checklist.ready(settings) if settings.pbxs else None,
        open_lines=lines,
        open_count=len(step_lines.unanswered(settings)),
        typed=bool(typed),
        people=people.of(user for line in lines for user in line.users),
        version=saving.number(),
        said=said,
        dismissed=dismissed.shown(settings),
        troubles=troubles.found(rows, {pbx.key: pbx.name for pbx in settings.pbxs}),
        figures=condition.figures() if rows else None,
        identity=condition.identity(),
        ticks=condition.ticks() if rows else [],
    )
