"""The first page: for administrators what is set up and how it is; for everybody else their calls."""

from __future__ import annotations

from collections.abc import Sequence

from flask import Blueprint, Response, abort, g, make_response, request
from flask_babel import gettext
from sqlalchemy import select

from bx24app.domain.rules import presets
from bx24app.models import Pbx, db
from bx24app.web.base import call_counts, directory, rendering, session
from bx24app.web.base.parsing import whole
from bx24app.web.calls import listing
from bx24app.web.overview import checklist, line_setup, problems, status
from bx24app.web.pbxs import dismissed_employees
from bx24app.web.settings import saving

blueprint = Blueprint("home", __name__)


@blueprint.get("")
def show() -> Response:
    """The overview."""
    return make_response(content())


@blueprint.post("/open")
def open_again() -> Response:
    """The whole page by a session in a form field: the installation page goes on to here where the portal does not reload it."""
    return rendering.shell(content(), session.presented(request))


@blueprint.post("/preset")
def preset() -> Response:
    """A ready-made answer to what calls make; administrators only."""
    if not g.frame.is_admin:
        abort(403)
    wanted, category = request.form.get("preset", ""), whole(request.form.get("category_id", ""))
    if wanted not in presets.PRESETS:
        abort(404)
    outcome = saving.save(lambda data: presets.put(data, wanted, category, checklist.rule_name()), gettext("A ready-made handling of calls chosen"))
    rendering.look_again()
    return make_response(content(outcome.said), outcome.status)


@blueprint.post("/responsible")
def responsible() -> Response:
    """Who answers for lines that nobody answered for; administrators only."""
    if not g.frame.is_admin:
        abort(403)
    typed = line_setup.posted()
    outcome = saving.save(lambda data: line_setup.put(data, typed), gettext("Responsible people of lines chosen"))
    rendering.look_again()
    outcome.said.words.extend(fault.words for fault in outcome.faults if fault.path)
    return make_response(content(outcome.said, [] if outcome.good else typed), outcome.status)


@blueprint.get("/ticks")
def ticks() -> Response:
    """How far the newest call has come; asked again by itself while something may still come."""
    if not g.frame.is_admin:
        abort(403)
    rendering.current()
    return rendering.show("parts/ticks.html", "home", ticks=status.ticks())


def first_paint(claim: str) -> Response:
    """The page that the portal's frame loads."""
    return rendering.shell(content(), claim)


def content(said: saving.Said | None = None, typed: Sequence[line_setup.Line] = ()) -> str:
    """What a person sees first."""
    if not g.frame.is_admin:
        return rendering.render("calls.html", "home", **listing.listing(), counts=None)
    settings = rendering.current()
    query = select(Pbx).where(Pbx.portal_id == g.portal.id, Pbx.removed_at.is_(None))
    rows = {row.key: row for row in db.session.scalars(query)}
    today = call_counts.calls_today()
    steps = checklist.steps(settings, rows, sum(today.values()))
    done = sum(step.done for step in steps)
    lines = line_setup.shown(settings, list(typed))
    return rendering.render(
        "home.html",
        "home",
        settings=settings,
        rows=rows,
        calls=today,
        steps=steps,
        done=done,
        ready=checklist.ready(settings) if settings.pbxs else None,
        open_lines=lines,
        open_count=len(line_setup.unanswered(settings)),
        typed=bool(typed),
        people=directory.of(user for line in lines for user in line.users),
        version=saving.number(),
        said=said,
        dismissed=dismissed_employees.shown(settings),
        troubles=problems.found(rows, {pbx.key: pbx.name for pbx in settings.pbxs}),
        figures=status.figures() if rows else None,
        identity=status.identity(),
        ticks=status.ticks() if rows else [],
    )
