"""Names of the portal's employees, as pages print them."""

from __future__ import annotations

from collections.abc import Iterable

from flask import g
from flask_babel import gettext

from bx24app.portals import directory
from bx24app.portals.directory import DirectoryEntry


class EmployeeDirectory:
    """Names by user id. A user whom the portal's directory never listed is shown by number."""

    def __init__(self, rows: Iterable[DirectoryEntry]) -> None:
        self._rows = {row.user_id: row for row in rows}

    def name(self, user_id: int | str | None) -> str:
        """What a page calls this employee; empty without an id."""
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


def by_ids(user_ids: Iterable[int | None]) -> EmployeeDirectory:
    """The employees with these ids."""
    return EmployeeDirectory(directory.load_entries(g.portal.id, user_ids))


def load_all() -> EmployeeDirectory:
    """The whole directory."""
    return EmployeeDirectory(directory.load_all_entries(g.portal.id))


def phones_by_user() -> dict[int, tuple[str, ...]]:
    """User id -> phone numbers in the profile, of every active employee who has any."""
    return directory.phones_by_user(g.portal.id)
