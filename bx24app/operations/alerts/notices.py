"""Notices to the administrators of a portal in Bitrix24 itself: one when a problem begins, and one when it is over.

The alert monitor and the check for dismissed employees call this module. It remembers in the table `notice` what was
sent, so that nothing is sent twice. Recipients are the user of the grant and the author of the current settings, as far
as they are people of the portal, else whoever opened the app last as an administrator: Bitrix24's REST does not list
administrators. A system user, on whose clone an app of the Market goes on when its installer was dismissed, is nobody:
`user.get` never lists one (official page settings/system-user).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import select

from bx24app.bitrix24 import errors
from bx24app.bitrix24.budget import Priority
from bx24app.bitrix24.client import MAX_BATCH_SIZE, RestResult
from bx24app.infra.logs import get_logger
from bx24app.models import Audit, Grant, Notice, Portal, PortalUser, SettingsVersion, db
from bx24app.portals.clients import client_by_id

_log = get_logger(__name__)

MAX_OPENINGS: Final = 500
"""How many of the last openings are searched for an administrator who still works there."""


@dataclass(frozen=True, slots=True)
class Alert:
    """The texts for the beginning and the end of a problem."""

    message: str
    end_message: str


def load_open_notices(portal_id: int, kind: str) -> dict[str, Notice]:
    """Notices of this kind whose problem is not over yet, by what they concern."""
    query = select(Notice).where(Notice.portal_id == portal_id, Notice.key.startswith(f"{kind}:"))
    return {row.key.partition(":")[2]: row for row in db.session.scalars(query)}


def sync_notices(portal_id: int, kind: str, alerts: Mapping[str, Alert]) -> None:
    """Send notices about new problems of this kind and about those that are over. Commits.

    Each notice carries a tag, so that one that is sent again after a lost answer replaces the first.

    Args:
        alerts: every current problem of the kind, by what it concerns.

    Raises:
        bx24app.bitrix24.errors.PortalError: the portal cannot be reached; the next run sends what was not sent.
    """
    notices = {f"{kind}:{what}": row.over for what, row in load_open_notices(portal_id, kind).items()}
    current = {f"{kind}:{what}": alert for what, alert in alerts.items()}
    texts = {key: alert.message for key, alert in current.items() if key not in notices}
    texts |= {key: end_message for key, end_message in notices.items() if key not in current}
    recipients = _administrator_ids(portal_id)
    db.session.rollback()
    if not texts or not recipients:
        return
    for key in _send_notices(portal_id, recipients, texts):
        if key in current:
            _add_notice(portal_id, key, current[key])
        elif (row := db.session.get(Notice, (portal_id, key))) is not None:
            db.session.delete(row)
    db.session.commit()


def send_once(portal_id: int, key: str, alert: Alert) -> None:
    """Send a notice if the portal can be reached, and remember it in either case. Commits.

    The access to the portal may be the very problem.
    """
    if db.session.get(Notice, (portal_id, key)) is not None:
        db.session.rollback()
        return
    recipients = _administrator_ids(portal_id)
    db.session.rollback()
    try:
        _send_notices(portal_id, recipients, {key: alert.message})
    except errors.PortalError as error:
        _log.info("administrators cannot be notified", portal=portal_id, error=str(error))
    remember_alert(portal_id, key, alert)


def remember_alert(portal_id: int, key: str, alert: Alert) -> None:
    """Remember a problem whose beginning cannot be sent, so that its end is. Commits."""
    _add_notice(portal_id, key, alert)
    db.session.commit()


def _add_notice(portal_id: int, key: str, alert: Alert) -> None:
    if db.session.get(Notice, (portal_id, key)) is None:
        db.session.add(Notice(portal_id=portal_id, key=key, over=alert.end_message))


def _administrator_ids(portal_id: int) -> list[int]:
    portal, grant = db.session.get_one(Portal, portal_id), db.session.get(Grant, portal_id)
    version = db.session.get(SettingsVersion, portal.settings_version_id or 0)
    user_ids = {grant.user_id if grant is not None else None, version.author if version is not None else None}
    directory = select(PortalUser.user_id, PortalUser.active).where(PortalUser.portal_id == portal_id)
    people = {row.user_id: row.active for row in db.session.execute(directory)}
    if not people:  # the directory was never read
        return sorted(user for user in user_ids if user)
    recipients = sorted(user for user in user_ids if user and people.get(user))
    return recipients or _last_administrator(portal_id, people)


def _last_administrator(portal_id: int, people: Mapping[int, bool]) -> list[int]:
    query = (
        select(Audit.user_id, Audit.facts)
        .where(Audit.portal_id == portal_id, Audit.what == "opened", Audit.user_id.is_not(None))
        .order_by(Audit.at.desc())
        .limit(MAX_OPENINGS)
    )
    openings = db.session.execute(query).all()
    administrators = (user for user, facts in openings if facts.get("administrator") and user and people.get(user))
    return [user for user in (next(administrators, None),) if user]


def _send_notices(portal_id: int, recipients: list[int], texts: Mapping[str, str]) -> list[str]:
    """Keys of the notices that reached somebody, or that the portal refused: a refused notice is not sent again."""
    client = client_by_id(portal_id)
    commands: list[tuple[str, str, dict[str, Any]]] = [
        (f"n{index}u{user}", "im.notify.system.add", {"USER_ID": user, "MESSAGE": text, "TAG": f"BX24APP|{key}"})
        for index, (key, text) in enumerate(texts.items())
        for user in recipients
    ]
    reached: set[int] = set()
    for start in range(0, len(commands), MAX_BATCH_SIZE):
        for name, answer in client.batch(
            commands[start : start + MAX_BATCH_SIZE], priority=Priority.BACKGROUND
        ).items():
            if isinstance(answer, errors.Refused):
                _log.warning("notice refused", portal=portal_id, code=answer.code, reason=answer.description)
            if isinstance(answer, RestResult | errors.Refused):
                reached.add(int(name[1:].partition("u")[0]))
    return [key for index, key in enumerate(texts) if index in reached]
