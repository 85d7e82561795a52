"""A page of the app is opened in a portal: who is that, of which portal, with which rights? Nothing that a browser said is believed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import redis
from sqlalchemy import select

from bx24app.bitrix24 import errors
from bx24app.bitrix24.budget import Priority
from bx24app.bitrix24.client import Bitrix24
from bx24app.bitrix24.inbound import FramePost
from bx24app.bitrix24.oauth import AppInfo
from bx24app.infra import queue
from bx24app.infra.logs import log
from bx24app.infra.runtime import runtime
from bx24app.models import Portal, db
from bx24app.portals.clients import addresses, budget_for, budget_of, client_of_token, oauth, secret_of
from bx24app.portals.install import row_of, set_up, store

_log = log(__name__)

ADMIN_SECONDS = 300
"""How long the portal's word on somebody's rights is remembered."""
PATIENCE = 5.0
"""Seconds that an opening waits for the portal's request budget: calls come first."""
DEAD_GRANT = ("authorise", "registration", "rights", "access", "scope")
"""Troubles that another pair of tokens mends."""


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
    admin = is_administrator(info, post.access_token)
    portal = db.session.scalars(select(Portal).where(Portal.member_id == info.member_id)).first()
    if admin and _may_store(portal, info, install_page):
        portal = store(row_of(info.member_id), post, info, server)
        portal_id = portal.id
        db.session.commit()
        set_up(portal_id)
        queue.wake(portal_id, force=True)
        portal = db.session.get_one(Portal, portal_id)
    if portal is not None and portal.state != "removed":
        _seen(portal, post, info, admin)
        known: int | None = portal.id
    else:
        known = None
    db.session.commit()
    return Opening(
        portal_id=known,
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


def take_over(post: FramePost) -> int:
    """The background identity becomes whoever sends this: an administrator's own wish, since the one before has left or is about to. Returns the
    portal's id.

    Raises:
        Forged: not proven, no administrator, not installed, or no refresh token. UnknownClient, bx24app.bitrix24.errors.PortalError
    """
    info, server = _verified(post)
    admin = is_administrator(info, post.access_token)
    portal = db.session.scalars(select(Portal).where(Portal.member_id == info.member_id)).first()
    if not admin or portal is None or portal.state == "removed" or not post.refresh_token:
        raise Forged("only an administrator of an installed portal takes over")
    store(portal, post, info, server, what="took over")
    portal_id = portal.id
    db.session.commit()
    set_up(portal_id)
    queue.wake(portal_id, force=True)
    return portal_id


@dataclass(frozen=True, slots=True)
class Visit:
    """Who opened one of our places in the portal's pages, verified. `token` is theirs, not ours: what it may not read, they may not see."""

    portal_id: int
    member_id: str
    client_endpoint: str
    user_id: int
    lang: str
    options: dict[str, Any]
    token: str = field(repr=False)

    def client(self) -> Bitrix24:
        """REST with the viewer's own rights."""
        return client_of_token(self.client_endpoint, self.token, budget_of(self.portal_id))


def open_place(post: FramePost) -> Visit | None:
    """Verify the opening of a place; None: the app is not installed there. Asks the auth server only, which has a budget of its own.

    Raises:
        Forged, UnknownClient, bx24app.bitrix24.errors.PortalError (the auth server cannot be asked)
    """
    info, _ = _verified(post)
    portal = db.session.scalars(select(Portal).where(Portal.member_id == info.member_id)).first()
    if portal is None or portal.state == "removed":
        return None
    return Visit(
        portal.id, info.member_id, info.client_endpoint, info.user_id, post.lang, post.options, post.access_token
    )


def _verified(post: FramePost) -> tuple[AppInfo, str]:
    """Ask the auth server whose token this is; a browser may name one of the allow-list, else all of it are asked."""
    named = oauth().named(post.server_endpoint)
    told: errors.PortalError | None = None
    for server in [named] if named else list(oauth().servers):
        try:
            info = oauth().app_info(post.access_token, server)
        except errors.Later as error:
            told = error
        except errors.NeedsAdmin as error:  # unpaid, overloaded … : not a question of who it is
            told = error if error.code != "authorise" else told
        except (errors.Refused, errors.Gone):
            continue
        else:
            _matching(post, info)
            return info, server
    raise told or Forged("no auth server accepts the token")


def _matching(post: FramePost, info: AppInfo) -> None:
    known = secret_of(info.client_id) is not None
    db.session.rollback()  # what follows is HTTP
    if not known:
        raise UnknownClient(info.client_id)
    if info.member_id != post.member_id:
        raise Forged("the token belongs to another portal")
    if post.domain and _host(post.domain) != _host(info.domain):
        raise Forged("the portal has another domain")
    addresses().check_form(info.client_endpoint)


def _host(domain: str) -> str:
    """A host as the auth server and the portal's page may write it: with or without the port that goes without saying."""
    try:
        parts = urlsplit(f"//{domain.strip().lower()}")
        return f"{parts.hostname}:{parts.port}" if parts.port not in (None, 80, 443) else str(parts.hostname)
    except ValueError:
        raise Forged("the posted domain cannot be read") from None


def is_administrator(info: AppInfo, access_token: str) -> bool:
    """Does the portal itself call the user of this verified token an administrator? Remembered for five minutes.

    Raises:
        Forged: the portal names another user than the auth server. bx24app.bitrix24.errors.PortalError
    """
    key = f"admin:{info.member_id}:{info.user_id}"
    try:
        held = runtime().redis.get(key)
    except redis.RedisError:
        held = None
    if held is not None:
        return held == b"1"
    client = client_of_token(info.client_endpoint, access_token, budget_for(info.member_id))
    profile = client.call("profile", priority=Priority.VIEW, patience=PATIENCE).result
    if not isinstance(profile, dict) or str(profile.get("ID")) != str(info.user_id):
        raise Forged("the portal names another user than the auth server")
    admin = profile.get("ADMIN") in (True, "true", "Y", "1", 1)
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
    return portal.state == "needs_admin" and portal.trouble in DEAD_GRANT


def _seen(portal: Portal, post: FramePost, info: AppInfo, admin: bool) -> None:
    """What a verified opening tells by the way: the domain may have changed, the installation is finished."""
    if portal.client_endpoint != info.client_endpoint:
        portal.domain, portal.client_endpoint = info.domain, info.client_endpoint
    if admin:
        portal.lang = post.lang  # notices and records speak the administrators' language
    if portal.state == "pending" and info.installed:
        portal.state = "active"
    if admin and portal.application_token is None and post.application_token:
        portal.application_token = post.application_token
