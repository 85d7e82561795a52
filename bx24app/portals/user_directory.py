"""Tells a save (`bx24app.settings.save.PortalDirectory`) who the portal's users are and what its CRM offers.

Pages use the stored directory and ask the portal only for what it does not have; an import asks the portal for all.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from sqlalchemy import select

from bx24app.bitrix24.errors import PortalError
from bx24app.domain.crm_dictionaries import CrmDictionaries
from bx24app.models import PortalUser, db
from bx24app.portals import crm_dictionaries, sync


class FreshDirectory:
    """Everything is asked of the portal now."""

    def __init__(self, portal_id: int) -> None:
        self._portal_id = portal_id

    def find_unknown_users(self, user_ids: Collection[int]) -> set[int]:
        """Those who are no active users of the portal.

        Raises:
            PortalError: the portal cannot be asked.
        """
        db.session.rollback()  # no transaction is open while the portal is asked
        return set(user_ids) - sync.fetch_users(self._portal_id)

    def offered_dictionaries(self, suffice: Callable[[CrmDictionaries], bool]) -> CrmDictionaries:
        """Pipelines, stages, sources.

        Raises:
            PortalError: the portal cannot be asked.
        """
        db.session.rollback()
        return crm_dictionaries.fetch(self._portal_id)


class StoredDirectory(FreshDirectory):
    """The portal is asked only where what is stored would be a fault."""

    def find_unknown_users(self, user_ids: Collection[int]) -> set[int]:
        """Those who are no active users, neither as stored nor as the portal says now.

        Raises:
            PortalError: the portal cannot be asked.
        """
        active = select(PortalUser.user_id).where(
            PortalUser.portal_id == self._portal_id, PortalUser.user_id.in_(user_ids), PortalUser.active
        )
        unknown = set(user_ids) - set(db.session.scalars(active)) if user_ids else set()
        return super().find_unknown_users(unknown) if unknown else set()

    def offered_dictionaries(self, suffice: Callable[[CrmDictionaries], bool]) -> CrmDictionaries:
        """As stored where that suffices, or where the portal cannot be asked."""
        stored = crm_dictionaries.load(self._portal_id)
        if stored.has_content and suffice(stored):
            return stored
        try:
            return super().offered_dictionaries(suffice)
        except PortalError:
            db.session.rollback()
            return stored
