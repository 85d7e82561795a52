"""Dismissed employees whom the settings still name: pages list them, and administrators get a notice about each.

The default responsible gets their calls. The settings are never changed automatically: an administrator has to choose
the successor.
"""

from __future__ import annotations

from sqlalchemy import select

from bx24app import settings
from bx24app.bitrix24 import errors
from bx24app.domain.document.user_references import UserReference, find_references
from bx24app.domain.settings import Settings
from bx24app.infra.logs import get_logger
from bx24app.infra.messages import message
from bx24app.models import Portal, PortalUser, db
from bx24app.operations.alerts import notices
from bx24app.operations.alerts.notices import Alert

_log = get_logger(__name__)
MAX_REFERENCES = 5
"""How many places in the settings a notice names; the page shows all."""


def references_by_user(portal_id: int, document: Settings) -> dict[int, list[UserReference]]:
    """Dismissed user -> every place in the document that names them. One query, however large the portal."""
    dismissed = select(PortalUser.user_id).where(PortalUser.portal_id == portal_id, PortalUser.active.is_(False))
    references: dict[int, list[UserReference]] = {}
    for reference in find_references(document, set(db.session.scalars(dismissed))):
        references.setdefault(reference.user_id, []).append(reference)
    return references


def notify_administrators(portal_id: int) -> bool:
    """Send one notice about each of them. False: the portal cannot be asked now.

    Another one follows when the settings no longer name them or they are active again.
    """
    portal = db.session.get_one(Portal, portal_id)
    lang, document = portal.lang, settings.current(portal)
    references = references_by_user(portal_id, document)
    rows = select(PortalUser.user_id, PortalUser.name).where(
        PortalUser.portal_id == portal_id, PortalUser.user_id.in_(references)
    )
    names = {user_id: name or str(user_id) for user_id, name in db.session.execute(rows)} if references else {}
    standing = {str(user): _build_alert(lang, names[user], places, document) for user, places in references.items()}
    try:
        notices.sync_notices(portal_id, "dismissed", standing)
    except errors.PortalError as error:
        db.session.rollback()
        _log.info("administrators not notified yet", portal=portal_id, error=str(error))
        return False
    return True


def _build_alert(lang: str, name: str, places: list[UserReference], document: Settings) -> Alert:
    texts = [_describe_reference(lang, place, document) for place in places[:MAX_REFERENCES]]
    if len(places) > MAX_REFERENCES:
        texts.append("…")
    text = message(lang, "dismissed", name=name, places=", ".join(texts))
    return Alert(text, message(lang, "dismissed_over", name=name))


def _describe_reference(lang: str, place: UserReference, document: Settings) -> str:
    pbx = document.by_key.get(place.pbx)
    return message(lang, f"place_{place.kind}", pbx=(pbx.name or pbx.key) if pbx is not None else "", what=place.name)
