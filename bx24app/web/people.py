"""Names of the portal's employees for pages."""

from __future__ import annotations

from collections.abc import Iterable

from flask import g
from flask_babel import gettext
from sqlalchemy import select

from bx24app.models import PortalUser, db


class People:
    """Names by user id; who was never seen in the portal's directory is shown by number."""

    def __init__(self, rows: Iterable[PortalUser]) -> None:
        self._rows = {row.user_id: row for row in rows}

    def name(self, user_id: int | str | None) -> str:
        """What a page calls this employee."""
        if not user_id:
            return ""
        row = self._rows.get(int(user_id))
        return row.name if row is not None and row.name else str(gettext("Employee no. %(number)s", number=user_id))

    def inactive(self, user_id: int | None) -> bool:
        """Is the employee known to be dismissed? Bitrix24 refuses calls for them."""
        row = self._rows.get(user_id or 0)
        return row is not None and not row.active

    @property
    def active(self) -> list[PortalUser]:
        """Everybody who may be suggested."""
        return [row for row in self._rows.values() if row.active]


def of(user_ids: Iterable[int | None]) -> People:
    """The people with these ids."""
    wanted = {user_id for user_id in user_ids if user_id}
    query = select(PortalUser).where(PortalUser.portal_id == g.portal.id, PortalUser.user_id.in_(wanted))
    return People(db.session.scalars(query) if wanted else ())


def everybody() -> People:
    """The whole directory."""
    return People(db.session.scalars(select(PortalUser).where(PortalUser.portal_id == g.portal.id)))
