"""USE CASE: what the administrators of a portal are told in Bitrix24 itself: each trouble once, and once more when it is over.

Told are whoever installed the app and whoever saved the present settings: Bitrix24's REST does not say who else is an administrator.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from bx24app.bitrix24 import errors
from bx24app.bitrix24.budget import Priority
from bx24app.bitrix24.client import MAX_BATCH_SIZE, RestResult
from bx24app.infra.logs import get_logger
from bx24app.models import Grant, Notice, Portal, PortalUser, SettingsVersion, db
from bx24app.portals.clients import client_by_id

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Alert:
    """What is told when it begins, and when it is over."""

    message: str
    end_message: str


def sync_notices(portal_id: int, kind: str, standing: Mapping[str, Alert]) -> None:
    """Tell what of this kind is new and what is over; `standing`: everything of the kind that holds now, by what it concerns.

    A notice carries a tag, so that one that is repeated after a lost answer takes the first one's place. Commits.

    Raises:
        bx24app.bitrix24.errors.PortalError: the portal cannot be asked; what was not told is told by the next run.
    """
    query = select(Notice).where(Notice.portal_id == portal_id, Notice.key.startswith(f"{kind}:"))
    held = {row.key: row.over for row in db.session.scalars(query)}
    now = {f"{kind}:{what}": trouble for what, trouble in standing.items()}
    said = {key: trouble.message for key, trouble in now.items() if key not in held}
    said |= {key: over for key, over in held.items() if key not in now}
    to = _administrator_ids(portal_id)
    db.session.rollback()
    if not said or not to:
        return
    for key in _send_notices(portal_id, to, said):
        row = db.session.get(Notice, (portal_id, key))
        if key in now and row is None:
            db.session.add(Notice(portal_id=portal_id, key=key, over=now[key].end_message))
        elif key not in now and row is not None:
            db.session.delete(row)
    db.session.commit()


def send_once(portal_id: int, key: str, trouble: Alert) -> None:
    """Tell one trouble where that is possible, and remember it either way: the portal's access may be the very thing that is broken. Commits."""
    if db.session.get(Notice, (portal_id, key)) is not None:
        db.session.rollback()
        return
    to = _administrator_ids(portal_id)
    db.session.rollback()
    try:
        _send_notices(portal_id, to, {key: trouble.message})
    except errors.PortalError as error:
        _log.info("administrators cannot be told", portal=portal_id, error=str(error))
    if db.session.get(Notice, (portal_id, key)) is None:
        db.session.add(Notice(portal_id=portal_id, key=key, over=trouble.end_message))
    db.session.commit()


def remember_alert(portal_id: int, key: str, trouble: Alert) -> None:
    """Of a trouble in which nobody can be told: only its end will be. Commits."""
    if db.session.get(Notice, (portal_id, key)) is None:
        db.session.add(Notice(portal_id=portal_id, key=key, over=trouble.end_message))
    db.session.commit()


def _administrator_ids(portal_id: int) -> list[int]:
    portal, grant = db.session.get_one(Portal, portal_id), db.session.get(Grant, portal_id)
    version = db.session.get(SettingsVersion, portal.settings_version_id or 0)
    found = {grant.user_id if grant is not None else None, version.author if version is not None else None} - {None}
    gone = select(PortalUser.user_id).where(PortalUser.portal_id == portal_id, PortalUser.active.is_(False))
    return sorted(user for user in found - set(db.session.scalars(gone)) if user)


def _send_notices(portal_id: int, to: list[int], said: Mapping[str, str]) -> list[str]:
    """Keys that reached somebody, or never will: a notice that the portal refuses is not worth a request a day."""
    client = client_by_id(portal_id)
    commands: list[tuple[str, str, dict[str, Any]]] = [
        (f"n{index}u{user}", "im.notify.system.add", {"USER_ID": user, "MESSAGE": words, "TAG": f"BX24APP|{key}"})
        for index, (key, words) in enumerate(said.items())
        for user in to
    ]
    reached: set[int] = set()
    for start in range(0, len(commands), MAX_BATCH_SIZE):
        for name, met in client.batch(commands[start : start + MAX_BATCH_SIZE], priority=Priority.BACKGROUND).items():
            if isinstance(met, errors.Refused):
                _log.warning("notice refused", portal=portal_id, code=met.code, reason=met.description)
            if isinstance(met, RestResult | errors.Refused):
                reached.add(int(name[1:].partition("u")[0]))
    return [key for index, key in enumerate(said) if index in reached]
