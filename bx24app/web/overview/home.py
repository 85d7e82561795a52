"""The first page: for administrators the overview of set-up and state, for everybody else their own calls."""

from __future__ import annotations

from collections.abc import Sequence

from flask import Blueprint, Response, abort, g, make_response, request
from flask_babel import gettext

from bx24app.domain.rules import presets
from bx24app.portals import lookup
from bx24app.web.base import call_counts, directory, rendering, session
from bx24app.web.base.parsing import parse_int
from bx24app.web.calls import listing
from bx24app.web.overview import checklist, line_setup, problems, status
from bx24app.web.pbxs import dismissed_employees
from bx24app.web.settings import saving

blueprint = Blueprint("home", __name__)


@blueprint.get("")
def show() -> Response:
    """The overview."""
    return make_response(render_content())


@blueprint.post("/open")
def open_page() -> Response:
    """The whole page, with the session in a form field: the installation page posts to here if the portal does not
    reload the frame.
    """
    return rendering.render_shell(render_content(), session.extract_claim(request))


@blueprint.post("/preset")
def choose_preset() -> Response:
    """Save a preset of what calls create in the CRM; administrators only."""
    if not g.frame.is_admin:
        abort(403)
    wanted, category = request.form.get("preset", ""), parse_int(request.form.get("category_id", ""))
    if wanted not in presets.PRESETS:
        abort(404)
    outcome = saving.save(
        lambda data: presets.apply_preset(data, wanted, category, checklist.deal_rule_name()),
        gettext("Call handling preset chosen"),
    )
    rendering.reload_portal()
    return make_response(render_content(outcome.message), outcome.http_status)


@blueprint.post("/responsible")
def save_responsible() -> Response:
    """Save who is responsible for lines without anybody; administrators only."""
    if not g.frame.is_admin:
        abort(403)
    typed = line_setup.read_form()
    outcome = saving.save(
        lambda data: line_setup.apply_lines(data, typed), gettext("People responsible for lines chosen")
    )
    rendering.reload_portal()
    outcome.message.texts.extend(fault.message for fault in outcome.faults if fault.path)
    return make_response(render_content(outcome.message, [] if outcome.is_accepted else typed), outcome.http_status)


@blueprint.get("/ticks")
def show_milestones() -> Response:
    """How far the newest call has come. The page polls it while a step may still come."""
    if not g.frame.is_admin:
        abort(403)
    rendering.load_settings()
    return rendering.render_response("parts/milestones.html", "home", milestones=status.load_milestones())


def render_first_page(claim: str) -> Response:
    """The page that the portal's frame loads."""
    return rendering.render_shell(render_content(), claim)


def render_content(message: saving.FormMessage | None = None, typed: Sequence[line_setup.SetupLine] = ()) -> str:
    """The first page of this viewer."""
    if not g.frame.is_admin:
        return rendering.render_page("calls.html", "home", **listing.load_listing(), counts=None)
    settings = rendering.load_settings()
    rows = lookup.load_pbxs(g.portal.id)
    today = call_counts.count_calls_today()
    steps = checklist.build_steps(settings, rows, sum(today.values()))
    done = sum(step.is_done for step in steps)
    lines = line_setup.lines_to_show(settings, list(typed))
    return rendering.render_page(
        "home.html",
        "home",
        settings=settings,
        rows=rows,
        calls_today=today,
        steps=steps,
        done_count=done,
        preset_choice=checklist.load_preset_choice(settings) if settings.pbxs else None,
        open_lines=lines,
        open_count=len(line_setup.unassigned_lines(settings)),
        has_typed=bool(typed),
        people=directory.by_ids(user for line in lines for user in line.users),
        version=saving.current_number(),
        message=message,
        dismissed=dismissed_employees.list_dismissed(settings),
        problems=problems.find_problems(rows, {pbx.key: pbx.name for pbx in settings.pbxs}),
        status=status.load_status() if rows else None,
        identity=status.load_identity(),
        milestones=status.load_milestones() if rows else [],
    )
