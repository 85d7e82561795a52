"""Keeps what the app knows of installed portals up to date; periodic jobs call this.

The daily sync reads bindings, users and dictionaries; another job refreshes grants that would expire.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import exists, or_, select

from bx24app import settings
from bx24app.bitrix24 import errors
from bx24app.bitrix24.answer_numbers import read_positive
from bx24app.bitrix24.budget import Priority
from bx24app.bitrix24.client import Bitrix24Client
from bx24app.infra.logs import get_logger
from bx24app.models import Grant, Intent, Portal, PortalUser, db, portal_loop, utcnow
from bx24app.portals import crm_dictionaries, intents, other_apps, outgoing_line
from bx24app.portals.clients import client_by_id
from bx24app.portals.install import bind_and_read, store_portal_info
from bx24app.portals.lifecycle import mark_needs_admin
from bx24app.portals.tokens import refresh_access_token

_log = get_logger(__name__)

REFRESH_AFTER = timedelta(days=20)
"""The age at which an idle grant is refreshed; it would expire after 180 days."""
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
NO_TIME = timedelta(0)
"""As soon as the installation is active (again)."""
LOOP_SECONDS = 25.0
"""How long a run may refresh grants in all."""
REFRESH_RETRY = timedelta(minutes=10)
"""How long a grant is left alone after a refresh was tried."""
_EMPLOYEES = {"FILTER": {"USER_TYPE": "employee"}}


def sync_portal(portal_id: int) -> timedelta | None:
    """The daily sync: bindings, licence, CRM mode, users, CRM dictionaries, outgoing line.

    Users that are missing in the answer keep their rows. Returns after which time it has to be repeated because the
    portal could not be asked; None: it is done.
    """
    if db.session.scalar(select(Portal.state).where(Portal.id == portal_id)) not in ("active", "pending"):
        db.session.rollback()
        return NO_TIME
    client = client_by_id(portal_id)
    try:
        answers = bind_and_read(client, Priority.BACKGROUND)
        users = _ask_users(client)
        content = crm_dictionaries.ask_portal(client) | outgoing_line.ask_portal(client)
        content |= other_apps.ask_portal(client, portal_id)
    except (errors.NeedsAdmin, errors.Gone) as error:
        mark_needs_admin(portal_id, error)
        return NO_TIME
    except errors.PortalError as error:
        _log.warning("daily sync postponed", portal=portal_id, error=str(error))
        return HOUR
    portal = db.session.get_one(Portal, portal_id)
    store_portal_info(portal, answers)
    portal.looked_at = portal.answered_at = utcnow()
    store_users(portal_id, users)
    crm_dictionaries.store_answers(portal_id, content)
    intents.ask(portal_id, "tell_dismissed")
    is_line_missing = bool(outgoing_line.state_for(portal_id, settings.current(portal)).missing_numbers)
    if is_line_missing:
        intents.ask(portal_id, "lines")
    db.session.commit()
    intents.ring(portal_id, "tell_dismissed")
    if is_line_missing:
        intents.ring(portal_id, "lines")
    return None


def _ask_users(client: Bitrix24Client) -> list[dict[str, Any]]:
    """The portal's employees; none if it refuses to list them (no scope `user`): calls do without."""
    try:
        return list(client.iter_rows("user.get", _EMPLOYEES))
    except errors.Refused as error:
        _log.warning("users refused", reason=str(error))
        return []


def store_users(portal_id: int, users: list[dict[str, Any]]) -> None:
    """Store rows of `user.get` in the directory; users that are missing keep their rows. The caller commits."""
    now = utcnow()
    rows = {row.user_id: row for row in db.session.scalars(select(PortalUser).where(PortalUser.portal_id == portal_id))}
    for user in users:
        user_id = _user_id(user)
        if user_id is None:
            continue
        row = rows.get(user_id)
        if row is None:
            row = rows[user_id] = PortalUser(portal_id=portal_id, user_id=user_id)
            db.session.add(row)
        row.active, row.seen_at = _is_active(user), now
        row.name = " ".join(_text_fields(user, "NAME", "LAST_NAME")) or str(user.get("EMAIL") or "")
        row.email, row.inner_number = str(user.get("EMAIL") or ""), str(user.get("UF_PHONE_INNER") or "")
        row.phones = _text_fields(user, "WORK_PHONE", "PERSONAL_MOBILE", "PERSONAL_PHONE")


def _user_id(user: Any) -> int | None:
    return read_positive(user.get("ID")) if isinstance(user, dict) else None


def _is_active(user: dict[str, Any]) -> bool:
    """A user is inactive only if the portal says so; without the field (a scope hides it) everybody is active."""
    return user.get("ACTIVE", True) in (True, "true", "Y", "1", 1)


def _text_fields(user: dict[str, Any], *names: str) -> list[str]:
    return [str(user[name]) for name in names if user.get(name)]


def fetch_users(portal_id: int) -> set[int]:
    """Ids of the portal's active users, read now and stored.

    Raises:
        bx24app.bitrix24.errors.PortalError: the portal cannot be asked.
    """
    users = [
        user for user in client_by_id(portal_id).iter_rows("user.get", _EMPLOYEES, Priority.CARD) if _user_id(user)
    ]
    store_users(portal_id, users)
    intents.ask(portal_id, "tell_dismissed")
    db.session.commit()
    intents.ring(portal_id, "tell_dismissed")
    return {int(user["ID"]) for user in users if _is_active(user)}


def refresh_due_grants() -> None:
    """Refresh idle grants long before they expire; also those of portals that wait for a payment."""
    can_refresh = or_(
        Portal.state.in_(("active", "paused")), (Portal.state == "needs_admin") & (Portal.trouble != "authorise")
    )
    before = utcnow() - REFRESH_AFTER
    due = select(Grant.portal_id).join(Portal).where(can_refresh, Grant.refreshed_at < before)
    ids = list(db.session.scalars(due.order_by(Grant.refreshed_at)))
    db.session.rollback()
    portal_loop.for_each("refresh", ids, _refresh_grant, pause=REFRESH_RETRY, seconds=LOOP_SECONDS)


def _refresh_grant(portal_id: int) -> None:
    token = db.session.get_one(Grant, portal_id).access_token
    db.session.rollback()
    try:
        refresh_access_token(portal_id, token)
    except (errors.NeedsAdmin, errors.Gone) as error:
        mark_needs_admin(portal_id, error)
    except errors.PortalError as error:
        _log.info("grant not refreshed yet", portal=portal_id, error=str(error))


def claim_due_syncs() -> list[int]:
    """Portals whose daily sync is due. Each gets its intent, so that it is queued once and cannot be lost.

    `looked_at` is written by the sync itself.
    """
    is_due = (Portal.looked_at.is_(None)) | (Portal.looked_at < utcnow() - DAY)
    has_intent = exists().where(Intent.portal_id == Portal.id, Intent.job == "look")
    query = select(Portal.id).where(Portal.state == "active", is_due, ~has_intent)
    ids = list(db.session.scalars(query.limit(100)))
    for portal_id in ids:
        intents.ask(portal_id, "look")
    db.session.commit()
    return ids
