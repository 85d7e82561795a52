"""Rendering of the frame's pages: the whole shell at the first paint, afterwards only the part that htmx swaps."""

from __future__ import annotations

from flask import Response, g, make_response, render_template
from markupsafe import Markup

from bx24app import settings
from bx24app.domain.settings import Settings
from bx24app.infra.messages import needs_admin_message
from bx24app.models import Portal, db
from bx24app.web.base import session
from bx24app.web.base.i18n import current_language


def render_shell(content: str, claim: str) -> Response:
    """The page as the portal's frame loads it, around its first content."""
    ready = Markup(content)  # noqa: S704  # nosec B704 - our own rendering
    text = render_template("shell.html", content=ready, claim=claim, seconds=session.SESSION_SECONDS, lang=g.frame.lang)
    return make_response(text)


def render_page(template: str, tab: str, **facts: object) -> str:
    """One page: navigation with `tab` marked, notices that concern the whole portal, the content."""
    return render_template(template, tab=tab, portal=g.portal, viewer=g.frame, **facts)


def render_response(template: str, tab: str, status: int = 200, **facts: object) -> Response:
    """`render` as an answer to htmx."""
    return make_response(render_page(template, tab, **facts), status)


def load_settings() -> Settings:
    """The portal's settings; also tells dates which zone is theirs."""
    portal: Portal = g.portal
    found = settings.current(portal)
    g.timezone = found.portal.timezone
    return found


def reload_portal() -> None:
    """After a use case that gave the database session back: the portal's row anew."""
    g.portal = db.session.get_one(Portal, g.frame.portal_id)


def needs_admin_text(code: str) -> str:
    """What an administrator has to do, in the language of the page."""
    return needs_admin_message(current_language(), code)
