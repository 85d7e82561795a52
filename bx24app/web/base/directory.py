"""Names of the portal's employees for pages. Plain rows: of 10,000 people, objects that can be saved would cost more than the page."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from flask import g
from flask_babel import gettext
from sqlalchemy import Text, cast, select

from bx24app.models import PortalUser, db


class DirectoryEntry(NamedTuple):
    """What the directory knows of one employee."""

    user_id: int
    name: str
    email: str
    inner_number: str
    is_active: bool


class EmployeeDirectory:
    """Names by user id; who was never seen in the portal's directory is shown by number."""

    def __init__(self, rows: Iterable[DirectoryEntry]) -> None:
        self._rows = {row.user_id: row for row in rows}

    def name(self, user_id: int | str | None) -> str:
        """What a page calls this employee."""
        if not user_id:
            return ""
        row = self._rows.get(int(user_id))
        return row.name if row is not None and row.name else str(gettext("Employee no. %(number)s", number=user_id))

    def is_dismissed(self, user_id: int | None) -> bool:
        """Is the employee known to be dismissed? Bitrix24 refuses calls for them."""
        row = self._rows.get(user_id or 0)
        return row is not None and not row.is_active

    @property
    def active_employees(self) -> list[DirectoryEntry]:
        """Everybody who may be suggested."""
        return [row for row in self._rows.values() if row.is_active]


_COLUMNS = (PortalUser.user_id, PortalUser.name, PortalUser.email, PortalUser.inner_number, PortalUser.active)


def by_ids(user_ids: Iterable[int | None]) -> EmployeeDirectory:
    """The people with these ids."""
    wanted = {user_id for user_id in user_ids if user_id}
    query = select(*_COLUMNS).where(PortalUser.portal_id == g.portal.id, PortalUser.user_id.in_(wanted))
    return EmployeeDirectory(DirectoryEntry(*row) for row in db.session.execute(query)) if wanted else EmployeeDirectory(())


def load_all() -> EmployeeDirectory:
    """The whole directory."""
    query = select(*_COLUMNS).where(PortalUser.portal_id == g.portal.id)
    return EmployeeDirectory(DirectoryEntry(*row) for row in db.session.execute(query))


def phones_by_user() -> dict[int, tuple[str, ...]]:
    """User id -> telephones of their profile, of all who have any."""
    query = select(PortalUser.user_id, PortalUser.phones).where(PortalUser.portal_id == g.portal.id, PortalUser.active)
    query = query.where(cast(PortalUser.phones, Text) != "[]")
    return {user_id: tuple(found) for user_id, found in db.session.execute(query) if found}
