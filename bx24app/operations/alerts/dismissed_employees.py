"""USE CASE: employees who were dismissed in the portal and whom the settings still name.

Their calls fall to whoever answers for the rest; nothing in the settings is changed by itself: somebody has to say who follows.
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
"""Places that a notice names; the page shows all."""


def references_by_user(portal_id: int, document: Settings) -> dict[int, list[UserReference]]:
    """Dismissed user -> every place of the document that names them. Two queries, however large the portal."""
    gone = select(PortalUser.user_id).where(PortalUser.portal_id == portal_id, PortalUser.active.is_(False))
    found: dict[int, list[UserReference]] = {}
    for naming in find_references(document, set(db.session.scalars(gone))):
        found.setdefault(naming.user_id, []).append(naming)
    return found


def notify_administrators(portal_id: int) -> None:
    """Tell the administrators of each of them once, and once more when nobody names them any more or they are back."""
    portal = db.session.get_one(Portal, portal_id)
    lang, document = portal.lang, settings.current(portal)
    found = references_by_user(portal_id, document)
    rows = select(PortalUser.user_id, PortalUser.name).where(
        PortalUser.portal_id == portal_id, PortalUser.user_id.in_(found)
    )
    names = {user_id: name or str(user_id) for user_id, name in db.session.execute(rows)} if found else {}
    standing = {str(user): _build_alert(lang, names[user], places, document) for user, places in found.items()}
    try:
        notices.sync_notices(portal_id, "dismissed", standing)
    except errors.PortalError as error:
        db.session.rollback()
        _log.info("administrators not told yet", portal=portal_id, error=str(error))


def _build_alert(lang: str, name: str, places: list[UserReference], document: Settings) -> Alert:
    said = [_describe_reference(lang, place, document) for place in places[:MAX_REFERENCES]]
    if len(places) > MAX_REFERENCES:
        said.append("…")
    words = message(lang, "dismissed", name=name, places=", ".join(said))
    return Alert(words, message(lang, "dismissed_over", name=name))


def _describe_reference(lang: str, place: UserReference, document: Settings) -> str:
    pbx = document.by_key.get(place.pbx)
    return message(lang, f"place_{place.kind}", pbx=(pbx.name or pbx.key) if pbx is not None else "", what=place.name)
