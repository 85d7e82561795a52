"""Looking after installed portals: the daily look, users, troubles that may be over, grants that must not die of age."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import or_, select, update

from bx24app.bitrix24 import errors
from bx24app.bitrix24.budget import Priority
from bx24app.infra import queue
from bx24app.infra.logs import get_logger
from bx24app.models import Grant, Portal, PortalUser, db, utcnow
from bx24app.portals import crm_dictionaries, other_apps, outgoing_line
from bx24app.portals.clients import client_by_id
from bx24app.portals.install import bind_and_read, store_portal_info
from bx24app.portals.lifecycle import mark_needs_admin, resume
from bx24app.portals.tokens import refresh_access_token

_log = get_logger(__name__)

REFRESH_AFTER = timedelta(days=20)
"""A grant that has not been refreshed for so long is; it would die after 180 idle days."""
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
PROBE_RETRY = timedelta(minutes=10)
"""A portal in trouble that does not answer at all is asked again after this."""
_EMPLOYEES = {"FILTER": {"USER_TYPE": "employee"}}


def sync_portal(portal_id: int) -> None:
    """The daily look: bindings, licence, CRM mode, users, CRM dictionaries, outgoing line. An empty or shrunken answer never takes a user away."""
    if db.session.scalar(select(Portal.state).where(Portal.id == portal_id)) not in ("active", "pending"):
        db.session.rollback()
        return
    client = client_by_id(portal_id)
    try:
        said = bind_and_read(client, Priority.BACKGROUND)
        users = list(client.iter_rows("user.get", _EMPLOYEES))
        offered = crm_dictionaries.ask_portal(client) | outgoing_line.ask_portal(client) | other_apps.ask_portal(client, portal_id)
    except (errors.NeedsAdmin, errors.Gone) as error:
        mark_needs_admin(portal_id, error)
        return
    except errors.PortalError as error:
        _log.warning("daily look put off", portal=portal_id, error=str(error))
        soon = utcnow() - DAY + HOUR
        db.session.execute(update(Portal).where(Portal.id == portal_id).values(looked_at=soon))
        db.session.commit()
        return
    portal = db.session.get_one(Portal, portal_id)
    store_portal_info(portal, said)
    portal.looked_at = portal.answered_at = utcnow()
    store_users(portal_id, users)
    crm_dictionaries.store_answers(portal_id, offered)
    db.session.commit()
    queue.enqueue_background("tell_dismissed", portal_id)


def store_users(portal_id: int, users: list[dict[str, Any]]) -> None:
    """Write `user.get` rows into the directory; who is missing in the answer keeps their row. The caller commits."""
    now = utcnow()
    held = {row.user_id: row for row in db.session.scalars(select(PortalUser).where(PortalUser.portal_id == portal_id))}
    for user in users:
        user_id = _user_id(user)
        if user_id is None:
            continue
        row = held.get(user_id)
        if row is None:
            row = held[user_id] = PortalUser(portal_id=portal_id, user_id=user_id)
            db.session.add(row)
        row.active, row.seen_at = _is_active(user), now
        row.name = " ".join(_text_fields(user, "NAME", "LAST_NAME")) or str(user.get("EMAIL") or "")
        row.email, row.inner_number = str(user.get("EMAIL") or ""), str(user.get("UF_PHONE_INNER") or "")
        row.phones = _text_fields(user, "WORK_PHONE", "PERSONAL_MOBILE", "PERSONAL_PHONE")


def _user_id(user: Any) -> int | None:
    try:
        return int(user["ID"])
    except (KeyError, TypeError, ValueError):
        return None


def _is_active(user: dict[str, Any]) -> bool:
    """Only the portal's own word makes somebody inactive; where the scope hides the field, nobody is."""
    return user.get("ACTIVE", True) in (True, "true", "Y", "1", 1)


def _text_fields(user: dict[str, Any], *names: str) -> list[str]:
    return [str(user[name]) for name in names if user.get(name)]


def fetch_users(portal_id: int) -> set[int]:
    """Ids of the portal's active users, asked now and kept.

    Raises:
        bx24app.bitrix24.errors.PortalError: the portal cannot be asked.
    """
    users = [user for user in client_by_id(portal_id).iter_rows("user.get", _EMPLOYEES, Priority.CARD) if _user_id(user)]
    store_users(portal_id, users)
    db.session.commit()
    queue.enqueue_background("tell_dismissed", portal_id)
    return {int(user["ID"]) for user in users if _is_active(user)}


def probe_due_portals() -> None:
    """Ask portals in trouble whether it is over."""
    due = select(Portal.id).where(Portal.state == "needs_admin", Portal.probe_at <= utcnow()).limit(100)
    for portal_id in list(db.session.scalars(due)):
        db.session.rollback()
        try:
            client_by_id(portal_id).probe_access()
        except (errors.NeedsAdmin, errors.Gone) as error:
            mark_needs_admin(portal_id, error)
        except errors.PortalError as error:
            db.session.execute(update(Portal).where(Portal.id == portal_id).values(probe_at=utcnow() + PROBE_RETRY))
            db.session.commit()
            _log.info("portal in trouble does not answer", portal=portal_id, error=str(error))
        else:
            resume(portal_id)


def refresh_due_grants() -> None:
    """Keep idle grants fresh, long before they die of age; also those of portals that wait for a payment."""
    alive = or_(
        Portal.state.in_(("active", "paused")), (Portal.state == "needs_admin") & (Portal.trouble != "authorise")
    )
    old = utcnow() - REFRESH_AFTER
    due = select(Grant.portal_id).join(Portal).where(alive, Grant.refreshed_at < old).limit(50)
    for portal_id in list(db.session.scalars(due)):
        token = db.session.get_one(Grant, portal_id).access_token
        db.session.rollback()
        try:
            refresh_access_token(portal_id, token)
        except (errors.NeedsAdmin, errors.Gone) as error:
            mark_needs_admin(portal_id, error)
        except errors.PortalError as error:
            _log.info("grant not refreshed yet", portal=portal_id, error=str(error))


def claim_due_syncs() -> list[int]:
    """Portals whose daily look is due; marked, so that each is queued once."""
    now = utcnow()
    query = select(Portal.id).where(
        Portal.state == "active", (Portal.looked_at.is_(None)) | (Portal.looked_at < now - DAY)
    )
    ids = list(db.session.scalars(query.limit(100)))
    if ids:
        db.session.execute(update(Portal).where(Portal.id.in_(ids)).values(looked_at=now))
    db.session.commit()
    return ids
