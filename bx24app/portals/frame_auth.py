"""Verifies who opens a page of the app in a portal: which portal, which user, with which rights.

Pages call this when the frame or a placement is opened. What the browser posts is not trusted: the authorisation server
names portal and user of the posted token, and the portal itself says whether the user is an administrator.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import redis
from sqlalchemy import select

from bx24app.bitrix24.budget import Priority
from bx24app.bitrix24.client import Bitrix24Client
from bx24app.bitrix24.errors import Later
from bx24app.bitrix24.inbound import FramePost
from bx24app.bitrix24.oauth import AppInfo
from bx24app.bitrix24.ssrf_guard import NotAdmitted
from bx24app.infra import queue
from bx24app.infra.logs import get_logger
from bx24app.infra.runtime import runtime
from bx24app.models import Portal, db
from bx24app.portals import opening_addresses, probes
from bx24app.portals.clients import client_with_token, member_budget, portal_budget
from bx24app.portals.connections import address_policy, client_secret
from bx24app.portals.install import ensure_portal, set_up_portal, store_installation
from bx24app.portals.opening_addresses import ForgedRequest as ForgedRequest
from bx24app.portals.opening_addresses import PortalRenamed as PortalRenamed
from bx24app.portals.token_owner import TokenRefused, find_owner

_log = get_logger(__name__)

ADMIN_CACHE_SECONDS = 300
"""How long the portal's answer about a user's rights is cached."""
BUDGET_WAIT_SECONDS = 5.0
"""How long an opening waits for the portal's request budget: calls come first."""
DEAD_GRANT_CODES = ("authorise", "registration", "rights", "access", "scope")
"""Reasons for needs_admin that a new pair of tokens fixes."""


class UnknownClient(Exception):
    """The token belongs to an application that is not registered here."""

    def __init__(self, client_id: str) -> None:
        super().__init__(client_id)
        self.client_id = client_id


@dataclass(frozen=True, slots=True)
class FrameOpening:
    """A verified opening: who opened which page of which portal.

    `portal_id` None: not installed, and this user cannot install it.
    """

    portal_id: int | None
    member_id: str
    domain: str
    client_endpoint: str
    """REST of the portal, as the authorisation server has it."""
    user_id: int
    is_admin: bool
    lang: str
    placement: str
    options: dict[str, Any]
    is_installing: bool
    opened_at: str = ""
    """`scheme://host` of the page that shows the app, where that is a second name; else empty."""


def open_frame(post: FramePost, *, install_page: bool) -> FrameOpening:
    """Verify an opening. An administrator's opening installs the app, replaces a dead authorisation, or asks a portal
    that refused requests whether it accepts them again.

    Raises:
        ForgedRequest (`opening_addresses.AddressProblem` is one), UnknownClient.
        bx24app.bitrix24.errors.PortalError: the authorisation server or the portal cannot be asked.
    """
    info, server = _verify_token(post)
    admin = is_administrator(info, post.access_token, post)
    opened_at = _prove_second_name(post, info)
    portal = db.session.scalars(select(Portal).where(Portal.member_id == info.member_id)).first()
    if admin and _may_store(portal, info, install_page):
        portal = store_installation(ensure_portal(info.member_id), post, info, server)
        portal_id = portal.id
        db.session.commit()
        set_up_portal(portal_id)
        queue.wake_portal(portal_id)
        portal = db.session.get_one(Portal, portal_id)
    installed_id, is_locked = None, False
    if portal is not None and portal.state != "removed":
        _update_portal(portal, post, info, admin)
        installed_id, is_locked = portal.id, portal.state == "needs_admin"
    db.session.commit()
    if admin and is_locked and installed_id is not None:
        probes.probe_now(installed_id)
    return FrameOpening(
        portal_id=installed_id,
        member_id=info.member_id,
        domain=info.domain,
        client_endpoint=info.client_endpoint,
        user_id=info.user_id,
        is_admin=admin,
        lang=post.lang,
        placement=post.placement,
        options=post.options,
        is_installing=install_page,
        opened_at=opened_at,
    )


def take_over_grant(post: FramePost) -> int:
    """Make the administrator who sends this the background identity, at their own wish. Returns the portal's id.

    Raises:
        ForgedRequest: not proven, not an administrator, not installed, or without a refresh token.
        UnknownClient.
        bx24app.bitrix24.errors.PortalError: the authorisation server or the portal cannot be asked.
    """
    info, server = _verify_token(post)
    admin = is_administrator(info, post.access_token, post)
    _prove_second_name(post, info)
    portal = db.session.scalars(select(Portal).where(Portal.member_id == info.member_id)).first()
    if not admin or portal is None or portal.state == "removed" or not post.refresh_token:
        raise ForgedRequest("only an administrator of an installed portal takes over")
    store_installation(portal, post, info, server, what="took over")
    portal_id = portal.id
    db.session.commit()
    set_up_portal(portal_id)
    queue.wake_portal(portal_id)
    return portal_id


@dataclass(frozen=True, slots=True)
class PlacementVisit:
    """A verified opening of one of our placements.

    `token` is the viewer's: what it may not read, the viewer may not see.
    """

    portal_id: int
    member_id: str
    client_endpoint: str
    user_id: int
    lang: str
    options: dict[str, Any]
    token: str = field(repr=False)
    opened_at: str = ""
    """As `FrameOpening.opened_at`."""

    def viewer_client(self) -> Bitrix24Client:
        """REST with the viewer's own rights."""
        return client_with_token(self.client_endpoint, self.token, portal_budget(self.portal_id), self.portal_id)


def open_placement(post: FramePost) -> PlacementVisit | None:
    """Verify the opening of a placement; None: the app is not installed there. Only the authorisation server is asked.

    Raises:
        ForgedRequest, UnknownClient.
        bx24app.bitrix24.errors.PortalError: the authorisation server cannot be asked.
    """
    info, _ = _verify_token(post)
    opened_at = _prove_second_name(post, info)
    portal = db.session.scalars(select(Portal).where(Portal.member_id == info.member_id)).first()
    if portal is None or portal.state == "removed":
        return None
    return PlacementVisit(
        portal.id, info.member_id, info.client_endpoint, info.user_id, post.lang, post.options, post.access_token,
        opened_at,
    )  # fmt: skip


def _verify_token(post: FramePost) -> tuple[AppInfo, str]:
    """Ask the authorisation server whose token this is."""
    try:
        info, server = find_owner(post.access_token, post.server_endpoint)
    except TokenRefused as error:
        raise ForgedRequest(str(error)) from None
    _check_match(post, info)
    opening_addresses.check_protocol(post, info)
    address_policy().check_url_form(info.client_endpoint)
    return info, server


def _prove_second_name(post: FramePost, info: AppInfo) -> str:
    """The second name under which the portal was opened; empty: it was opened under its registered name."""
    if not opening_addresses.is_second_name(post, info):
        return ""
    db.session.rollback()  # no transaction stays open during HTTP
    opening_addresses.check_second_name(post, info)
    return opening_addresses.opened_address(post, info)


def _check_match(post: FramePost, info: AppInfo) -> None:
    is_registered = client_secret(info.client_id) is not None
    db.session.rollback()  # no transaction stays open during HTTP
    if not is_registered:
        raise UnknownClient(info.client_id)
    if info.member_id != post.member_id:
        raise ForgedRequest("the token belongs to another portal")


def is_administrator(info: AppInfo, access_token: str, post: FramePost | None = None) -> bool:
    """Does the portal itself call the user of this verified token an administrator?

    The answer is cached for five minutes. `post`: the opening, whose addresses may explain why nothing answers.

    Raises:
        ForgedRequest: the portal names another user than the authorisation server, or its address is in the way.
        bx24app.bitrix24.errors.PortalError: the portal cannot be asked.
    """
    key = f"admin:{info.member_id}:{info.user_id}"
    try:
        cached = runtime().redis.get(key)
    except redis.RedisError:
        cached = None
    if cached is not None:
        return cached == b"1"
    portal_id = db.session.scalar(select(Portal.id).where(Portal.member_id == info.member_id))
    db.session.rollback()  # no transaction stays open while the portal answers
    client = client_with_token(info.client_endpoint, access_token, member_budget(info.member_id), portal_id)
    try:
        profile = client.call("profile", priority=Priority.VIEW, patience=BUDGET_WAIT_SECONDS).result
    except (Later, NotAdmitted) as error:
        raise opening_addresses.explain_failure(post, info, error) if post is not None else error from None
    if not isinstance(profile, dict) or str(profile.get("ID")) != str(info.user_id):
        raise ForgedRequest("the portal names another user than the auth server")
    admin = profile.get("ADMIN") in (True, "true", "Y", "1", 1)
    try:
        runtime().redis.set(key, b"1" if admin else b"0", ex=ADMIN_CACHE_SECONDS)
    except redis.RedisError as error:
        _log.warning("rights not cached", error=type(error).__name__)
    return admin


def _may_store(portal: Portal | None, info: AppInfo, install_page: bool) -> bool:
    """Does this administrator's opening replace the background grant?"""
    if portal is None or portal.state == "removed" or portal.grant is None:
        return True
    if portal.client_id != info.client_id:
        return True  # the application was registered again in this portal: the old tokens are dead
    if install_page and not info.is_installed:
        return True  # the portal says that the app is being installed
    return portal.state == "needs_admin" and portal.trouble in DEAD_GRANT_CODES


def _update_portal(portal: Portal, post: FramePost, info: AppInfo, admin: bool) -> None:
    """Store what a verified opening shows besides: a changed domain, a finished installation, the granted scopes."""
    if portal.client_endpoint != info.client_endpoint:
        portal.domain, portal.client_endpoint = info.domain, info.client_endpoint
    if admin:
        portal.scopes = post.scope or info.scope or portal.scopes
        portal.lang = post.lang  # notices and CRM records are in the administrators' language
    if portal.state == "pending" and info.is_installed:
        portal.state = "active"
    if admin and portal.application_token is None and post.application_token:
        portal.application_token = post.application_token
