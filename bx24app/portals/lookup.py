"""Rows of a portal by id: the portal, its PBXs, its background grant. For pages, the command line and the doctor.

A removed portal or PBX is never returned, unless the function says so. Nothing here commits.
"""

from __future__ import annotations

from sqlalchemy import select

from bx24app.models import Grant, Pbx, Portal, PortalUser, db


def find_installed(portal_id: int) -> Portal | None:
    """The portal; None: unknown, or the application was removed from it."""
    portal = db.session.get(Portal, portal_id)
    return portal if portal is not None and portal.state != "removed" else None


def get_portal(portal_id: int) -> Portal:
    """The portal of an id that is known to exist, removed or not. Raises sqlalchemy.exc.NoResultFound."""
    return db.session.get_one(Portal, portal_id)


def read_state(portal_id: int) -> tuple[str, str]:
    """The installation's state and its problem, removed installations included; two empty texts: there is none."""
    row = db.session.execute(select(Portal.state, Portal.trouble).where(Portal.id == portal_id)).first()
    return (row.state, row.trouble or "") if row is not None else ("", "")


def load_pbxs(portal_id: int) -> dict[str, Pbx]:
    """PBX key -> row."""
    query = select(Pbx).where(Pbx.portal_id == portal_id, Pbx.removed_at.is_(None))
    return {row.key: row for row in db.session.scalars(query)}


def find_pbx(portal_id: int, key: str) -> Pbx | None:
    """The portal's PBX with this key."""
    query = select(Pbx).where(Pbx.portal_id == portal_id, Pbx.key == key, Pbx.removed_at.is_(None))
    return db.session.scalars(query).first()


def background_user_id(portal_id: int) -> int | None:
    """The user on whose authorisation the application works in the background; None: there is no grant."""
    grant = db.session.get(Grant, portal_id)
    return grant.user_id if grant is not None else None


def is_dismissed(portal_id: int, user_id: int) -> bool:
    """Does the directory know this user as dismissed? Someone it does not know yet is not."""
    user = db.session.get(PortalUser, (portal_id, user_id))
    return user is not None and not user.active
