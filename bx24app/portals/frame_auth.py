"""A page of the app is opened in a portal: who is that, of which portal, with which rights? Nothing that a browser said is believed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import redis
from sqlalchemy import select

from bx24app.bitrix24 import errors
from bx24app.bitrix24.budget import Priority
from bx24app.bitrix24.client import Bitrix24Client
from bx24app.bitrix24.inbound import FramePost
from bx24app.bitrix24.oauth import AppInfo
from bx24app.infra import queue
from bx24app.infra.logs import get_logger
from bx24app.infra.runtime import runtime
from bx24app.models import Portal, db
from bx24app.portals.clients import client_with_token, member_budget, portal_budget
from bx24app.portals.connections import address_policy, client_secret, oauth_servers
from bx24app.portals.install import ensure_portal, set_up_portal, store_installation

_log = get_logger(__name__)

ADMIN_CACHE_SECONDS = 300
"""How long the portal's word on somebody's rights is remembered."""
BUDGET_WAIT_SECONDS = 5.0
"""Seconds that an opening waits for the portal's request budget: calls come first."""
DEAD_GRANT_CODES = ("authorise", "registration", "rights", "access", "scope")
"""Troubles that another pair of tokens mends."""


class ForgedRequest(Exception):
    """The opening does not prove what it claims."""


class UnknownClient(Exception):
    """The token belongs to an application that is not registered here."""

    def __init__(self, client_id: str) -> None:
        super().__init__(client_id)
        self.client_id = client_id


@dataclass(frozen=True, slots=True)
class FrameOpening:
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
    is_installing: bool


def open_frame(post: FramePost, *, install_page: bool) -> FrameOpening:
    """Verify an opening; an administrator's installs the app, or mends a dead authorisation.

    Raises:
        Forged, UnknownClient, bx24app.bitrix24.errors.PortalError (the auth server or the portal cannot be asked)
    """
    info, server = _verify_token(post)
    admin = is_administrator(info, post.access_token)
    portal = db.session.scalars(select(Portal).where(Portal.member_id == info.member_id)).first()
    if admin and _may_store(portal, info, install_page):
        portal = store_installation(ensure_portal(info.member_id), post, info, server)
        portal_id = portal.id
        db.session.commit()
        set_up_portal(portal_id)
        queue.wake_portal(portal_id, force=True)
        portal = db.session.get_one(Portal, portal_id)
    if portal is not None and portal.state != "removed":
        _update_portal(portal, post, info, admin)
        known: int | None = portal.id
    else:
        known = None
    db.session.commit()
    return FrameOpening(
        portal_id=known,
        member_id=info.member_id,
        domain=info.domain,
        client_endpoint=info.client_endpoint,
        user_id=info.user_id,
        is_admin=admin,
        lang=post.lang,
        placement=post.placement,
        options=post.options,
        is_installing=install_page,
    )


def take_over_grant(post: FramePost) -> int:
    """The background identity becomes whoever sends this: an administrator's own wish, since the one before has left or is about to. Returns the
    portal's id.

    Raises:
        Forged: not proven, no administrator, not installed, or no refresh token. UnknownClient, bx24app.bitrix24.errors.PortalError
    """
    info, server = _verify_token(post)
    admin = is_administrator(info, post.access_token)
    portal = db.session.scalars(select(Portal).where(Portal.member_id == info.member_id)).first()
    if not admin or portal is None or portal.state == "removed" or not post.refresh_token:
        raise ForgedRequest("only an administrator of an installed portal takes over")
    store_installation(portal, post, info, server, what="took over")
    portal_id = portal.id
    db.session.commit()
    set_up_portal(portal_id)
    queue.wake_portal(portal_id, force=True)
    return portal_id


@dataclass(frozen=True, slots=True)
class PlacementVisit:
    """Who opened one of our places in the portal's pages, verified. `token` is theirs, not ours: what it may not read, they may not see."""

    portal_id: int
    member_id: str
    client_endpoint: str
    user_id: int
    lang: str
    options: dict[str, Any]
    token: str = field(repr=False)

    def viewer_client(self) -> Bitrix24Client:
        """REST with the viewer's own rights."""
        return client_with_token(self.client_endpoint, self.token, portal_budget(self.portal_id))


def open_placement(post: FramePost) -> PlacementVisit | None:
    """Verify the opening of a place; None: the app is not installed there. Asks the auth server only, which has a budget of its own.

    Raises:
        Forged, UnknownClient, bx24app.bitrix24.errors.PortalError (the auth server cannot be asked)
    """
    info, _ = _verify_token(post)
    portal = db.session.scalars(select(Portal).where(Portal.member_id == info.member_id)).first()
    if portal is None or portal.state == "removed":
        return None
    return PlacementVisit(
        portal.id, info.member_id, info.client_endpoint, info.user_id, post.lang, post.options, post.access_token
    )


def _verify_token(post: FramePost) -> tuple[AppInfo, str]:
    """Ask the auth server whose token this is; a browser may name one of the allow-list, else all of it are asked."""
    named = oauth_servers().find_server(post.server_endpoint)
    told: errors.PortalError | None = None
    for server in [named] if named else list(oauth_servers().servers):
        try:
            info = oauth_servers().fetch_app_info(post.access_token, server)
        except errors.Later as error:
            told = error
        except errors.NeedsAdmin as error:  # unpaid, overloaded … : not a question of who it is
            told = error if error.code != "authorise" else told
        except (errors.Refused, errors.Gone):
            continue
        else:
            _check_match(post, info)
            return info, server
    raise told or ForgedRequest("no auth server accepts the token")


def _check_match(post: FramePost, info: AppInfo) -> None:
    known = client_secret(info.client_id) is not None
    db.session.rollback()  # what follows is HTTP
    if not known:
        raise UnknownClient(info.client_id)
    if info.member_id != post.member_id:
        raise ForgedRequest("the token belongs to another portal")
    if post.domain and _normalise_host(post.domain) != _normalise_host(info.domain):
        raise ForgedRequest("the portal has another domain")
    address_policy().check_url_form(info.client_endpoint)


def _normalise_host(domain: str) -> str:
    """A host as the auth server and the portal's page may write it: with or without the port that goes without saying."""
    try:
        parts = urlsplit(f"//{domain.strip().lower()}")
        return f"{parts.hostname}:{parts.port}" if parts.port not in (None, 80, 443) else str(parts.hostname)
    except ValueError:
        raise ForgedRequest("the posted domain cannot be read") from None


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
    client = client_with_token(info.client_endpoint, access_token, member_budget(info.member_id))
    profile = client.call("profile", priority=Priority.VIEW, patience=BUDGET_WAIT_SECONDS).result
    if not isinstance(profile, dict) or str(profile.get("ID")) != str(info.user_id):
        raise ForgedRequest("the portal names another user than the auth server")
    admin = profile.get("ADMIN") in (True, "true", "Y", "1", 1)
    try:
        runtime().redis.set(key, b"1" if admin else b"0", ex=ADMIN_CACHE_SECONDS)
    except redis.RedisError as error:
        _log.warning("rights not remembered", error=type(error).__name__)
    return admin


def _may_store(portal: Portal | None, info: AppInfo, install_page: bool) -> bool:
    """Does this administrator's opening become the background grant?"""
    if portal is None or portal.state == "removed" or portal.grant is None:
        return True
    if portal.client_id != info.client_id:
        return True  # the application was registered anew in the same portal: the old one's tokens are dead
    if install_page and not info.is_installed:
        return True  # the portal itself says that the app is being installed
    return portal.state == "needs_admin" and portal.trouble in DEAD_GRANT_CODES


def _update_portal(portal: Portal, post: FramePost, info: AppInfo, admin: bool) -> None:
    """What a verified opening tells by the way: the domain may have changed, the installation is finished."""
    if portal.client_endpoint != info.client_endpoint:
        portal.domain, portal.client_endpoint = info.domain, info.client_endpoint
    if admin:
        portal.lang = post.lang  # notices and records speak the administrators' language
    if portal.state == "pending" and info.is_installed:
        portal.state = "active"
    if admin and portal.application_token is None and post.application_token:
        portal.application_token = post.application_token
