"""Events of Bitrix24: verifies them, stores those about calls, installs and removes the app.

The webhook calls `receive`.

Bitrix24 neither signs nor repeats events, so an event is stored before it is answered with 200. An event is genuine if
it carries the application token that we stored for its portal. An installation or update carries a new one; it is
accepted only after the authorisation server has verified the event's access token and the portal has called its owner
an administrator: any employee could post us an event with their own token.
"""

from __future__ import annotations

import hashlib
import hmac
import json

import redis
from sqlalchemy import select
from sqlalchemy.exc import DBAPIError

from bx24app.bitrix24 import errors
from bx24app.bitrix24.inbound import EventPost
from bx24app.bitrix24.oauth import AppInfo
from bx24app.domain.bounds import clean_tree
from bx24app.infra import queue
from bx24app.infra.logs import get_logger
from bx24app.infra.runtime import runtime
from bx24app.models import Grant, Notification, Portal, audit, db
from bx24app.models.inserts import insert_or_ignore
from bx24app.portals import frame_auth, install, lifecycle
from bx24app.portals.connections import address_policy, client_secret
from bx24app.portals.token_owner import TokenRefused, find_owner

_log = get_logger(__name__)

TELEPHONY_EVENTS = ("ONEXTERNALCALLSTART", "ONEXTERNALCALLBACKSTART")
MAX_FIELD = 4096
"""Characters of one field of an event that are stored."""
REFUSED_COUNTER_KEY = "count:events_refused"
"""Redis key that counts refused events."""


def receive(post: EventPost) -> int:
    """Handle one event; returns the HTTP status: 200, 403 (refused), 503 (database or authorisation server down)."""
    try:
        return _handle_event(post)
    except DBAPIError as error:
        db.session.rollback()
        _log.error("event not stored, the database does not answer", error=type(error.orig).__name__)
        return 503


def _handle_event(post: EventPost) -> int:
    if not post.event:
        return _refuse_event(post, "no event")
    if post.event not in install.EVENTS:
        return 200
    if post.event in ("ONAPPINSTALL", "ONAPPUPDATE"):
        return _handle_installation(post)
    portal = db.session.scalars(select(Portal).where(Portal.member_id == post.auth.member_id)).first()
    if portal is None or portal.state == "removed":
        return _refuse_event(post, "unknown portal")
    if not _is_proven(portal, post):
        return _refuse_event(post, "wrong application token")
    if post.event == "ONAPPUNINSTALL":
        portal_id, clean = portal.id, str(post.data.get("CLEAN")) == "1"
        lifecycle.remove(portal, clean=clean)
        db.session.commit()
        if clean:
            lifecycle.queue_purge(portal_id)
        return 200
    return _store_event(portal, post)


def _is_proven(portal: Portal, post: EventPost) -> bool:
    stored, posted = portal.application_token or "", post.auth.application_token
    return bool(stored) and hmac.compare_digest(stored.encode(), posted.encode(errors="replace"))


def _refuse_event(post: EventPost, why: str) -> int:
    """Count and log an event that is not genuine; nothing is stored."""
    db.session.rollback()
    try:
        runtime().redis.incr(REFUSED_COUNTER_KEY)
    except redis.RedisError as error:
        _log.warning("refused event not counted", error=type(error).__name__)
    _log.warning("event refused", event_name=post.event, why=why)
    return 403


def _store_event(portal: Portal, post: EventPost) -> int:
    """Store an event about a call before the 200, without its tokens."""
    # Cleaned before it is written as JSON: in the text, six typed letters look like an escaped NUL.
    fields = clean_tree(post.data, MAX_FIELD)
    data = json.dumps(fields, ensure_ascii=False, sort_keys=True)
    call_id = str(fields.get("CALL_ID") or "")
    content = hashlib.sha256(data.encode()).hexdigest()
    dedup_key = f"{post.event}:{call_id}" if call_id else f"{post.event}:{post.ts}:{content}"
    portal_id = portal.id
    is_new = insert_or_ignore(
        db.session,
        Notification,
        portal_id=portal_id,
        pbx_id=0,
        dialect="bitrix24",
        name=post.event,
        dedup_key=dedup_key[:255],
        body=data,
        state="new",
    )
    db.session.commit()
    if is_new:
        queue.wake_portal(portal_id)
    return 200


def _handle_installation(post: EventPost) -> int:
    """Handle ONAPPINSTALL or ONAPPUPDATE, once authorisation server and portal have confirmed its access token."""
    try:
        confirmed = _confirm_token(post)
    except frame_auth.ForgedRequest as error:
        return _refuse_event(post, str(error))
    except errors.Later as error:
        _log.warning("event cannot be confirmed now", event_name=post.event, error=str(error))
        return 503
    except errors.PortalError as error:
        return _refuse_event(post, str(error))
    if confirmed is None:
        return _refuse_event(post, "not confirmed by the auth server")
    info, server = confirmed
    if post.event == "ONAPPUPDATE":
        state = db.session.scalar(select(Portal.state).where(Portal.member_id == info.member_id))
        if state in (None, "removed"):
            return _refuse_event(post, "unknown portal")
    portal = install.ensure_portal(info.member_id)
    _update_installation(portal, post, info, server)
    portal_id = portal.id
    db.session.commit()
    install.set_up_portal(portal_id)
    queue.wake_portal(portal_id)
    return 200


def _update_installation(portal: Portal, post: EventPost, info: AppInfo, server: str) -> None:
    is_new = portal.state == "removed" or portal.client_id != info.client_id
    install.update_installation(
        portal, info, server, post.auth.application_token, finished=str(post.data.get("INSTALLED") or "Y") != "N"
    )
    grant = db.session.get(Grant, portal.id)
    is_dead = portal.state == "needs_admin" and portal.trouble in frame_auth.DEAD_GRANT_CODES
    if post.auth.refresh_token and (grant is None or is_new or is_dead):
        auth = post.auth
        install.store_grant(portal, info.user_id, auth.access_token, auth.refresh_token, auth.expires_in)
    audit.record(portal.id, info.user_id, "event", post.event.lower(), version=str(post.data.get("VERSION") or ""))


def _confirm_token(post: EventPost) -> tuple[AppInfo, str] | None:
    """What an authorisation server says of the event's token, and which one; None: not an administrator's token."""
    if not post.auth.access_token or not post.auth.member_id:
        return None
    try:
        info, server = find_owner(post.auth.access_token, post.auth.server_endpoint)
    except TokenRefused:
        return None
    return (info, server) if _may_install(post, info) else None


def _may_install(post: EventPost, info: AppInfo) -> bool:
    is_registered = client_secret(info.client_id) is not None
    db.session.rollback()  # no transaction stays open during HTTP
    if not is_registered:
        _log.warning("installation by an unknown application; to admit it: bx24app apps add", client_id=info.client_id)
        return False
    if info.member_id != post.auth.member_id:
        return False
    address_policy().check_url_form(info.client_endpoint)
    return frame_auth.is_administrator(info, post.auth.access_token)
