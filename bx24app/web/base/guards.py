"""Who may call a route. Every blueprint has exactly one guard (the table in `bx24app.web`); a route without one is answered 404.

A guard runs before the view and raises; what it found is in `flask.g`: `g.frame` (the session) and `g.portal` (its row).
"""

from __future__ import annotations

from collections.abc import Callable

from flask import current_app, g, request
from werkzeug.exceptions import NotFound
from werkzeug.routing import IntegerConverter

from bx24app.models import Portal, PortalUser, db
from bx24app.web.base import headers, session

Guard = Callable[[], None]


class IdConverter(IntegerConverter):
    """An id in a path. What is longer than any database's ids is no address of ours."""

    regex = r"[0-9]{1,18}"


class NotAdministrator(Exception):
    """A good session, but of a person who may not change settings."""


def open_to_all() -> None:
    """The route is public, or proves its caller by itself (a PBX's signature, a portal's token, a ticket)."""


def require_frame_session() -> None:
    """Only from inside a portal's frame.

    Raises:
        bx24app.web.base.session.NoSession
    """
    found = session.read(session.extract_claim(request))
    if request.method == "GET":
        db.session.connection(execution_options={"read_only": True})  # SQLite: readers do not wait for the writer
    portal = db.session.get(Portal, found.portal_id)
    if portal is None or portal.member_id != found.member_id or portal.state == "removed":
        raise session.NoSession
    _require_not_dismissed(found.portal_id, found.user_id)
    g.frame, g.portal = found, portal
    headers.allow_framing(portal.client_endpoint)


def require_placement_session() -> None:
    """Only from inside a tab of ours in the portal; what may be seen there is in `g.placement`.

    Raises:
        bx24app.web.base.session.NoSession
    """
    found = session.read_placement(session.extract_claim(request))
    if request.method == "GET":
        db.session.connection(execution_options={"read_only": True})
    portal = db.session.get(Portal, found.portal_id)
    if portal is None or portal.member_id != found.member_id or portal.state == "removed":
        raise session.NoSession
    _require_not_dismissed(found.portal_id, found.user_id)
    g.placement, g.portal, g.lang = found, portal, found.lang
    headers.allow_framing(portal.client_endpoint)


def _require_not_dismissed(portal_id: int, user_id: int) -> None:
    """Whom the directory knows as dismissed has no session any more, however young it is.

    Raises:
        bx24app.web.base.session.NoSession
    """
    user = db.session.get(PortalUser, (portal_id, user_id))
    if user is not None and not user.active:
        raise session.NoSession


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
