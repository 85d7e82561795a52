"""The portal's employees as plain tuples, for pages and forms. The rows themselves are kept by `portals.sync`.

With 10,000 employees, ORM objects would take longer to build than the rest of the page.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Text, case, cast, func, select

from bx24app.models import PortalUser, db


class DirectoryEntry(NamedTuple):
    """What the directory knows of one employee."""

    user_id: int
    name: str
    email: str
    inner_number: str
    is_active: bool


_COLUMNS = (PortalUser.user_id, PortalUser.name, PortalUser.email, PortalUser.inner_number, PortalUser.active)


def load_entries(portal_id: int, user_ids: Iterable[int | None]) -> list[DirectoryEntry]:
    """The employees with these ids; unknown ids are left out."""
    wanted = {user_id for user_id in user_ids if user_id}
    if not wanted:
        return []
    query = select(*_COLUMNS).where(PortalUser.portal_id == portal_id, PortalUser.user_id.in_(wanted))
    return [DirectoryEntry(*row) for row in db.session.execute(query)]


def load_all_entries(portal_id: int) -> list[DirectoryEntry]:
    """All employees, dismissed ones included."""
    query = select(*_COLUMNS).where(PortalUser.portal_id == portal_id)
    return [DirectoryEntry(*row) for row in db.session.execute(query)]


def phones_by_user(portal_id: int) -> dict[int, tuple[str, ...]]:
    """User id -> phone numbers in the profile, of every active employee who has any."""
    query = select(PortalUser.user_id, PortalUser.phones).where(PortalUser.portal_id == portal_id, PortalUser.active)
    query = query.where(cast(PortalUser.phones, Text) != "[]")
    return {user_id: tuple(phones) for user_id, phones in db.session.execute(query) if phones}


def state_mark(portal_id: int) -> tuple[int, int, datetime | None]:
    """A value that changes whenever the directory is read anew or an employee is dismissed: for caches of what is
    derived from it.
    """
    active = func.count(case((PortalUser.active, 1)))
    query = select(func.count(), active, func.max(PortalUser.seen_at)).where(PortalUser.portal_id == portal_id)
    total, active_count, seen_at = db.session.execute(query).one()
    return total, active_count, seen_at
