"""USE CASE: events of Bitrix24: prove them, store them before their 200, change the installation's life.

Bitrix24 signs nothing and repeats nothing. An event is genuine when it brings the application token that we stored for its portal; an
installation or update brings a new one, which is believed only after the event's access token was verified at the auth server.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any

from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError

from bx24app import portals, queue
from bx24app.bitrix24 import errors
from bx24app.bitrix24.inbound import EventPost
from bx24app.bitrix24.oauth import AppInfo
from bx24app.grants import oauth, secret_of
from bx24app.logs import log
from bx24app.models import Grant, Notification, Portal, db

_log = log(__name__)

TELEPHONY = ("ONEXTERNALCALLSTART", "ONEXTERNALCALLBACKSTART")


def receive(post: EventPost) -> int:
    """Take one event and say the HTTP status (contract, section 4)."""
    try:
        return _receive(post)
    except DBAPIError as error:
        db.session.rollback()
        _log.error("event not stored, the database does not answer", error=type(error.orig).__name__)
        return 503


def _receive(post: EventPost) -> int:
    if post.event not in portals.EVENTS:
        return 200
    if post.event in ("ONAPPINSTALL", "ONAPPUPDATE"):
        return _renewed(post)
    portal = db.session.scalars(select(Portal).where(Portal.member_id == post.auth.member_id)).first()
    if portal is None or portal.state == "removed" or not _proven(portal, post):
        return _refused(post)
    if post.event == "ONAPPUNINSTALL":
        portals.remove(portal, clean=str(post.data.get("CLEAN")) == "1")
        db.session.commit()
        return 200
    return _store(portal, post)


def _proven(portal: Portal, post: EventPost) -> bool:
    known, said = portal.application_token or "", post.auth.application_token
    return bool(known) and hmac.compare_digest(known.encode(), said.encode())


def _refused(post: EventPost) -> int:
    _log.warning("event refused", event_name=post.event)
    return 403


def _store(portal: Portal, post: EventPost) -> int:
    """On disk before the 200: Bitrix24 does not say it twice. Tokens are not kept."""
    data = json.dumps(post.data, ensure_ascii=False, sort_keys=True)
    call_id = str(post.data.get("CALL_ID") or "")
    named = (
        f"{post.event}:{call_id}" if call_id else f"{post.event}:{post.ts}:{hashlib.sha256(data.encode()).hexdigest()}"
    )
    insert = sqlite.insert if db.engine.dialect.name == "sqlite" else postgresql.insert
    statement = insert(Notification).values(
        portal_id=portal.id,
        pbx_id=0,
        dialect="bitrix24",
        name=post.event,
        dedup_key=named[:255],
        body=data.replace("\x00", "\ufffd"),
        state="new",
    )
    portal_id = portal.id
    stored = db.session.execute(statement.on_conflict_do_nothing()).rowcount  # type: ignore[attr-defined]
    db.session.commit()
    if stored:
        queue.wake(portal_id)
    return 200


def _renewed(post: EventPost) -> int:
    """ONAPPINSTALL, ONAPPUPDATE: believed after the auth server confirmed the event's own access token."""
    try:
        found = _confirmed(post)
    except errors.Later as error:
        _log.warning("event not confirmed, the auth server does not answer", event_name=post.event, error=str(error))
        return 503
    if found is None:
        return _refused(post)
    info, server = found
    portal = db.session.scalars(select(Portal).where(Portal.member_id == info.member_id)).first()
    if post.event == "ONAPPUPDATE":
        if portal is None or portal.state == "removed":
            return _refused(post)
    elif portal is None:
        portal = Portal(member_id=info.member_id, domain="", client_endpoint="", server_endpoint="", client_id="")
        db.session.add(portal)
    assert portal is not None  # noqa: S101 - both branches above made sure
    _install(portal, post, info, server)
    db.session.commit()
    portals.set_up(portal.id)
    queue.wake(portal.id, force=True)
    return 200


def _install(portal: Portal, post: EventPost, info: AppInfo, server: str) -> None:
    fresh = portal.state == "removed" or portal.client_id != info.client_id
    portal.domain, portal.client_endpoint, portal.server_endpoint = info.domain, info.client_endpoint, server
    portal.client_id, portal.scopes = info.client_id, post.auth.scope or info.scope
    portal.application_token = post.auth.application_token or portal.application_token
    finished = str(post.data.get("INSTALLED") or "Y") != "N"
    if portal.state in (None, "pending", "removed", "active") or fresh:
        portal.state = "active" if finished else "pending"
    portal.removed_at = portal.purge_at = None
    db.session.flush()
    held = db.session.get(Grant, portal.id)
    if post.auth.refresh_token and (held is None or fresh or portal.state == "needs_admin"):
        portals._grant(portal, info.user_id, post.auth.access_token, post.auth.refresh_token, post.auth.expires_in)
        if portal.state == "needs_admin":
            portal.state, portal.trouble, portal.trouble_at, portal.probe_at = "active", None, None, None
    portal.installed_by = portal.installed_by or info.user_id
    portals._audit(portal.id, info.user_id, "event", post.event.lower())


def _confirmed(post: EventPost) -> tuple[AppInfo, str] | None:
    if not post.auth.access_token or not post.auth.member_id:
        return None
    named = oauth().named(post.auth.server_endpoint)
    for server in [named] if named else oauth().servers:
        try:
            info = oauth().app_info(post.auth.access_token, server)
        except (errors.Refused, errors.NeedsAdmin, errors.Gone):
            continue
        known = secret_of(info.client_id) is not None
        return (info, server) if known and info.member_id == post.auth.member_id else None
    return None


def facts(post: EventPost) -> dict[str, Any]:
    """For logs: what may be said of an event."""
    return {"event": post.event, "member_id": post.auth.member_id[:8]}
