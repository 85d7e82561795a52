"""Rendering of the frame's pages: the whole shell when the frame is opened, later only the part that htmx swaps."""

from __future__ import annotations

from flask import Response, g, make_response, render_template
from markupsafe import Markup

from bx24app import settings
from bx24app.domain.settings import Settings
from bx24app.infra.messages import needs_admin_message
from bx24app.models import Portal
from bx24app.portals import lookup
from bx24app.web.base import session
from bx24app.web.base.i18n import current_language


def render_shell(content: str, claim: str) -> Response:
    """The page as the portal's frame loads it, around its first content."""
    ready = Markup(content)  # noqa: S704  # nosec B704 - our own rendering
    text = render_template("shell.html", content=ready, claim=claim, seconds=session.SESSION_SECONDS, lang=g.frame.lang)
    return make_response(text)


def render_page(template: str, tab: str, **values: object) -> str:
    """One page: the navigation with `tab` marked, notices about the whole portal, and the content."""
    return render_template(template, tab=tab, portal=g.portal, viewer=g.frame, **values)


def render_response(template: str, tab: str, status: int = 200, **values: object) -> Response:
    """`render_page` as an answer to htmx."""
    return make_response(render_page(template, tab, **values), status)


def load_settings() -> Settings:
    """The portal's settings. Dates of this page are from now on in the portal's time zone."""
    portal: Portal = g.portal
    document = settings.current(portal)
    g.timezone = document.portal.timezone
    return document


def reload_portal() -> None:
    """Load the portal's row again, after a use case that returned the database session."""
    g.portal = lookup.get_portal(g.frame.portal_id)


def needs_admin_text(code: str) -> str:
    """What an administrator has to fix, in the language of the page."""
    return needs_admin_message(current_language(), code)
