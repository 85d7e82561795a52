"""The first page: for administrators what is set up and how it is; for everybody else their calls."""

from __future__ import annotations

from dataclasses import dataclass

from flask import Blueprint, Response, abort, g, make_response, request, url_for
from flask_babel import gettext, ngettext
from sqlalchemy import select

from bx24app.domain.settings import Settings
from bx24app.models import Pbx, db
from bx24app.web import calls_list, condition, counting, dismissed, pages, session

blueprint = Blueprint("home", __name__)


@dataclass(frozen=True, slots=True)
class Step:
    """One step of setting up: what is done in it, how far it is, where it is done."""

    name: str
    done: bool
    words: str
    detail: str
    url: str


@blueprint.get("")
def show() -> Response:
    """The overview."""
    return make_response(content())


@blueprint.post("/open")
def open_again() -> Response:
    """The whole page by a session in a form field: the installation page goes on to here where the portal does not reload it."""
    return pages.shell(content(), session.presented(request))


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


def content() -> str:
    """What a person sees first."""
    if not g.frame.is_admin:
        return pages.render("calls.html", "home", **calls_list.listing(), counts=None)
    settings = pages.current()
    query = select(Pbx).where(Pbx.portal_id == g.portal.id, Pbx.removed_at.is_(None))
    rows = {row.key: row for row in db.session.scalars(query)}
    today = counting.calls_today()
    steps = [*_pbx_steps(settings, rows), _test_call(settings, today)]
    done = sum(step.done for step in steps)
    return pages.render(
        "home.html",
        "home",
        settings=settings,
        rows=rows,
        calls=today,
        steps=steps,
        done=done,
        dismissed=dismissed.shown(settings),
        troubles=condition.warnings(rows),
        figures=condition.figures() if rows else None,
        ticks=condition.ticks() if rows else [],
    )


def _pbx_steps(settings: Settings, rows: dict[str, Pbx]) -> list[Step]:
    first = settings.pbxs[0].key if settings.pbxs else None
    heard = any(row.last_notification_at for row in rows.values())
    lines = [line for pbx in settings.pbxs for line in pbx.lines]
    named = sum(1 for line in lines if line.responsible.users)
    employees = sum(len(pbx.employees) for pbx in settings.pbxs)
    pbxs = url_for("pbxs.show")
    return [
        Step(
            "pbx",
            heard,
            gettext("Connect a PBX"),
            _heard_words(settings, heard),
            url_for("pbxs.one", key=first) if first else url_for("pbxs.new"),
        ),
        Step(
            "lines",
            bool(lines) and named == len(lines),
            gettext("Say who is responsible for each line"),
            gettext("%(named)d of %(all)d lines", named=named, all=len(lines)),
            url_for("lines.show", key=first) if first else pbxs,
        ),
        Step(
            "employees",
            employees > 0,
            gettext("Match extensions with employees"),
            ngettext("%(num)d extension is matched", "%(num)d extensions are matched", employees),
            url_for("employees.show", key=first) if first else pbxs,
        ),
        Step(
            "policy",
            g.portal.settings_version_id is not None and settings.portal.default_user_id > 0 and bool(settings.pbxs),
            gettext("Decide what calls create in the CRM"),
            _policy_words(settings),
            url_for("policy.show"),
        ),
    ]


def _heard_words(settings: Settings, heard: bool) -> str:
    if not settings.pbxs:
        return str(gettext("Two keys from your Mango Office account"))
    return str(gettext("Notifications arrive") if heard else gettext("Waiting for the first notification"))


def _policy_words(settings: Settings) -> str:
    words = {
        "lead": gettext("lead"),
        "contact": gettext("contact"),
        "activity": gettext("contact and to-do"),
        "nothing": gettext("only the call"),
    }
    said = gettext(
        "New clients, answered: %(answered)s; missed: %(missed)s",
        answered=words[settings.calls.answered],
        missed=words[settings.calls.missed],
    )
    return str(said)


def _test_call(settings: Settings, today: dict[int, int]) -> Step:
    count = sum(today.values())
    detail = ngettext("%(num)d call today", "%(num)d calls today", count)
    return Step("call", count > 0, gettext("Make a test call"), detail, url_for("calls.show"))
