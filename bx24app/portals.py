"""USE CASE: the life of an installation: opening, installing, trouble and its end, uninstalling.

The life, in steps (each is a test): pending -> active -> removed, with paused and needs_admin beside them.

1. A page is opened (`open_frame`): the posted AUTH_ID is verified at the auth server; client id, member id, domain come from there.
2. An administrator's first opening stores the grant (`install`): the background identity. Further openings never replace it, except
   when it is dead, or the application was installed anew.
3. The page finishes the installation; ONAPPINSTALL, or the first opening after it, makes the portal active.
4. What only an administrator can mend stops the deliveries (`trouble`); everything is kept, and resumes (`resume`).
5. Uninstalling deletes the grant at once, personal data at once or after 30 days; who comes back finds settings and hooks again.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import redis
from sqlalchemy import delete, select, update

from bx24app import queue
from bx24app.bitrix24 import errors
from bx24app.bitrix24.budget import Budget, Priority
from bx24app.bitrix24.client import Answer
from bx24app.bitrix24.inbound import FramePost
from bx24app.bitrix24.oauth import AppInfo
from bx24app.grants import (
    addresses,
    budget_of,
    client_by_id,
    client_of_token,
    oauth,
    secret_of,
)
from bx24app.logs import log
from bx24app.models import (
    Audit,
    Call,
    Delivery,
    Grant,
    LineCounter,
    Notification,
    Pbx,
    Portal,
    PortalUser,
    Recording,
    SettingsVersion,
    db,
    utcnow,
)
from bx24app.runtime import runtime

_log = log(__name__)

EVENTS = ("ONAPPINSTALL", "ONAPPUNINSTALL", "ONAPPUPDATE", "ONEXTERNALCALLSTART", "ONEXTERNALCALLBACKSTART")
ADMIN_SECONDS = 600
"""How long the portal's word on somebody's rights is remembered."""
KEEP_REMOVED = timedelta(days=30)
PROBE_EVERY = timedelta(hours=1)
FRESH_FOR = timedelta(days=20)
"""A grant that has not been refreshed for so long is; it would die after 180 idle days."""


class Forged(Exception):
    """The opening does not prove what it claims."""


class UnknownClient(Exception):
    """The token belongs to an application that is not registered here."""

    def __init__(self, client_id: str) -> None:
        super().__init__(client_id)
        self.client_id = client_id


@dataclass(frozen=True, slots=True)
class Opening:
    """Who opened which page of which portal, verified. `portal_id` None: not installed, and this person cannot install it."""

    portal_id: int | None
    member_id: str
    domain: str
    client_endpoint: str
    user_id: int
    is_admin: bool
    lang: str
    placement: str
    options: dict[str, Any]
    installing: bool


def open_frame(post: FramePost, *, install_page: bool) -> Opening:
    """Verify an opening; an administrator's installs the app, or mends a dead authorisation.

    Raises:
        Forged, UnknownClient, bx24app.bitrix24.errors.PortalError (the auth server or the portal cannot be asked)
    """
    info, server = _verified(post)
    admin = _is_admin(post, info)
    portal = db.session.scalars(select(Portal).where(Portal.member_id == info.member_id)).first()
    if admin and _may_store(portal, info, install_page):
        portal = _store(portal, post, info, server)
        db.session.commit()
        set_up(portal.id)
        portal = db.session.get_one(Portal, portal.id)
    if portal is not None and portal.state != "removed":
        _seen(portal, post, info)
    elif portal is not None:
        portal = None
    portal_id = portal.id if portal is not None else None
    db.session.commit()
    return Opening(
        portal_id=portal_id,
        member_id=info.member_id,
        domain=info.domain,
        client_endpoint=info.client_endpoint,
        user_id=info.user_id,
        is_admin=admin,
        lang=post.lang,
        placement=post.placement,
        options=post.options,
        installing=install_page,
    )


def _verified(post: FramePost) -> tuple[AppInfo, str]:
    """Ask the auth server whose token this is. Everything else in the post came through a browser."""
    named = oauth().named(post.server_endpoint)
    servers = [named] if named else list(oauth().servers)
    refused: errors.PortalError | None = None
    for server in servers:
        try:
            info = oauth().app_info(post.access_token, server)
        except (errors.Refused, errors.NeedsAdmin, errors.Gone) as error:
            refused = error
            continue
        if info.member_id != post.member_id:
            raise Forged("the token belongs to another portal")
        if secret_of(info.client_id) is None:
            raise UnknownClient(info.client_id)
        addresses().check_form(info.client_endpoint)
        return info, server
    raise Forged(f"the auth server does not accept the token: {refused}")


def _is_admin(post: FramePost, info: AppInfo) -> bool:
    key = f"admin:{info.member_id}:{info.user_id}"
    try:
        held = runtime().redis.get(key)
    except redis.RedisError:
        held = None
    if held is not None:
        return held == b"1"
    name = "view:" + hashlib.sha256(info.member_id.encode()).hexdigest()[:24]
    profile = client_of_token(info.client_endpoint, post.access_token, Budget(runtime().redis, name)).call(
        "profile", priority=Priority.VIEW
    )
    if str(profile.result.get("ID")) != str(info.user_id):
        raise Forged("the portal names another user than the auth server")
    admin = profile.result.get("ADMIN") in (True, "true", "Y", "1", 1)
    try:
        runtime().redis.set(key, b"1" if admin else b"0", ex=ADMIN_SECONDS)
    except redis.RedisError as error:
        _log.warning("rights not remembered", error=type(error).__name__)
    return admin


def _may_store(portal: Portal | None, info: AppInfo, install_page: bool) -> bool:
    """Does this administrator's opening become the background grant?"""
    if portal is None or portal.state == "removed" or portal.grant is None:
        return True
    if portal.client_id != info.client_id:
        return True  # the application was registered anew in the same portal: the old one's tokens are dead
    if install_page and not info.installed:
        return True  # the portal itself says that the app is being installed
    return portal.state == "needs_admin" and portal.trouble in (
        "authorise",
        "registration",
        "rights",
        "access",
        "scope",
    )


def _store(portal: Portal | None, post: FramePost, info: AppInfo, server: str) -> Portal:
    now = utcnow()
    if portal is None:
        portal = Portal(member_id=info.member_id, domain="", client_endpoint="", server_endpoint="", client_id="")
        db.session.add(portal)
    back = portal.state == "removed"
    portal.domain, portal.client_endpoint, portal.server_endpoint = info.domain, info.client_endpoint, server
    portal.client_id, portal.scopes, portal.lang = info.client_id, post.scope or info.scope, post.lang
    portal.state = "active" if info.installed or portal.state in ("active", "needs_admin") else "pending"
    portal.state_before = portal.trouble = portal.trouble_at = portal.probe_at = None
    portal.removed_at = portal.purge_at = None
    if post.application_token:
        portal.application_token = post.application_token
    if back or portal.installed_by is None:
        portal.installed_at, portal.installed_by = now, info.user_id
    db.session.flush()
    _grant(portal, info.user_id, post.access_token, post.refresh_token, post.expires_in)
    _audit(portal.id, info.user_id, "frame", "installed" if not back else "installed again")
    _log.info("installed", portal=portal.id, domain=info.domain)
    return portal


def _grant(portal: Portal, user_id: int, access: str, refresh: str, expires_in: int) -> None:
    now = utcnow()
    row = db.session.get(Grant, portal.id) or Grant(portal_id=portal.id, generation=0)
    row.user_id, row.access_token, row.refresh_token = user_id, access, refresh
    row.expires_at, row.refreshed_at, row.generation = now + timedelta(seconds=expires_in), now, row.generation + 1
    db.session.add(row)


def _seen(portal: Portal, post: FramePost, info: AppInfo) -> None:
    """What a verified opening tells by the way: the domain may have changed, the installation is finished."""
    if portal.client_endpoint != info.client_endpoint:
        portal.domain, portal.client_endpoint = info.domain, info.client_endpoint
    portal.lang = post.lang
    if portal.state == "pending" and info.installed:
        portal.state = "active"
    if portal.application_token is None and post.application_token:
        portal.application_token = post.application_token


def _audit(portal_id: int, user_id: int | None, source: str, what: str, **facts: Any) -> None:
    db.session.add(Audit(portal_id=portal_id, user_id=user_id, source=source, what=what, facts=facts))


def set_up(portal_id: int) -> None:
    """Bind events, read what calls depend on. Idempotent: "already binded" is success. Faults are logged and tried again by `look`."""
    client = client_by_id(portal_id)
    handler = f"{runtime().config.public_url}/bitrix24/events"
    commands: list[tuple[str, str, dict[str, Any]]] = [
        (event.lower(), "event.bind", {"EVENT": event, "HANDLER": handler}) for event in EVENTS
    ]
    commands += [("bound", "event.get", {}), ("mode", "crm.settings.mode.get", {}), ("app", "app.info", {})]
    try:
        said = client.batch(commands, priority=Priority.CARD)
        _unbind_strangers(client, said, handler)
    except errors.PortalError as error:
        _log.warning("portal not set up yet", portal=portal_id, error=str(error))
        return
    for event in EVENTS:
        met = said.get(event.lower())
        if isinstance(met, errors.Refused) and "already" not in met.description.lower():
            _log.warning("event not bound", portal=portal_id, event_name=event, reason=met.description)
    portal = db.session.get_one(Portal, portal_id)
    _read_look(portal, said)
    db.session.commit()
    queue.later("look", portal_id, job_id=f"look-{portal_id}")


def _unbind_strangers(client: Any, said: dict[str, Any], handler: str) -> None:
    """Our events that still go to an address that is no longer ours."""
    bound = said.get("bound")
    if not isinstance(bound, Answer):
        return
    old = [
        row
        for row in bound.result or []
        if str(row.get("event", "")).upper() in EVENTS and row.get("handler") != handler
    ]
    commands = [
        (f"u{index}", "event.unbind", {"EVENT": row["event"], "HANDLER": row["handler"]})
        for index, row in enumerate(old)
        if row.get("handler")
    ]
    if commands:
        client.batch(commands[:50], priority=Priority.BACKGROUND)


def _read_look(portal: Portal, said: dict[str, Any]) -> None:
    mode, app = said.get("mode"), said.get("app")
    if isinstance(mode, Answer) and str(mode.result) in ("1", "2"):
        portal.crm_mode = int(mode.result)
    if isinstance(app, Answer) and isinstance(app.result, dict):
        licence = str(app.result.get("LICENSE") or "")
        if licence != portal.license:
            portal.license = licence[:64]
            runtime().cache.pop(f"budget:{portal.id}", None)


def look_by_id(portal_id: int) -> None:
    """The daily look: licence, CRM mode, users. An empty or shrunken answer never takes a user away."""
    client = client_by_id(portal_id)
    try:
        said = client.batch(
            [("mode", "crm.settings.mode.get", {}), ("app", "app.info", {})], priority=Priority.BACKGROUND
        )
        users = list(client.list("user.get", {"FILTER": {"USER_TYPE": "employee"}}))
    except (errors.NeedsAdmin, errors.Gone) as error:
        trouble(portal_id, error)
        return
    except errors.PortalError as error:
        _log.warning("daily look put off", portal=portal_id, error=str(error))
        return
    portal = db.session.get_one(Portal, portal_id)
    _read_look(portal, said)
    portal.looked_at = utcnow()
    keep_users(portal_id, users)
    db.session.commit()


def keep_users(portal_id: int, users: list[dict[str, Any]]) -> None:
    """Write `user.get` rows into the directory; who is missing in the answer keeps their row."""
    now = utcnow()
    for user in users:
        row = db.session.get(PortalUser, (portal_id, int(user["ID"]))) or PortalUser(
            portal_id=portal_id, user_id=int(user["ID"])
        )
        row.active = user.get("ACTIVE") in (True, "true", "Y", "1", 1)
        row.name = " ".join(part for part in (user.get("NAME"), user.get("LAST_NAME")) if part) or str(
            user.get("EMAIL") or ""
        )
        row.email, row.inner_number = str(user.get("EMAIL") or ""), str(user.get("UF_PHONE_INNER") or "")
        row.phones = [str(user[name]) for name in ("WORK_PHONE", "PERSONAL_MOBILE", "PERSONAL_PHONE") if user.get(name)]
        row.seen_at = now
        db.session.add(row)


def fetch_users(portal_id: int) -> set[int]:
    """Ids of the portal's active users, asked now and kept.

    Raises:
        bx24app.bitrix24.errors.PortalError: the portal cannot be asked.
    """
    users = list(client_by_id(portal_id).list("user.get", {"FILTER": {"USER_TYPE": "employee"}}, Priority.CARD))
    keep_users(portal_id, users)
    db.session.commit()
    return {int(user["ID"]) for user in users if user.get("ACTIVE") in (True, "true", "Y", "1", 1)}


def by_member(member_id: str) -> Portal | None:
    """The portal with this member_id, removed ones included."""
    return db.session.scalars(select(Portal).where(Portal.member_id == member_id)).first()


def state_of(portal_id: int) -> str:
    """The installation's state."""
    return str(db.session.query(Portal.state).filter_by(id=portal_id).scalar())


def lines_follow(portal_id: int) -> None:
    """Let the portal's external lines follow the settings, soon and by a job of its own."""
    queue.later("lines", portal_id, job_id=f"lines-{portal_id}")


def trouble(portal_id: int, error: errors.NeedsAdmin | errors.Gone) -> None:
    """Stop delivering and keep everything: an administrator has to do something, or the portal is gone."""
    now = utcnow()
    portal = db.session.get_one(Portal, portal_id)
    if isinstance(error, errors.Gone):
        if portal.state != "removed":
            _log.warning("portal gone", portal=portal_id, code=error.code)
            remove(portal, clean=False)
    elif portal.state in ("active", "pending", "needs_admin"):
        if portal.state != "needs_admin":
            portal.state_before, portal.state, portal.trouble_at = portal.state, "needs_admin", now
            _audit(portal_id, None, "system", "needs an administrator", code=error.code)
            _log.warning("portal needs an administrator", portal=portal_id, code=error.code, reason=str(error))
        portal.trouble, portal.probe_at = error.code, now + PROBE_EVERY
    db.session.commit()
    db.session.remove()


def resume(portal_id: int) -> None:
    """Deliver again; what waited leaves in its order."""
    portal = db.session.get_one(Portal, portal_id)
    if portal.state == "needs_admin":
        portal.state, portal.state_before = portal.state_before or "active", None
        portal.trouble = portal.trouble_at = portal.probe_at = None
        _audit(portal_id, None, "system", "resumed")
    db.session.commit()
    queue.wake(portal_id, force=True)


def pause(portal_id: int, user_id: int | None, paused: bool) -> None:
    """Stop or resume deliveries by an administrator's wish; nothing is lost meanwhile."""
    portal = db.session.get_one(Portal, portal_id)
    if paused and portal.state in ("active", "pending", "needs_admin"):
        portal.state_before, portal.state = portal.state, "paused"
    elif not paused and portal.state == "paused":
        portal.state, portal.state_before = portal.state_before or "active", None
    _audit(portal_id, user_id, "frame", "paused" if paused else "unpaused")
    db.session.commit()
    queue.wake(portal_id, force=True)


def remove(portal: Portal, *, clean: bool) -> None:
    """Uninstalled: the grant goes at once, personal data at once (`clean`) or after 30 days. The caller commits."""
    now = utcnow()
    portal.state, portal.removed_at = "removed", now
    portal.trouble = portal.trouble_at = portal.probe_at = portal.application_token = None
    db.session.execute(delete(Grant).where(Grant.portal_id == portal.id))
    portal.purge_at = now if clean else now + KEEP_REMOVED
    _audit(portal.id, None, "event", "uninstalled", clean=clean)
    db.session.flush()
    if clean:
        purge(portal.id)


def purge(portal_id: int) -> None:
    """Everything of a removed portal goes: calls, people, settings, hooks. The caller commits."""
    for table in (Recording, Delivery, Call, Notification, PortalUser, LineCounter, Pbx, SettingsVersion, Grant):
        db.session.execute(delete(table).where(table.portal_id == portal_id))
    values = {"settings_version_id": None, "purge_at": None, "domain": "", "client_endpoint": "", "installed_by": None}
    db.session.execute(update(Portal).where(Portal.id == portal_id).values(**values))
    _log.info("portal purged", portal=portal_id)


def purge_due() -> None:
    """Removed portals whose 30 days are over."""
    due = select(Portal.id).where(Portal.state == "removed", Portal.purge_at <= utcnow())
    for portal_id in list(db.session.scalars(due)):
        purge(portal_id)
        db.session.commit()


def probe_due() -> None:
    """Ask portals in trouble whether it is over."""
    due = select(Portal.id).where(Portal.state == "needs_admin", Portal.probe_at <= utcnow()).limit(100)
    for portal_id in list(db.session.scalars(due)):
        db.session.rollback()
        try:
            client_by_id(portal_id).call("profile", priority=Priority.BACKGROUND)
        except (errors.NeedsAdmin, errors.Gone) as error:
            trouble(portal_id, error)
        except errors.PortalError as error:
            db.session.execute(
                update(Portal).where(Portal.id == portal_id).values(probe_at=utcnow() + timedelta(minutes=10))
            )
            db.session.commit()
            _log.info("portal in trouble does not answer", portal=portal_id, error=str(error))
        else:
            resume(portal_id)


def refresh_due() -> None:
    """Keep idle grants fresh, long before they die of age."""
    from bx24app.grants import refreshed

    old = utcnow() - FRESH_FOR
    due = select(Grant.portal_id).join(Portal).where(Portal.state.in_(("active", "paused")), Grant.refreshed_at < old)
    for portal_id in list(db.session.scalars(due.limit(50))):
        token = db.session.get_one(Grant, portal_id).access_token
        db.session.rollback()
        try:
            refreshed(portal_id, token)
        except (errors.NeedsAdmin, errors.Gone) as error:
            trouble(portal_id, error)
        except errors.PortalError as error:
            _log.info("grant not refreshed yet", portal=portal_id, error=str(error))


def looks_due() -> list[int]:
    """Portals whose daily look is due; marked, so that each is queued once."""
    now = utcnow()
    day = now - timedelta(days=1)
    query = select(Portal.id).where(Portal.state == "active", (Portal.looked_at.is_(None)) | (Portal.looked_at < day))
    ids = list(db.session.scalars(query.limit(100)))
    if ids:
        db.session.execute(update(Portal).where(Portal.id.in_(ids)).values(looked_at=now))
    db.session.commit()
    return ids


__all__ = ["addresses", "budget_of", "client_by_id"]
