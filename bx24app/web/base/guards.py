"""Who may call a route.

Every blueprint has exactly one guard, named in the table of `bx24app.web`; without one a route answers 404.

A guard runs before the view. It raises where the caller may not go on, and otherwise leaves the session in `g.frame`
(or `g.placement`) and the portal's row in `g.portal`.
"""

from __future__ import annotations

from collections.abc import Callable

from flask import current_app, g, request
from werkzeug.exceptions import NotFound
from werkzeug.routing import BaseConverter, IntegerConverter

from bx24app.infra import page_threads
from bx24app.models import Portal, db
from bx24app.portals import lookup
from bx24app.web.base import headers, session

Guard = Callable[[], None]


class IdConverter(IntegerConverter):
    """An id in a path. A number longer than any database id answers 404."""

    regex = r"[0-9]{1,18}"


class TextConverter(BaseConverter):
    """A text in a path. NUL, which PostgreSQL's text cannot hold, answers 404."""

    regex = r"[^/\0]+"


class NotAdministrator(Exception):
    """The session is valid, but its user may not change settings."""


def open_to_all() -> None:
    """The route is public, or proves its caller by itself (a PBX's signature, a portal's token, a ticket)."""


def require_frame_session() -> None:
    """Only from inside a portal's frame.

    Raises:
        bx24app.web.base.session.NoSession
    """
    claim = session.read(session.extract_claim(request))
    g.frame, g.portal = claim, _load_portal(claim.portal_id, claim.member_id, claim.user_id)
    headers.allow_framing(claim.opened_at or g.portal.client_endpoint)


def require_placement_session() -> None:
    """Only from inside one of our tabs in the portal; `g.placement` says what may be seen there.

    Raises:
        bx24app.web.base.session.NoSession
    """
    claim = session.read_placement(session.extract_claim(request))
    g.placement, g.portal, g.lang = claim, _load_portal(claim.portal_id, claim.member_id, claim.user_id), claim.lang
    headers.allow_framing(g.portal.client_endpoint)


def _load_portal(portal_id: int, member_id: str, user_id: int) -> Portal:
    if request.method == "GET":
        db.session.connection(execution_options={"read_only": True})  # SQLite: readers do not wait for the writer
    portal = lookup.find_installed(portal_id)
    # A dismissed user loses the session at once, however young it is.
    if portal is None or portal.member_id != member_id or lookup.is_dismissed(portal_id, user_id):
        raise session.NoSession
    page_threads.name_party(member_id)
    return portal


def require_frame_admin() -> None:
    """Only from inside a portal's frame, and only administrators of the portal.

    Raises:
        bx24app.web.base.session.NoSession
        NotAdministrator
    """
    require_frame_session()
    if not g.frame.is_admin:
        raise NotAdministrator


def run_guard() -> None:
    """Run the guard of the matched route; registered once, for all requests."""
    if request.endpoint is None:
        return  # no such address: Flask answers 404 by itself
    guards: dict[str | None, Guard] = current_app.extensions["bx24app.guards"]
    guard = guards.get(request.blueprint)
    if guard is None:
        raise NotFound
    guard()
